"""Hooks: programs of the app's that a deployment runs, and those that come with gitdeploy."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.hooks import running as running
else:
    __getattr__ = rooms(__name__, frozenset({"running"}))
