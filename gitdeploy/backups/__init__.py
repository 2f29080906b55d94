"""Backups: saved states of the app that `restore` brings back."""

from typing import TYPE_CHECKING

from gitdeploy.lazy import rooms

if TYPE_CHECKING:
    from gitdeploy.backups import copying as copying
    from gitdeploy.backups import encrypted as encrypted
    from gitdeploy.backups import encryption as encryption
    from gitdeploy.backups import places as places
    from gitdeploy.backups import store as store
else:
    __getattr__ = rooms(__name__, frozenset("copying encrypted encryption places store".split()))
