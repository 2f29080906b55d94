"""Making what was written survive a power cut, links that can be told apart, and what stands at a path.

`exists`, `is_file` and `is_folder` raise `OSError` where it can't be told (a folder without rights), which the functions of
os.path and, since Python 3.14, those of pathlib take for "not there".
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import suppress

_libc = ctypes.CDLL(None, use_errno=True)
# What lstat(2) says where nothing can be: no such name, a file on the way, or links that lead in a circle.
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def sync_file_system(path: str | bytes | os.PathLike[str]) -> None:
    """Write everything of the file system that PATH is on to disk (syncfs(2)): milliseconds, where an fsync for each
    of a thousand files takes most of a second. Raises OSError (EIO, ENOSPC)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def sync_file_systems(*paths: str | bytes | os.PathLike[str]) -> None:
    """`sync_file_system` once for each file system that PATHS (folders) are on."""
    for path in {os.stat(path).st_dev: path for path in paths}.values():
        sync_file_system(path)


def write_durably(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Write beside, fsync, rename, fsync the folder: the file is whole or not there."""
    target = os.fspath(path)
    temporary = f"{target}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, target)
    sync_directory(os.path.dirname(target))


def write_below(folder: str | os.PathLike[str], name: str, data: bytes) -> None:
    """Write the file NAME (`lib/requirements.txt`) below FOLDER, anew, with the folders that it needs. Nothing that stands
    there is followed or written into. Raises OSError (ELOOP or ENOTDIR where a link stands in the way of a folder)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    *folders, last = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in (*folders, last):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    here = os.open(folder, flags)
    try:
        for each in folders:
            with suppress(FileExistsError):
                os.mkdir(each, 0o755, dir_fd=here)
            below = os.open(each, flags, dir_fd=here)
            os.close(here)
            here = below
        with suppress(FileNotFoundError):
            os.unlink(last, dir_fd=here)
        to = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=here)
        with open(to, "wb") as out:
            out.write(data)
    finally:
        os.close(here)


def sync_directory(path: str | bytes | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def same_file(one: bytes, other: bytes) -> bool:
    """Whether two names are one file now (links compared, not recorded numbers); False where either is missing."""
    try:
        first, second = os.lstat(one), os.lstat(other)
    except OSError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def exists(path: bytes | str | os.PathLike[str]) -> bool:
    """Whether anything, a dangling link too, stands at PATH."""
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return False
    return True


def is_file(path: bytes | str | os.PathLike[str]) -> bool:
    """Whether a regular file, or a link to one, stands at PATH."""
    return stat.S_ISREG(_kind(path))


def is_folder(path: bytes | str | os.PathLike[str]) -> bool:
    """Whether a folder, or a link to one, stands at PATH."""
    return stat.S_ISDIR(_kind(path))


def _kind(path: bytes | str | os.PathLike[str]) -> int:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
