"""Files and folders copied into a backup, and how much room they take."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.backups.store import Backup, ids, read
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import interruption
from gitdeploy.system.reflink import share_or_copy
from gitdeploy.text import path_text

_CLOCK_TICK = 100_000_000  # nanoseconds: within so many a file may change without a sign of it
_BLOCK = 1 << 20
SINCE = ".since"  # behind a folder's name


class Earlier(Struct, frozen=True):
    """An earlier copy of the same paths, below FOLDER, nobody's but ours: what is still the same is linked from there.

    `begun`: when its copying began, nanoseconds by the clock of the file system `device`. What was changed last before
    that is in the copy as it is now. A file's own times tell less: each further link gives the copy a new change time.
    """

    folder: Path
    begun: int
    device: int

    def inner(self, name: str) -> Earlier:
        return Earlier(self.folder / name, self.begun, self.device)


def begin_copies(folder: Path) -> Path:
    """Note that copies are made from now on; the note, which `note_copies` puts beside FOLDER when they are there."""
    note = folder.with_name(f"{folder.name}{SINCE}.new")
    note.unlink(missing_ok=True)
    note.touch(mode=0o600, exist_ok=False)
    return note


def note_copies(folder: Path, note: Path) -> None:
    """FOLDER holds the copies that NOTE was taken for. Until then an older note counts, which promises less."""
    os.replace(note, folder.with_name(f"{folder.name}{SINCE}"))


def earlier_copies(folder: Path, now: Path | None = None) -> Earlier | None:
    """The copies in FOLDER, where it is known since when they are what was live. NOW: a note of this moment; where it is
    the older one, the clock was set back, and times say nothing."""
    try:
        found = os.lstat(folder.with_name(f"{folder.name}{SINCE}"))
        if now is not None and os.lstat(now).st_mtime_ns < found.st_mtime_ns:
            return None
        return Earlier(folder, found.st_mtime_ns, found.st_dev) if folder.is_dir() else None
    except OSError:
        return None


def matching_paths(root: Path, patterns: Iterable[str]) -> list[str]:
    """Existing paths (relative, no folder twice) that keep or include patterns name. Nothing outside ROOT, ever."""
    found: set[str] = set()
    for pattern in patterns:
        name = pattern.rstrip("/").removeprefix("./")
        if any(character in name for character in "*?["):
            found |= {str(path.relative_to(root)) for path in root.glob(name) if ".gitdeploy" not in path.parts}
        elif _exists(root / name):
            found.add(name)
    inner = {path for path in found if any(path.startswith(other + "/") for other in found)}
    return sorted(
        path for path in found - inner if path.split("/")[0] not in (".git", ".gitdeploy") and _inside(root, path)
    )


def _exists(path: Path) -> bool:
    """Whether anything stands at PATH. Raises `DeploymentFailed` where that can't be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _unreadable(path: Path, error: OSError) -> DeploymentFailed:
    return DeploymentFailed(
        tr("{path} can't be read for the backup: {strerror}.", path=path_text(str(path)), strerror=error.strerror),
        tr("Make it readable for the user that runs gitdeploy, or take it out of git.keep and backup.include."),
    )


def _inside(root: Path, path: str) -> bool:
    parent = os.path.realpath(root / os.path.dirname(path))
    real = os.path.realpath(root)
    return parent == real or parent.startswith(real + "/")


class Amount(Struct):
    """What files take: `size` bytes, `new` of them in files that an earlier copy doesn't have as they are; `parts`: those by
    the path that was named, or the folder in it."""

    size: int = 0
    new: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    def add(self, part: str, size: int, new: int) -> None:
        self.size += size
        if new:
            self.new += new
            self.parts[part] = self.parts.get(part, 0) + new

    def take(self, other: Amount) -> None:
        """All of OTHER as well."""
        self.size += other.size - other.new
        for part, new in other.parts.items():
            self.add(part, new, new)


