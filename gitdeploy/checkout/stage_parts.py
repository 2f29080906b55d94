"""What each repository brings to a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.checkout.changes import FileChange, Target
from gitdeploy.checkout.facts import NO_ACCESS, Access
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.modes import Modes
from gitdeploy.checkout.program import LONG
from gitdeploy.messages import tr


class Part(Struct, frozen=True):
    """The share of one repository (the checkout's, or a submodule's at `prefix`) in a switch."""

    repository: Repository
    changes: Sequence[FileChange]
    target: Target
    old_head: str
    prefix: bytes = b""
    source: Path | None = None  # of a submodule that comes: where its git folder will be; `repository` is a copy
    modes: Modes = field(default_factory=Modes)  # recorded ones, which come back
    hidden: tuple[bytes, ...] = ()  # paths that git was told to overlook; it would not write those marked skip-worktree
    access: Access = NO_ACCESS  # what the host of its large files (Git LFS) is asked with
    settings: tuple[tuple[str, str], ...] = ()  # that its configuration gets


def new_index(repository: Repository, tree: str, index: Path) -> Path:
    """An index of TREE at INDEX, with the live index's file times where the entries are the same."""
    repository.copy_index(index)
    words = ("read-tree", "-i", "-m", tree) if index.exists() else ("read-tree", tree)
    done = repository.run(*words, index=index, tied=True, timeout=LONG)
    if not done.ok and index.exists():
        index.unlink()
        done = repository.run("read-tree", tree, index=index, tied=True, timeout=LONG)
    done.check(tr("Making the new index"))
    return index
