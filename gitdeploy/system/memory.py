"""How much memory a child may take, so that what a stranger serves takes none from the app."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

_LEAST = 2 << 30  # bytes


def limit_memory(pid: int, memory: int) -> None:
    """The child PID, just started, may map so many bytes; 0: as many as it likes."""
    if memory:
        with suppress(OSError, ValueError):  # it has ended, or may have less already
            resource.prlimit(pid, resource.RLIMIT_AS, (memory, memory))


def share_of_memory() -> int:
    """Three quarters of this machine's memory, and 2 GB at least, in bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_LEAST, whole * 3 // 4)
