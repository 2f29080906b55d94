"""A copy of the checkout as it will be, beside it: where the release's code can be tried while the old one serves.

Code and other small files are copied; of SQLite files a copy is made by SQLite, so that nothing which the new code does at its
start reaches the live data; large files are links. What the switch brings, changes and deletes is so in the copy already.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from msgspec import Struct

from gitdeploy.checkout.manifest import Item
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.state import NAME
from gitdeploy.system import interruption

_SMALL = 1 << 20  # bytes: larger files are links
_LARGEST_DATABASE = 256 << 20  # bytes of a SQLite file that is copied
_MOST_FILES = 200_000
_MANY = 500  # entries of a folder without code, or that no release tracks; one with more is a link
_SPARE = 64 << 20  # bytes that stay free on the disk
_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")
_NEVER = frozenset((".git", NAME, "__pycache__"))
_NOT_COPIED = (".pid",)


def copy_beside(root: Path, place: Path, tracked: Collection[bytes], items: Sequence[Item]) -> None:
    """Make PLACE a copy of the checkout ROOT with ITEMS of the switch applied. TRACKED: paths of files, whose folders are
    real ones in the copy, but for large ones without code that the switch leaves alone. Raises `DeploymentFailed` where there is no room for it, `OSError`."""
    touched = [os.path.relpath(item.live, os.fsencode(root)) for item in items]
    _Copy(root, place, _real_folders(tracked, touched)).folder("")
    top = os.fsencode(root) + b"/"
    for item in items:
        if item.live.startswith(top):
            _apply(item, os.fsencode(place), item.live[len(top) :])


def _real_folders(tracked: Collection[bytes], touched: Collection[bytes]) -> frozenset[str]:
    """The folders of TRACKED and TOUCHED files, without those that hold many files, no code, and nothing TOUCHED."""
    files: Counter[bytes] = Counter()
    needed = {b""}
    for path in tracked:
        code = path.endswith((b".py", b".so"))
        folder = path
        while folder := os.path.dirname(folder):
            files[folder] += 1
            if code:
                needed.add(folder)
    for path in touched:
        while path := os.path.dirname(path):
            needed.add(path)
    return frozenset(os.fsdecode(folder) for folder in {*needed, *files} if folder in needed or files[folder] <= _MANY)


class _Copy(Struct):
    root: Path
    place: Path
    tracked: frozenset[str]  # folders
    files: int = 0

    def folder(self, name: str) -> None:
        here = self.place / name
        here.mkdir(mode=0o700)
        with os.scandir(self.root / name) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.name not in _NEVER:
                    self._entry(entry, f"{name}/{entry.name}" if name else entry.name)

    def _entry(self, entry: os.DirEntry[str], name: str) -> None:
        there = self.place / name
        if entry.is_symlink():
            there.symlink_to(self._target(entry.path))
        elif entry.is_dir():
            if name in self.tracked or (_is_small(entry.path) and not os.path.exists(f"{entry.path}/pyvenv.cfg")):
                self.folder(name)
            else:
                there.symlink_to(entry.path)
        elif not entry.is_file():
            there.symlink_to(entry.path)  # a socket, a pipe
        elif not name.endswith((*_NOT_COPIED, *_BESIDE)):
            self._file(entry, there)

    def _target(self, path: str) -> str:
        """A link inside the checkout leads to the same place in the copy, one that leads out of it there from the copy too."""
        target = os.readlink(path)
        full = os.path.normpath(os.path.join(os.path.dirname(path), target))
        inside = os.path.relpath(full, self.root)
        if inside.startswith(("..", NAME)):
            return full
        return str(self.place / inside) if os.path.isabs(target) else target

    def _file(self, entry: os.DirEntry[str], there: Path) -> None:
        self.files += 1
        if self.files % 200 == 1:
            interruption.check()
            self._look_for_room()
        try:
            with open(entry.path, "rb", buffering=0) as source:
                found = os.fstat(source.fileno())
                begin = source.read(_SMALL + 1 if found.st_size <= _SMALL else len(_SQLITE))
        except PermissionError:
            there.symlink_to(entry.path)
            return
        if begin.startswith(_SQLITE) and found.st_size <= _LARGEST_DATABASE and _copy_database(entry.path, there):
            return
        if entry.name.endswith(".log"):
            begin = b""  # the app may begin its log anew at its start
        elif found.st_size > _SMALL:
            there.symlink_to(entry.path)
            return
        made = os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, (found.st_mode & 0o777) | 0o200)
        try:
            while begin:
                begin = begin[os.write(made, begin) :]
        finally:
            os.close(made)

    def _look_for_room(self) -> None:
        found = os.statvfs(self.place)
        if self.files > _MOST_FILES or found.f_bavail * found.f_frsize < _SPARE:
            raise DeploymentFailed(
                tr("there are more than {most_files} files in it", most_files=_MOST_FILES)
                if self.files > _MOST_FILES
                else tr("there is too little room on the disk for a copy")
            )


def _is_small(path: str) -> bool:
    """Whether the folder PATH holds few things, all in all."""
    seen = 0
    for _, folders, files in os.walk(path):
        seen += len(folders) + len(files)
        if seen > _MANY:
            return False
    return True


def _copy_database(path: str, there: Path) -> bool:
    """Whether it could be copied whole, while others write to it."""
    if os.statvfs(there.parent).f_bavail * os.statvfs(there.parent).f_frsize < os.stat(path).st_size + _SPARE:
        return False
    try:
        with (
            closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=5)) as source,
            closing(sqlite3.connect(there)) as target,
        ):
            source.backup(target)
    except sqlite3.Error:
        there.unlink(missing_ok=True)
        return False
    return True


def _apply(item: Item, place: bytes, name: bytes) -> None:
    """What the switch will do to the file NAME, done in the copy at PLACE."""
    there = os.path.join(place, name)
    above = place
    for part in islice(name.split(b"/"), name.count(b"/")):
        above = os.path.join(above, part)
        if os.path.islink(above) or not os.path.isdir(above):
            with suppress(FileNotFoundError):
                os.unlink(above)
            if item.kind == "deleted":
                return
            os.mkdir(above, 0o700)
    if os.path.isdir(there) and not os.path.islink(there):
        if item.kind == "deleted":
            return
        shutil.rmtree(there)
    with suppress(FileNotFoundError):
        os.unlink(there)
    if item.kind != "deleted":
        shutil.copy2(item.new, there, follow_symlinks=False)
