"""What the checkout looks like now: HEAD, branch, and every tracked file that differs from HEAD."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.checkout.blobs import file_blob_id
from gitdeploy.checkout.git import Repository
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system.completed import Completed
from gitdeploy.system.durable import NOTHING_THERE, exists
from gitdeploy.text import path_text, shell_word

ABSENT = "0" * 40
FIRST_CHECKOUT = tr("Check a release out once by hand: git fetch --tags && git checkout TAG")
# What perror(3) and error_errno of git write: `name: Permission denied`, `error: open("name"): Permission denied`.
_UNSEEN = re.compile(
    r"(?:error: |fatal: )?(?:open\(\"|could not (?:open|read) '?|unable to \w+ '?)?(.+?)(?:\"\))?'?: (Permission denied|Input/output error|Operation not permitted)$"
)


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
    hidden: tuple[bytes, ...]  # paths marked skip-worktree or assume-unchanged, but for:
    sparse: tuple[bytes, ...] = ()  # those that a sparse checkout leaves out, and that are absent
    tracked: tuple[tuple[bytes, int], ...] = ()  # each path of the index and its mode there

    def changed(self) -> dict[bytes, LocalChange]:
        return {change.path: change for change in self.changes}

    def without(self, files: Collection[Path], root: Path) -> Local:
        """The same but for FILES below ROOT: databases, which only their own programs may copy."""
        names = {os.fsencode(os.path.normpath(file)) for file in files}
        top = os.fsencode(root)
        return replace(self, changes=tuple(c for c in self.changes if top + b"/" + c.path not in names))


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
            tr(
                "git can't read the checkout {root} ({ending}): {error_text}",
                root=path_text(str(repository.root)),
                ending=done.ending,
                error_text=done.error_text,
            ),
            tr("To see why, and what to type: gitdeploy doctor"),
        )
    _refuse_unseen(repository, done)
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
                tr("A merge is not finished: {entry} has conflicts.", entry=path_text(entry.split(b" ", 10)[10])),
                tr("Finish or abort it first (git status says how)."),
            )
    if head == "(initial)" or not head:
        raise DeploymentFailed(tr("The checkout has no commit yet."), FIRST_CHECKOUT)
    hidden, tracked = _index(repository)
    _refuse_unreadable(repository, changes)
    known = {change.path for change in changes}
    unseen = [change for change in _hidden_changes(repository, hidden) if change.path not in known]
    sparse: set[bytes] = set()
    if any(change.disk_mode == 0 for change in unseen) and _is_sparse(repository):
        sparse = {change.path for change in unseen if change.disk_mode == 0}
    changes += [change for change in unseen if change.path not in sparse]
    outside = tuple(sorted(sparse))
    return Local(head, branch, tuple(changes), tuple(sorted(hidden.keys() - sparse)), outside, tuple(tracked))


def _refuse_unseen(repository: Repository, done: Completed) -> None:
    """git status leaves out what it can't look at, with a line on standard error and exit code 0."""
    for line in done.error_text.splitlines() if done.stderr else ():
        if not line.startswith(("warning: ", "hint: ")) and (found := _UNSEEN.match(line)):
            raise _untold(repository, found[1], found[2])


def _refuse_unreadable(repository: Repository, changes: list[LocalChange]) -> None:
    """git takes a file that it can't open for one that was changed."""
    for change in changes:
        full = os.path.join(os.fsencode(repository.root), change.path)
        if change.disk_mode in (0o100644, 0o100755) and not os.access(full, os.R_OK):
            raise _untold(repository, change.path, "Permission denied")


def _untold(repository: Repository, path: bytes | str, why: str) -> DeploymentFailed:
    place = repository.root / os.fsdecode(path)
    return DeploymentFailed(
        tr("Whether {path} was changed can't be told: {why}.", path=path_text(path), why=why),
        tr("Make it readable for its owner: chmod -R u+rwX {place}", place=shell_word(str(place))),
    )


def _is_sparse(repository: Repository) -> bool:
    """Whether git's own patterns decide which files are here."""
    values = repository.config(r"^core\.sparsecheckout$").get("core.sparsecheckout", ["false"])
    return values[-1].lower() not in ("false", "no", "off", "0")


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
        if exists(repository.git_dir / name):
            return word
    return None


def stop_words(word: str, folder: bytes = b"") -> str:
    """How what WORD names (`operation_under_way`) in FOLDER is ended."""
    where = f"-C {shell_word(folder)} " if folder else ""
    command = f"git {where}{word} {'reset' if word == 'bisect' else '--abort'}"
    return tr("Finish it, or stop it: {command}", command=command)


def _index(repository: Repository) -> tuple[dict[bytes, tuple[int, str]], list[tuple[bytes, int]]]:
    """(paths that git was told not to look at -> their mode and id in the index, every path and its mode there)."""
    hidden, tracked = {}, []
    for entry in repository.output("ls-files", "-s", "-v", "-z").split(b"\0"):
        if entry:
            facts, _, path = entry.partition(b"\t")
            mark, mode, oid, _ = facts.split(b" ")
            tracked.append((path, int(mode, 8)))
            if mark == b"S" or mark.islower():
                hidden[path] = (int(mode, 8), oid.decode())
    return hidden, tracked


def _hidden_changes(repository: Repository, hidden: dict[bytes, tuple[int, str]]) -> list[LocalChange]:
    changes = []
    for path, (mode, oid) in hidden.items():
        full = os.path.join(os.fsencode(repository.root), path)
        disk_mode = git_mode(full)
        if disk_mode == 0 or (disk_mode != 0o40000 and file_blob_id(full, len(oid)) != oid):
            changes.append(LocalChange(path, mode, oid, mode, oid, disk_mode, hidden=True))
    return changes


def git_mode(path: bytes) -> int:
    """What git would record for what is at PATH: 100644, 100755, 120000, 40000 for a directory, 0 for nothing. Raises
    `OSError` where that can't be told."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return 0
    if stat.S_ISLNK(mode):
        return 0o120000
    if stat.S_ISDIR(mode):
        return 0o40000
    return 0o100755 if mode & 0o100 else 0o100644
