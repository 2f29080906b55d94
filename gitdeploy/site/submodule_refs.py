"""What keeps a backup's states in the repositories of submodules."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gitdeploy.backups.store import REFS
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.modules import module_folders
from gitdeploy.errors import GitDeployError


def drop_refs(repository: Repository, identity: str) -> None:
    """Forget what keeps a backup's states in the repositories of submodules."""
    for folder in module_folders(repository):
        inner = Repository(folder, folder, folder)
        with suppress(GitDeployError):
            if (folder / REFS / identity).exists() or _packed(folder, identity):
                inner.delete_ref(REFS + identity)


def _packed(folder: Path, identity: str) -> bool:
    with suppress(OSError):
        return f" {REFS}{identity}\n" in (folder / "packed-refs").read_text(errors="replace")
    return False
