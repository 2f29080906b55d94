"""What the checkout looks like now: HEAD, branch, and every tracked file that differs from HEAD."""

from __future__ import annotations

import os
import stat

from msgspec import Struct

from gitdeploy.checkout.git import Repository, file_blob_id
from gitdeploy.errors import DeploymentFailed
from gitdeploy.text import path_text

ABSENT = "0" * 40


class LocalChange(Struct, frozen=True):
    """A tracked path that differs from HEAD in the index or on disk. Modes are git's (0 where absent)."""

    path: bytes
    head_mode: int
    head_id: str
    index_mode: int
    index_id: str
    disk_mode: int
    hidden: bool = False  # by skip-worktree or assume-unchanged

    @property
    def staged(self) -> bool:
        return (self.head_mode, self.head_id) != (self.index_mode, self.index_id)

    @property
    def submodule(self) -> bool:
        return 0o160000 in (self.head_mode, self.index_mode)


class Local(Struct, frozen=True):
    """HEAD (None before the first commit), its branch (full ref, None when detached), and what differs from it."""

    head: str
    branch: str | None
    changes: tuple[LocalChange, ...]
    hidden: tuple[bytes, ...]  # paths marked skip-worktree or assume-unchanged

    def changed(self) -> dict[bytes, LocalChange]:
        return {change.path: change for change in self.changes}


def read_local(repository: Repository) -> Local:
    """Look at the checkout: two git commands, nothing changed. Raises `DeploymentFailed` where it can't be read."""
    done = repository.run(
        "status",
        "--porcelain=v2",
        "-z",
        "--branch",
        "--no-ahead-behind",
        "--untracked-files=no",
        "--no-renames",
        "--ignore-submodules=none",
    )
    if not done.ok:
        raise DeploymentFailed(
            f"git can't read the checkout {path_text(str(repository.root))} ({done.ending}): {done.error_text}",
            "`git -C … status` shows the same; `gitdeploy doctor` looks for damaged objects.",
        )
    head, branch, changes = "", None, []
    for entry in done.stdout.split(b"\0"):
        if entry.startswith(b"# branch.oid "):
            head = entry[13:].decode()
        elif entry.startswith(b"# branch.head "):
            name = entry[14:].decode("utf-8", "surrogateescape")
            branch = None if name == "(detached)" else f"refs/heads/{name}"
        elif entry.startswith(b"1 "):
            _, _, _, head_mode, index_mode, disk_mode, head_id, index_id, path = entry.split(b" ", 8)
            changes.append(
                LocalChange(
                    path,
                    int(head_mode, 8),
                    head_id.decode(),
                    int(index_mode, 8),
                    index_id.decode(),
                    int(disk_mode, 8),
                )
            )
        elif entry.startswith(b"u "):
            raise DeploymentFailed(
                f"A merge is not finished: {path_text(entry.split(b' ', 10)[10])} has conflicts.",
                "Finish or abort it first (git status says how).",
            )
    if head == "(initial)" or not head:
        raise DeploymentFailed("The checkout has no commit yet.", "Check a release out once by hand: git checkout TAG")
    hidden = _hidden(repository)
    known = {change.path for change in changes}
    changes += [change for change in _hidden_changes(repository, hidden) if change.path not in known]
    return Local(head, branch, tuple(changes), tuple(sorted(hidden)))


def operation_under_way(repository: Repository) -> str | None:
    """`merge`, `rebase`, ... when git is in the middle of one."""
    for name, word in (
        ("MERGE_HEAD", "merge"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("BISECT_LOG", "bisect"),
    ):
        if (repository.git_dir / name).exists():
            return word
    return None


def _hidden(repository: Repository) -> dict[bytes, tuple[int, str]]:
    """Paths that git was told not to look at -> their (mode, id) in the index."""
    listed = repository.output("ls-files", "-v", "-z")
    marked = [e[2:] for e in listed.split(b"\0") if e and (e[:1] == b"S" or e[:1].islower())]
    if not marked:
        return {}
    found = {}
    wanted = set(marked)
    for entry in repository.output("ls-files", "-s", "-z").split(b"\0"):
        if entry:
            facts, _, path = entry.partition(b"\t")
            if path in wanted:
                mode, oid, _ = facts.split(b" ")
                found[path] = (int(mode, 8), oid.decode())
    return found


def _hidden_changes(repository: Repository, hidden: dict[bytes, tuple[int, str]]) -> list[LocalChange]:
    changes = []
    for path, (mode, oid) in hidden.items():
        full = os.path.join(os.fsencode(repository.root), path)
        disk_mode = git_mode(full)
        if disk_mode == 0 or (disk_mode != 0o40000 and file_blob_id(full, len(oid)) != oid):
            changes.append(LocalChange(path, mode, oid, mode, oid, disk_mode, hidden=True))
    return changes


def git_mode(path: bytes) -> int:
    """What git would record for what is at PATH: 100644, 100755, 120000, 40000 for a directory, 0 for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    if stat.S_ISLNK(mode):
        return 0o120000
    if stat.S_ISDIR(mode):
        return 0o40000
    return 0o100755 if mode & 0o100 else 0o100644
