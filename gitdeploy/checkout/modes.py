"""Permissions of tracked files as they are on disk: git knows no more of them than whether a file is executable, and with
`core.fileMode=false` not even that.

Of most files they are the same; those are told by their kind, and only the others one by one.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.checkout.changes import REGULAR, FileChange, Target, TreePlan, look
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import Local
from gitdeploy.system.durable import is_file

Recorded = tuple[int, int, int]
"""Permissions, owner and group; an owner or group of -1 is that of what stands there."""


class Modes(Struct, frozen=True):
    """`odd`: path -> what it is where that is not the usual; `usual`: git's mode -> permissions of most such files; `own`:
    a path that keeps those it has."""

    odd: Mapping[bytes, Recorded] = field(default_factory=dict)
    usual: Mapping[int, int] = field(default_factory=dict)
    own: bytes | None = None

    def of(self, path: bytes, mode: int) -> Recorded | None:
        """What PATH, of git's MODE, was; None where that wasn't recorded."""
        if path == self.own:
            return None
        if path in self.odd:
            return self.odd[path]
        return (self.usual[mode], -1, -1) if mode in self.usual else None


def read_modes(root: Path, tracked: Iterable[tuple[bytes, int]]) -> Modes:
    """The permissions of the TRACKED files (path, git's mode) as they are now. Raises `OSError` where they can't be told."""
    base = os.fsencode(root) + b"/"
    found: dict[bytes, tuple[int, Recorded]] = {}
    for path, mode in tracked:
        if mode not in REGULAR:
            continue
        try:
            facts = os.lstat(base + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(facts.st_mode):
            found[path] = (mode, (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid))
    usual: dict[int, int] = {}
    for mode in REGULAR:
        executable = mode == 0o100755  # one that is so on disk alone, or in git alone, is never the usual
        bits = [recorded[0] for kind, recorded in found.values() if kind == mode]
        counted = Counter(each for each in bits if bool(each & 0o100) == executable)
        if counted:
            usual[mode] = counted.most_common(1)[0][0]
    owners = Counter(recorded[1:] for _, recorded in found.values()).most_common(1)
    odd = {
        path: recorded
        for path, (mode, recorded) in found.items()
        if recorded[0] != usual.get(mode) or recorded[1:] != owners[0][0]
    }
    return Modes(odd, usual)


def with_modes(
    repository: Repository, plan: TreePlan, local: Local, goal: Target, then: Modes, keep: KeepPaths
) -> TreePlan:
    """PLAN, and those files of GOAL whose permissions alone are other ones now than THEN: where either are unusual."""
    root = os.fsencode(repository.root) + b"/"
    planned = {change.path for change in plan.changes}
    kinds = dict(local.tracked)
    now = read_modes(repository.root, local.tracked)
    differing: dict[bytes, Recorded] = {}
    for path in sorted(then.odd.keys() | now.odd.keys()):
        present, wanted = now.of(path, kinds.get(path, 0)), then.of(path, kinds.get(path, 0))
        if present is None or wanted is None or path in planned or keep.match(path):
            continue
        if present[0] != wanted[0] and is_file(root + path):
            differing[path] = wanted
    if not differing:
        return plan
    entries = repository.facts([f"{goal.tree}:{os.fsdecode(path)}" for path in differing])
    more = [
        FileChange(
            path,
            "changed",
            0o100755 if wanted[0] & 0o100 else 0o100644,
            entry.oid,
            exact=path in goal.exact,
            seen=look(root + path),
        )
        for (path, wanted), entry in zip(differing.items(), entries, strict=True)
        if entry is not None and entry.kind == "blob"
    ]
    return replace(plan, changes=tuple(sorted((*plan.changes, *more), key=lambda change: change.path)))
