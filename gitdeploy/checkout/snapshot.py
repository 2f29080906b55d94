"""The present state of the tracked files as a commit, byte for byte, and the way back to it.

Neither `git stash` nor `git add -A` records what is really on disk (filters, line ends, ignored files), so local bytes
are written with `hash-object --no-filters` through an index of their own. Where nothing differs from HEAD, HEAD's own
commit is the snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from gitdeploy.checkout.changes import Target
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import Local, git_mode
from gitdeploy.checkout.program import LONG
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text

_PATHS = ("exact", "untracked", "hidden")


class Snapshot(Struct, frozen=True):
    """A recorded state: `commit` holds everything (its parents are HEAD and, where it differs, the index's commit)."""

    commit: str
    head: str
    branch: str | None
    tree: str
    index_tree: str
    exact: tuple[bytes, ...]
    untracked: tuple[bytes, ...]
    hidden: tuple[bytes, ...]

    def as_dict(self) -> dict[str, Any]:
        """As a backup's manifest has it: paths are text, whatever bytes they are (os.fsdecode)."""
        data = asdict(self)
        for name in _PATHS:
            data[name] = [os.fsdecode(path) for path in data[name]]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Snapshot:
        """Raises `KeyError` and `TypeError` for what is none."""
        paths = {name: tuple(os.fsencode(path) for path in data.get(name, ())) for name in _PATHS}
        return cls(data["commit"], data["head"], data.get("branch"), data["tree"], data["index_tree"], **paths)

    def target(self) -> Target:
        """What the switch must bring about to be back in this state."""
        return Target(
            self.head,
            self.tree,
            self.index_tree,
            self.branch,
            frozenset(self.exact),
            frozenset(self.untracked),
            self.hidden,
        )


def take_snapshot(repository: Repository, local: Local, also: Sequence[bytes], message: str) -> Snapshot:
    """Record tracked files as they are on disk, and the untracked ones of ALSO. Raises `DeploymentFailed`."""
    head_tree = repository.tree_of(local.head)
    changed = [change for change in local.changes if not change.submodule]
    known = {change.path for change in changed}
    extra = [path for path in also if path not in known]
    staged = any(change.staged for change in local.changes)  # submodules too
    if not changed and not extra and not staged:
        return Snapshot(local.head, local.head, local.branch, head_tree, head_tree, (), (), local.hidden)
    with repository.scratch() as folder:
        index = folder / "index"
        repository.copy_index(index)
        index_tree = head_tree
        if staged:
            index_tree = repository.output("write-tree", index=index, tied=True).decode().strip()
        elif not index.exists():
            repository.output("read-tree", head_tree, index=index, tied=True)
        exact = _record(repository, index, [*(change.path for change in changed), *extra])
        tree = repository.output("write-tree", index=index, tied=True).decode().strip()
    parents = [local.head]
    if index_tree != head_tree:
        parents.append(_commit(repository, index_tree, [local.head], "The index\n"))
    commit = _commit(repository, tree, parents, message)
    untracked = tuple(path for path in extra if path in exact)
    return Snapshot(commit, local.head, local.branch, tree, index_tree, tuple(sorted(exact)), untracked, local.hidden)


def _record(repository: Repository, index: Path, paths: Sequence[bytes]) -> set[bytes]:
    """Put the bytes that are on disk at PATHS into an index; what isn't there is removed from it. Returns the former."""
    root = os.fsencode(repository.root)
    modes = {path: git_mode(root + b"/" + path) for path in paths}
    files = [path for path in paths if modes[path] in (0o100644, 0o100755)]
    ids: dict[bytes, str] = {}
    plain = [path for path in files if b"\n" not in path]
    if plain:
        done = repository.run(
            "hash-object", "-w", "--no-filters", "--stdin-paths",
            stdin=b"".join(path + b"\n" for path in plain), timeout=LONG, tied=True,
        )  # fmt: skip
        if not done.ok:
            raise DeploymentFailed(
                tr("A locally changed file can't be read for the backup: {error_text}", error_text=done.error_text),
                tr("Make it readable for the user that runs gitdeploy."),
            )
        ids = dict(zip(plain, done.stdout.decode().split(), strict=True))
    for path in paths:
        if path not in ids and modes[path] not in (0, 0o40000):
            content = os.readlink(root + b"/" + path) if modes[path] == 0o120000 else _read(root + b"/" + path)
            ids[path] = repository.output("hash-object", "-w", "--stdin", stdin=content, tied=True).decode().strip()
    length = len(next(iter(ids.values()))) if ids else 40
    lines = [
        b"%o %s\t%s\0" % (modes[path], ids[path].encode(), path)
        if path in ids
        else b"0 %s\t%s\0" % (b"0" * length, path)
        for path in paths
    ]
    repository.output("update-index", "-z", "--index-info", stdin=b"".join(lines), index=index, tied=True)
    return set(ids)


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as source:
            return source.read()
    except OSError as error:
        raise DeploymentFailed(
            tr("{path} can't be read for the backup: {strerror}.", path=path_text(path), strerror=error.strerror),
            tr("Make it readable for the user that runs gitdeploy."),
        ) from error


def _commit(repository: Repository, tree: str, parents: Sequence[str], message: str) -> str:
    words = [word for parent in parents for word in ("-p", parent)]
    done = repository.output("commit-tree", *words, tree, stdin=message.encode(), tied=True)
    return done.decode().strip()


def keep_alive(repository: Repository, snapshot: Snapshot, message: str) -> str:
    """A commit of its own above SNAPSHOT, for a ref in a submodule's repository: one at HEAD's own commit would change
    what `git submodule status` calls it."""
    return _commit(repository, snapshot.tree, [snapshot.commit], message)
