"""Two files that share their blocks until one of them is written to, where the file system can (ioctl_ficlonerange(2))."""

from __future__ import annotations

import fcntl
import shutil
from typing import IO

_FICLONE = 0x40049409


def share(source: IO[bytes] | int, target: IO[bytes] | int) -> None:
    """TARGET, empty and open for writing, gets the content of SOURCE without a copy. Raises OSError where that can't be."""
    fcntl.ioctl(target, _FICLONE, source if isinstance(source, int) else source.fileno())


def share_or_copy(source: IO[bytes], target: IO[bytes]) -> bool:
    """TARGET gets the content of SOURCE; whether they share it. Raises OSError."""
    try:
        share(source, target)
    except OSError:
        shutil.copyfileobj(source, target, 1 << 20)
        return False
    return True
