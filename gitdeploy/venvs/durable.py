"""System calls behind atomic and durable renames that Python's `os` has none for: renameat2(2) and syncfs(2)."""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(one: str, other: str) -> None:
    """Give two existing names of one file system each other's content, in one step.

    Raises `OSError`: ENOSYS or EINVAL where the kernel or the file system has no such call.
    """
    if not hasattr(_libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), one)
    if _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one, None, other)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in the folder PATH durable. A file system that knows no such thing (EINVAL) is let be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def sync_filesystem(path: str | os.PathLike[str]) -> None:
    """Make all that was written to the file system of PATH durable: 20 to 360 ms for a venv, an fsync a file takes 3 s."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(path))
    finally:
        os.close(descriptor)
