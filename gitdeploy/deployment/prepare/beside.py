"""A copy of the checkout as it will be, beside it: where the release's code can be tried while the old one serves.

Code and other small files are copied; of SQLite files a copy is made by SQLite, so that nothing which the new code does at its
start reaches the live data; large files are links. What the switch brings, changes and deletes is so in the copy already.

In a whole copy, which a release is rehearsed in, nothing leads back to what is live: large files share their blocks with the
live ones where the file system can, else they are copied where the release or the operator names them, or left out.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.checkout.manifest import Item, Kind
from gitdeploy.databases.sqlite import copy_pages
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.state import NAME
from gitdeploy.system import interruption, progress
from gitdeploy.system.reflink import copy_content, share

_BLOCK = 4096  # bytes that a file takes at least
_SMALL = 1 << 20  # bytes: larger files are links
_LARGEST_DATABASE = 256 << 20  # bytes of a SQLite file that is copied
_MOST_FILES = 200_000
_MANY = 500  # entries of a folder without code, or that no release tracks; one with more is a link
SPARE = 64 << 20  # bytes that stay free on the disk
_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")
_NEVER = frozenset((".git", NAME, "__pycache__"))
_NOT_COPIED = (".pid",)
_PATH_ENDS = r"""(?:[/:;,=?#&|<>(){}\[\]\s'"`]|$)"""  # what follows a path, or a folder's name in it
_BACK: dict[Kind, Kind] = {"added": "deleted", "changed": "changed", "deleted": "added"}


class Whole(Struct):
    """What a whole copy is made of. `wanted`: paths in the checkout, kept or backed up, that are copied however large they are;
    `leave`: files and folders that are not; `shared`: whether files can share their blocks. `left_out`: names of what is not in the copy."""

    wanted: Sequence[str]
    leave: Collection[Path]
    shared: bool
    tracked: frozenset[str] = frozenset()
    left_out: list[str] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Whether NAME, or something in it, is copied in any case."""
        if self.shared or name in self.tracked:
            return True
        return any(name == each or name.startswith(f"{each}/") or each.startswith(f"{name}/") for each in self.wanted)


def copy_beside(
    root: Path, place: Path, tracked: Collection[bytes], items: Sequence[Item], whole: Whole | None = None
) -> None:
    """Make PLACE a copy of the checkout ROOT with ITEMS of the switch applied. TRACKED: paths of files, whose folders are
    real ones in the copy, but for large ones without code that the switch leaves alone. Raises `DeploymentFailed` where there is no room for it, `OSError`."""
    touched = [os.path.relpath(item.live, os.fsencode(root)) for item in items]
    if whole is None:
        _Copy(root, place, _real_folders(tracked, touched)).folder("")
    else:
        whole.tracked = frozenset(map(os.fsdecode, tracked))
        folders = {os.fsdecode(above) for path in (*tracked, *touched) for above in _above(path)}
        _Copy(root, place, frozenset(folders), whole).folder("")
    put_forward(root, place, items)


def put_forward(root: Path, place: Path, items: Sequence[Item]) -> None:
    """What ITEMS of the switch bring, change and delete in the checkout ROOT is so in its copy PLACE. Raises `OSError`."""
    top = os.fsencode(root) + b"/"
    for item in items:
        if item.live.startswith(top):
            _apply(item, root, place, item.live[len(top) :])


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


def moved(text: str, root: Path, copy: Path) -> str:
    """TEXT with COPY wherever it names ROOT, by its name or its real one, or a path in it, but for gitdeploy's own folder."""
    tops = "|".join(re.escape(top) for top in dict.fromkeys((str(root), os.path.realpath(root))))
    named = rf"(^|[^\w./~-]|:/+|(?:^|\s)-\w)(?:{tops})(?={_PATH_ENDS})(?!/{re.escape(NAME)}{_PATH_ENDS})"
    return re.sub(named, lambda found: f"{found[1]}{copy}", text)


def put_back(root: Path, place: Path, items: Sequence[Item]) -> None:
    """What is live now in the copy PLACE again, in place of what ITEMS of the switch brought and changed. Raises `OSError`."""
    top = os.fsencode(root) + b"/"
    for item in items:
        if item.live.startswith(top):
            _apply(replace(item, kind=_BACK[item.kind], new=item.live), root, place, item.live[len(top) :])


def unshared_size(root: Path) -> int:
    """Bytes that a whole copy of the checkout ROOT takes whose large files share their blocks: those of the small ones."""
    total = 0
    for base, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if name not in _NEVER and not os.path.exists(f"{base}/{name}/pyvenv.cfg")
        ]
        for name in files:
            with suppress(OSError):
                size = os.lstat(f"{base}/{name}").st_size
                total += -(-size // _BLOCK) * _BLOCK if size <= _SMALL else _BLOCK
    return total


def can_share(folder: Path) -> bool:
    """Whether files in FOLDER can share their blocks; found out by doing it."""
    one, other = folder / "one", folder / "other"
    try:
        one.write_bytes(b"x" * 4096)
        with open(one, "rb") as source, open(other, "wb") as target:
            share(source, target)
    except OSError:
        return False
    finally:
        for each in (one, other):
            each.unlink(missing_ok=True)
    return True


def _above(path: bytes) -> Iterator[bytes]:
    while path := os.path.dirname(path):
        yield path


class _Copy(Struct):
    root: Path
    place: Path
    tracked: frozenset[str]  # folders
    whole: Whole | None = None
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
        if self.whole is not None and self.root / name in self.whole.leave:
            return
        if entry.is_symlink() and (self.whole is None or not self._leads_out(entry.path)):
            there.symlink_to(_target(self.root, self.place, name, os.readlink(entry.path)))
        elif entry.is_dir():
            venv = os.path.exists(f"{entry.path}/pyvenv.cfg")
            wanted = self.whole is not None and self.whole.wants(name)
            if name in self.tracked or ((wanted or _is_small(entry.path)) and not venv):
                self.folder(name)
            else:
                self._not_copied(entry.path, name)
        elif not entry.is_file():
            self._not_copied(entry.path, name)  # a socket, a pipe
        elif not name.endswith((*_NOT_COPIED, *_BESIDE)):
            self._file(entry, name)

    def _not_copied(self, path: str, name: str) -> None:
        """A link to PATH; in a whole copy an empty folder or nothing, which is noted."""
        if self.whole is None:
            (self.place / name).symlink_to(path)
            return
        if os.path.isdir(path) and not os.path.exists(f"{path}/pyvenv.cfg"):
            (self.place / name).mkdir(mode=0o700)
        self.whole.left_out.append(name)

    def _leads_out(self, path: str) -> bool:
        """Whether the link PATH leads out of the checkout, to what is there or not."""
        return _below(os.path.realpath(path), os.path.realpath(self.root)) is None

    def _file(self, entry: os.DirEntry[str], name: str) -> None:
        there = self.place / name
        self.files += 1
        progress.add(1, "files")
        if self.files % 200 == 1:
            interruption.check()
            self._look_for_room()
        try:
            with open(entry.path, "rb", buffering=0) as source:
                found = os.fstat(source.fileno())
                begin = source.read(_SMALL + 1 if found.st_size <= _SMALL else len(_SQLITE))
        except PermissionError:
            self._not_copied(entry.path, name)
            return
        wanted = self.whole is not None and self.whole.wants(name)
        if (
            begin.startswith(_SQLITE)
            and (found.st_size <= _LARGEST_DATABASE or wanted)
            and _copy_database(entry.path, there)
        ):
            return
        if entry.name.endswith(".log"):
            begin = b""  # the app may begin its log anew at its start
        elif found.st_size > _SMALL and wanted:
            self._large(entry.path, there, found)
            return
        elif found.st_size > _SMALL:
            self._not_copied(entry.path, name)
            return
        made = os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, (found.st_mode & 0o777) | 0o200)
        try:
            while begin:
                begin = begin[os.write(made, begin) :]
        finally:
            os.close(made)

    def _large(self, path: str, there: Path, found: os.stat_result) -> None:
        """Blocks shared with the file PATH, or a copy of it where that can't be: another disk's can't."""
        with open(path, "rb") as source, open(there, "xb") as target:
            try:
                share(source, target)
            except OSError:
                self._look_for_room(found.st_size)
                copy_content(source, target)
        os.chmod(there, (found.st_mode & 0o777) | 0o200)

    def _look_for_room(self, more: int = 0) -> None:
        found = os.statvfs(self.place)
        most = _MOST_FILES * (10 if self.whole is not None else 1)
        if self.files > most or found.f_bavail * found.f_frsize < SPARE + more:
            raise DeploymentFailed(
                tr("there are more than {most_files} files in it", most_files=most)
                if self.files > most
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
    if os.statvfs(there.parent).f_bavail * os.statvfs(there.parent).f_frsize < os.stat(path).st_size + SPARE:
        return False
    try:
        with (
            closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=5)) as source,
            closing(sqlite3.connect(there)) as target,
        ):
            copy_pages(source, target, patience=0.0)
    except sqlite3.Error:
        there.unlink(missing_ok=True)
        return False
    return True