def content_size(root: Path, paths: Iterable[str]) -> int:
    """Bytes of the files at and below PATHS."""
    return amount(root, paths).size


def amount(root: Path, paths: Iterable[str], earlier: Earlier | None = None, leave: Collection[Path] = ()) -> Amount:
    """Bytes of the files at and below PATHS, and how much of that a copy beside the EARLIER ones would be anew, without the
    files of LEAVE: told by size, times, mode and owner alone, in one walk."""
    found = Amount()
    left = {os.fspath(path) for path in leave}
    for path in paths:
        full, then = os.path.join(root, path), None if earlier is None else os.path.join(earlier.folder, path)
        if os.path.isdir(full) and not os.path.islink(full):
            _add_folder(found, full, then, path, left)
        else:
            with suppress(OSError):
                now = os.lstat(full)
                found.add(path, now.st_size, 0 if full in left or _looks_same(now, then) else now.st_size)
    return found


def _add_folder(found: Amount, folder: str, then: str | None, path: str, left: Collection[str]) -> None:
    """The folder that is named PATH; each folder right in it is a part of its own."""
    todo = [(folder, then, path)]
    while todo:
        interruption.check()
        place, then, part = todo.pop()
        size = new = 0
        there = then is not None and os.path.isdir(then)
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                beside = f"{then}/{entry.name}" if there else None
                try:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((entry.path, beside, f"{path}/{entry.name}" if place == folder else part))
                        continue
                    now = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                size += now.st_size
                if not (_looks_same(now, beside) or (left and entry.path in left)):
                    new += now.st_size
        found.add(part, size, new)


def _looks_same(now: os.stat_result, then: str | None) -> bool:
    """Whether there is nothing to copy for a file: a link's few bytes count as nothing."""
    if not stat.S_ISREG(now.st_mode):
        return True
    if then is None:
        return False
    try:
        before = os.lstat(then)
    except OSError:
        return False
    return before.st_size == now.st_size and before.st_mtime_ns == now.st_mtime_ns and _facts(before) == _facts(now)


def copy_for_backup(root: Path, paths: Sequence[str], folder: Path, leave: Collection[Path] = ()) -> list[str]:
    """Copy PATHS below FOLDER of a new backup; what is the same as in the newest other backup that has such copies is
    linked from there, but for one that another server made. Returns what was copied."""
    if not paths:
        return []
    note = begin_copies(folder)
    copied = copy_paths(root, paths, folder, leave, newest_copies(folder.parent.parent, folder.name, note))
    note_copies(folder, note)
    return copied


def newest_copies(backups: Path, kind: str, now: Path | None = None) -> Earlier | None:
    """The copies of a KIND (a folder of a backup's) that a new backup shares with: those of the newest that has any, but for
    one that another server made. NOW: as of `earlier_copies`."""
    there = ((name, earlier_copies(backups / name / kind, now)) for name in ids(backups))
    return next((copies for name, copies in there if copies is not None and not _imported(backups, name)), None)


def _imported(backups: Path, name: str) -> bool:
    found = read(backups, name)
    return isinstance(found, Backup) and found.imported


def copy_paths(
    root: Path, paths: Sequence[str], folder: Path, leave: Collection[Path] = (), earlier: Earlier | None = None
) -> list[str]:
    """Copy files and folders (modes, times, links as links; no sockets, no pipes) below FOLDER; files of LEAVE are left
    out, those that are the same in EARLIER copies are linked from there. Returns what was copied."""
    copied = []
    for path in paths:
        source, place = root / path, folder / path
        if source not in leave:
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_tree(source, place, leave, earlier.inner(path) if earlier is not None else None)
            copied.append(path)
    return copied


