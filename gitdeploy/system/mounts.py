"""What is mounted where (proc(5), mountinfo): a bind mount has the device of what it shows, so nothing else tells it."""

from __future__ import annotations

import os
from pathlib import Path


def mount_points() -> list[bytes]:
    """Absolute paths, as this process sees them; none where /proc isn't there."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    return [line.split(b" ")[4].decode("unicode_escape").encode("latin-1") for line in lines]


def mount_of(place: Path) -> Path:
    """Where the file system of PLACE is mounted."""
    real, points = Path(os.path.realpath(place)), set(mount_points())
    above = (folder for folder in (real, *real.parents) if os.fsencode(folder) in points or os.path.ismount(folder))
    return next(above)
