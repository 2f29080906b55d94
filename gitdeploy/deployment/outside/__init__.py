"""Deployments in a process of their own, and as another user."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.deployment.outside import as_owner as as_owner
    from gitdeploy.deployment.outside import launch as launch
else:
    __getattr__ = rooms(__name__, frozenset("as_owner launch".split()))