def copy_tree(source: Path, place: Path, leave: Collection[Path] = (), earlier: Earlier | None = None) -> None:
    """Copy one file, link or folder, sharing blocks where the file system can; what is the same in an EARLIER copy is
    linked from there. Never with a live file, which the app may write to."""
    interruption.check()
    if source in leave:
        return
    try:
        found = source.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        place.symlink_to(os.readlink(source))
    elif stat.S_ISDIR(found.st_mode):
        place.mkdir(mode=0o700, exist_ok=True)
        try:
            names = os.listdir(source)
        except PermissionError as error:
            raise _unreadable(source, error) from error
        for name in names:
            copy_tree(source / name, place / name, leave, earlier.inner(name) if earlier is not None else None)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif stat.S_ISREG(found.st_mode):
        if earlier is not None and _same(source, found, earlier):
            with suppress(OSError):  # too many links to it, or another file system
                os.link(earlier.folder, place)
                return
        _copy_file(source, place)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))


def _same(source: Path, found: os.stat_result, earlier: Earlier) -> bool:
    """Whether a file is what the EARLIER copy of it is: told by size, times, mode and owner; where something touched it
    since (a chown of the whole tree, say), or another file system's clock counts, by its content."""
    try:
        then = os.lstat(earlier.folder)
    except OSError:
        return False
    if not stat.S_ISREG(then.st_mode) or _facts(then) != _facts(found):
        return False
    if found.st_dev == earlier.device and found.st_ctime_ns < earlier.begun - _CLOCK_TICK:
        return True
    try:
        return not differ_in_content(earlier.folder, source)
    except OSError:
        return False  # the copy tells what is wrong


def _facts(found: os.stat_result) -> tuple[int, ...]:
    owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else ()  # else a copy is its maker's
    return (found.st_size, found.st_mtime_ns, found.st_mode, *owner)


def differ_in_content(one: Path, other: Path) -> bool:
    """Whether two files of the same size hold something else. Raises `OSError`."""
    with open(one, "rb") as first, open(other, "rb") as second:
        while block := first.read(_BLOCK):
            interruption.check()
            if block != second.read(len(block)):
                return True
    return False


def _owner(place: Path, found: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(place, found.st_uid, found.st_gid)
        os.chmod(place, stat.S_IMODE(found.st_mode))


def _copy_file(source: Path, place: Path) -> None:
    try:
        with open(source, "rb") as reader, open(place, "xb") as writer:
            share_or_copy(reader, writer)
    except PermissionError as error:
        raise _unreadable(source, error) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DeploymentFailed(
                tr("The disk is full: the backup can't be written."), tr("Make room, then try again.")
            ) from error
        raise


def differing_files(copy: Path, live: Path, leave: frozenset[Path] = frozenset()) -> tuple[int, int]:
    """(files, bytes) that LIVE, a file or folder, has otherwise than its COPY: changed, new or gone."""
    return differing(_files(copy, frozenset()), live, leave)


def differing(then: Mapping[str, tuple[int, int]], live: Path, leave: frozenset[Path] = frozenset()) -> tuple[int, int]:
    """The same of what is known of a copy: path below it -> size and time of each file; of a link what tells its target."""
    now = _files(live, leave)
    names = [name for name in {*then, *now} if then.get(name) != now.get(name)]
    return len(names), sum(now[name][0] for name in names if name in now)


def _files(place: Path, leave: frozenset[Path]) -> dict[str, tuple[int, int]]:
    """Path below PLACE -> size and time of each file; of a link what tells its target."""
    names = (
        [place]
        if place.is_symlink()
        else [
            Path(base, name)
            for base, folders, files in os.walk(place)
            for name in (*files, *(folder for folder in folders if os.path.islink(os.path.join(base, folder))))
        ]
        or [place]
    )
    found = {}
    for name in names:
        with suppress(OSError):
            facts = name.lstat()
            if name not in leave:
                # A link's own time is that of its copying; what it leads to says whether it is the same.
                link = stat.S_ISLNK(facts.st_mode)
                mark = zlib.crc32(os.fsencode(os.readlink(name))) if link else facts.st_mtime_ns
                found[os.path.relpath(name, place)] = (facts.st_size, mark)
    return found
