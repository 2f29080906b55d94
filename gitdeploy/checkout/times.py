"""The time that a file gets when it is put in the place of another: a second in which nothing else stood at that path.

Python takes bytecode for a file's own by the size and the whole second of the file; `make`, Django's collectstatic and
their like leave alone what isn't newer than what they made of it. So each content that comes to a path, forwards and on
the way back, is at least a second newer than all that stood there before, and no `.pyc` says that very second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitdeploy.system import bytecode

_SECOND = 1_000_000_000
_AHEAD = 3600  # seconds before now that a time may be to be outdone: a file of the year 2099 is only told apart
_TRIES = 5  # a file system may keep times by two seconds (FAT)


def second(nanoseconds: int) -> int:
    return nanoseconds // _SECOND


def make_newer(path: bytes, earlier: Iterable[int]) -> None:
    """Give the regular file PATH the next whole second, or one later than all of EARLIER.

    Not that of now: what was made from the file before it may be of this very second. Raises OSError.
    """
    known = set(earlier)
    now = int(time.time())
    wanted = max([now + 1, *(one + 1 for one in known if one < now + _AHEAD)])
    for _ in range(_TRIES):
        while wanted in known:
            wanted += 1
        os.utime(path, ns=(os.lstat(path).st_atime_ns, wanted * _SECOND), follow_symlinks=False)
        kept = second(os.lstat(path).st_mtime_ns)
        if kept == wanted or (kept > now and kept not in known):
            return
        wanted += 1


def recorded(caches: Iterable[bytes], size: int) -> list[int]:
    """The seconds that CACHES, bytecode files, say a source of SIZE bytes had."""
    found = (bytecode.made_from(path) for path in caches)
    return [
        made.second for made in found if made is not None and not made.by_hash and made.size == size & bytecode.WORD
    ]


class Newest:
    """The newest second that a file staged for this checkout was given, kept as the time of an empty file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> int:
        try:
            return second(self.file.stat().st_mtime_ns)
        except OSError:
            return 0

    def keep(self, newest: int) -> None:
        """Put NEWEST down where it is later; on a full disk that is left out."""
        if newest > self.read():
            with suppress(OSError):
                self.file.touch(mode=0o600)
                os.utime(self.file, (newest, newest))
