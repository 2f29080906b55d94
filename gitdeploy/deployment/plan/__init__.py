"""What a deployment will do, and what speaks against it."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.deployment.plan import data_moves as data_moves
else:
    __getattr__ = rooms(__name__, frozenset("data_moves".split()))
