"""Files and folders copied into a backup, and how much room they take."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import zlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import interruption
from gitdeploy.text import path_text

_FICLONE = 0x40049409
_CLOCK_TICK = 100_000_000  # nanoseconds: within so many a file may change without a sign of it


def disk_size(path: Path) -> int:
    """Bytes on disk below PATH, every hard link counted once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for base, _, files in os.walk(path):
        for name in (*files, "."):
            with suppress(OSError):
                found = os.lstat(os.path.join(base, name))
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * 512
    return total


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


def content_size(root: Path, paths: Iterable[str]) -> int:
    """Bytes of the files at and below PATHS."""
    total = 0
    for path in paths:
        full = root / path
        if full.is_dir() and not full.is_symlink():
            for base, _, files in os.walk(full):
                for name in files:
                    with suppress(OSError):
                        total += os.lstat(os.path.join(base, name)).st_size
        else:
            with suppress(OSError):
                total += os.lstat(full).st_size
    return total


def copy_paths(root: Path, paths: Sequence[str], folder: Path, leave: Collection[Path] = ()) -> list[str]:
    """Copy files and folders (modes, times, links as links; no sockets, no pipes) below FOLDER; files of LEAVE are left
    out. Returns what was copied."""
    copied = []
    for path in paths:
        source, place = root / path, folder / path
        if source not in leave:
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_tree(source, place, leave)
            copied.append(path)
    return copied


def copy_tree(source: Path, place: Path, leave: Collection[Path] = (), known: Path | None = None) -> None:
    """Copy one file, link or folder, sharing blocks where the file system can.

    known: an earlier copy of it, nobody else's: files that have not changed since are linked from there.
    """
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
            copy_tree(source / name, place / name, leave, known / name if known is not None else None)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif stat.S_ISREG(found.st_mode):
        if known is not None and _unchanged(found, known):
            with suppress(OSError):
                os.link(known, place)
                return
        _copy_file(source, place)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))


def _unchanged(found: os.stat_result, copy: Path) -> bool:
    """Whether a file has not changed, mode and all, since COPY was made of it; told by the clock of the file system."""
    try:
        then = copy.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(then.st_mode)
        and (then.st_size, then.st_mtime_ns, then.st_mode) == (found.st_size, found.st_mtime_ns, found.st_mode)
        and found.st_ctime_ns < then.st_ctime_ns - _CLOCK_TICK
    )


def _owner(place: Path, found: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(place, found.st_uid, found.st_gid)
        os.chmod(place, stat.S_IMODE(found.st_mode))


def _copy_file(source: Path, place: Path) -> None:
    try:
        with open(source, "rb") as reader, open(place, "xb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError:
                shutil.copyfileobj(reader, writer, 1 << 20)
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
    then, now = _files(copy, frozenset()), _files(live, leave)
    differing = [name for name in {*then, *now} if then.get(name) != now.get(name)]
    return len(differing), sum(now[name][0] for name in differing if name in now)


def _files(place: Path, leave: frozenset[Path]) -> dict[str, tuple[int, int]]:
    """Path below PLACE -> size and time of each file; of a link what tells its target."""
    names = [Path(base, name) for base, _, files in os.walk(place) for name in files] or [place]
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
