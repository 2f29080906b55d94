"""Two files that share their blocks until one of them is written to, where the file system can (ioctl_ficlonerange(2))."""

from __future__ import annotations

import fcntl
from typing import IO

from gitdeploy.system import interruption, progress

_FICLONE = 0x40049409
_BLOCK = 1 << 20


def share(source: IO[bytes] | int, target: IO[bytes] | int) -> None:
    """TARGET, empty and open for writing, gets the content of SOURCE without a copy. Raises OSError where that can't be."""
    fcntl.ioctl(target, _FICLONE, source if isinstance(source, int) else source.fileno())


def share_or_copy(source: IO[bytes], target: IO[bytes]) -> bool:
    """TARGET gets the content of SOURCE; whether they share it. Raises OSError, and `Interrupted` in the middle of a copy."""
    try:
        share(source, target)
    except OSError:
        copy_content(source, target)
        return False
    return True


def copy_content(source: IO[bytes], target: IO[bytes]) -> None:
    """What is left of SOURCE, written to TARGET. Raises OSError, and `Interrupted` in the middle."""
    while block := source.read(_BLOCK):
        interruption.check()
        target.write(block)
        progress.add(len(block), "bytes")
