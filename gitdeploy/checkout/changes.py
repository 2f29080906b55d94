"""What a switch changes, as values: one file, what is to be live, what speaks against it; and how two trees differ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from gitdeploy.checkout.bounds import refuse_too_many
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import LONG

Kind = Literal["added", "changed", "deleted"]
Policy = Literal["refuse", "merge", "discard"]
SUBMODULE = 0o160000
LINK = 0o120000
REGULAR = frozenset((0o100644, 0o100755))
_known: set[str] = set()  # trees that `bounds` let pass
_ALL_SUBMODULES = "--ignore-submodules=none"  # whatever submodule.NAME.ignore says


class FileChange(Struct, frozen=True):
    """One path that the switch changes on disk. `mode` is git's, 0 for a deletion.

    What will stand there: the blob `oid` of `owner` (a submodule's place, b"": the checkout itself) through git's
    filters, its bytes as they are (`exact`), or `content`.
    """

    path: bytes
    kind: Kind
    mode: int = 0
    oid: str = ""
    exact: bool = False
    content: bytes | None = None
    seen: tuple[int, int, int] | None = None  # inode, size, mtime in ns of what stood there when it was compared
    owner: bytes = b""


class Target(Struct, frozen=True):
    """What is to be live: HEAD (a commit, on a branch or not), the tree of the files, the tree of the index.

    `exact`: paths whose blobs are bytes of the disk; `untracked`: paths of `tree` that the index doesn't have.
    """

    commit: str
    tree: str
    index_tree: str
    branch: str | None = None
    exact: frozenset[bytes] = frozenset()
    untracked: frozenset[bytes] = frozenset()
    hidden: tuple[bytes, ...] = ()
    left_out: tuple[bytes, ...] = ()  # paths of `tree` that a sparse checkout leaves absent


class Problem(Struct, frozen=True):
    """Something that speaks against the deployment, and what to do. `refused`: by policy (exit 7), else exit 1; `ways`:
    what to do with local changes that would settle it."""

    message: str
    hint: str = ""
    refused: bool = False
    ways: tuple[Policy, ...] = ()


class TreePlan(Struct, frozen=True):
    """What the switch does to the files of the checkout and of its submodules, and what stands in its way."""

    changes: tuple[FileChange, ...]
    problems: tuple[Problem, ...]
    saved: tuple[bytes, ...]  # local content that only the backup will hold
    kept: tuple[bytes, ...]  # keep paths that the release changes, deletes or begins to track
    kept_data: tuple[bytes, ...]  # files that the release no longer tracks but ignores: left where they are
    merged: tuple[bytes, ...]
    folders: tuple[bytes, ...] = ()  # of submodules without files here: there, and empty but for what is yours
    emptied: tuple[bytes, ...] = ()  # that go where nothing is left in them
    version_file: bytes | None = None  # the env file, where APP_VERSION in it is all that changes


def tree_difference(repository: Repository, old: str, new: str) -> Mapping[bytes, tuple[int, str, int, str]]:
    """Path -> (old mode, old id, new mode, new id) of what differs between two trees, given by their ids."""
    if old > new:
        turned = _tree_difference(repository, new, old).items()
        return {path: (old_mode, old_id, new_mode, new_id) for path, (new_mode, new_id, old_mode, old_id) in turned}
    return _tree_difference(repository, old, new)


@lru_cache(maxsize=4)
def _tree_difference(repository: Repository, old: str, new: str) -> Mapping[bytes, tuple[int, str, int, str]]:
    """The same, kept, since two ids always differ in the same; a plan asks for it forwards and backwards."""
    refuse_too_many(repository, old, new)
    refuse_too_many(repository, new, old)
    output = repository.output(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", _ALL_SUBMODULES, old, new, timeout=LONG
    )
    _known.update((old, new))
    fields = output.split(b"\0")
    found = {}
    for facts, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, _ = facts[1:].decode().split(" ")
        found[path] = (int(old_mode, 8), old_id, int(new_mode, 8), new_id)
    return found


def list_tree(repository: Repository, tree: str) -> dict[bytes, tuple[int, str]]:
    """Path -> (mode, id) of every entry of a tree. One that no release was compared with is counted first."""
    if tree not in _known:
        refuse_too_many(repository, tree)
    found = {}
    for entry in repository.output("ls-tree", "-r", "-z", "--full-tree", tree, timeout=LONG).split(b"\0"):
        if entry:
            facts, _, path = entry.partition(b"\t")
            mode, _, oid = facts.split(b" ")
            found[path] = (int(mode, 8), oid.decode())
    return found


def look(path: bytes) -> tuple[int, int, int]:
    """Inode, size and mtime (ns) of what stands at PATH."""
    found = os.lstat(path)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