def _below(path: str, top: str) -> str | None:
    """PATH as it is called from TOP; None where it isn't there. Both absolute."""
    if path == top:
        return ""
    return path[len(top) + 1 :] if path.startswith(f"{top}/") else None


def _target(root: Path, place: Path, name: str, target: str) -> str:
    """What the link NAME of the checkout ROOT, which leads to TARGET there, leads to in the copy PLACE: to the same in the copy,
    by whatever other name of ROOT the link goes; what is outside is led to from there too."""
    real, folder = os.path.realpath(root), os.path.dirname(name)
    above = os.path.realpath(root / folder)
    full = os.path.normpath(os.path.join(above, target))
    ways = (full, real), (full, str(root)), (os.path.realpath(os.path.join(above, target)), real)
    inside = next((found for path, top in ways if (found := _below(path, top)) is not None), None)
    if inside is None or inside.partition("/")[0] == NAME:
        return full
    if os.path.isabs(target) or _below(above, real) != folder or _climbs(folder, target):
        return str(place / inside)
    return target


def _climbs(folder: str, target: str) -> bool:
    """Whether the way from FOLDER of the checkout to TARGET goes through what is above the checkout."""
    depth = len(Path(folder).parts)
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


def _apply(item: Item, root: Path, copy: Path, name: bytes) -> None:
    """What the switch will do to the file NAME of the checkout ROOT, done in its COPY."""
    place = os.fsencode(copy)
    there = os.path.join(place, name)
    above = place
    for part in islice(name.split(b"/"), name.count(b"/")):
        above = os.path.join(above, part)
        if os.path.islink(above) or not os.path.isdir(above):
            if item.kind == "deleted":
                return
            with suppress(FileNotFoundError):
                os.unlink(above)
            os.mkdir(above, 0o700)
    if os.path.isdir(there) and not os.path.islink(there):
        if item.kind == "deleted":
            return
        shutil.rmtree(there)
    with suppress(FileNotFoundError):
        os.unlink(there)
    if item.kind == "deleted":
        return
    if os.path.islink(item.new):
        os.symlink(_target(root, copy, os.fsdecode(name), os.readlink(os.fsdecode(item.new))), there)
    else:
        shutil.copy2(item.new, there)
