"""`service.log`: the end of the log that the app itself writes, where no manager of services keeps one.

The file is the app's, and so may be its folder: nothing about it is trusted. A link on the way is followed only if it is
root's or our own, so that nobody shows us (and whoever reads gitdeploy's log) a file that only we may read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.system import owner as owners
from gitdeploy.system.trusted import walk
from gitdeploy.text import clean, path_text

_TAIL = 64 * 1024  # bytes: more is never read
_CLOCK = 1.0  # seconds by which a file's time may lie before the clock's


class _NotRead(Exception):
    """Why the file is not read."""


class LogFile(Struct):
    """The file PATH, relative to ROOT or absolute, of an app whose checkout is the user OWNER's. `marked`: device, inode
    and size of it when `mark` was called."""

    path: str
    root: Path
    owner: int
    marked: tuple[int, int, int] | None = None

    def mark(self) -> None:
        """Remember where it ends now: `last_lines` shows what came afterwards, as long as it is the same file."""
        self.marked = None
        with suppress(OSError, _NotRead), self._opened() as descriptor:
            found = os.fstat(descriptor)
            self.marked = (found.st_dev, found.st_ino, found.st_size)

    def last_lines(self, most: int, since: float | None) -> list[str]:
        """Its last MOST lines, cleaned; none where nothing was written after SINCE (seconds since the epoch). Where it
        can't be read, one line in brackets that says why."""
        try:
            with self._opened() as descriptor:
                return self._end(descriptor, most, since)
        except _NotRead as refused:
            return [tr("({path} is not read: {refused})", path=path_text(self.path), refused=refused)]
        except OSError as error:
            return [tr("({path} can't be read: {strerror})", path=path_text(self.path), strerror=error.strerror)]

    def _end(self, descriptor: int, most: int, since: float | None) -> list[str]:
        found = os.fstat(descriptor)
        if since is not None and found.st_mtime + _CLOCK < since:
            return []
        begin = max(0, found.st_size - _TAIL)
        cut = begin > 0
        if self.marked is not None and self.marked[:2] == (found.st_dev, found.st_ino):
            marked = self.marked[2] if self.marked[2] <= found.st_size else 0  # emptied meanwhile
            begin, cut = (marked, False) if marked >= begin else (begin, cut)
        lines = os.pread(descriptor, _TAIL, begin).decode("utf-8", "replace").splitlines()
        return [clean(line, limit=500) for line in lines[1 if cut else 0 :] if line.strip()][-most:]

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor for reading. Raises `OSError` and `_NotRead`."""
        if owners.must_drop(self.owner):
            raise _NotRead(tr("root reads no file that {user_name} names", user_name=owners.user_name(self.owner)))
        place = walk(str(self.root / self.path), _trusted)
        try:
            found = os.fstat(place)
            if not stat.S_ISREG(found.st_mode):
                raise _NotRead(tr("it is not a plain file"))
            if found.st_nlink != 1:
                raise _NotRead(tr("it has a second name somewhere (a hard link)"))
            descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(place)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _trusted(_path: str, found: os.stat_result, _more: bool) -> None:
    """Raise `_NotRead` for a link of somebody's whom we have no reason to follow."""
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
        raise _NotRead(tr("there is a link of {user_name}'s on the way", user_name=owners.user_name(found.st_uid)))
