"""Where tests are fastest: in memory. What ext4 spends on making and deleting files is nearly half of what a test costs."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

_PLACE = "/dev/shm"
_ROOM = 4 << 30  # bytes that must be free there, and of memory half as much again
_OURS = "gdtests-"  # short: paths of sockets have 108 bytes at the most


def fast_folder() -> str | None:
    """A folder in memory where files may be made and started, and with room for a run of all tests; None where there is none."""
    with suppress(OSError, ValueError):
        room = os.statvfs(_PLACE)
        available = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        enough = (
            room.f_bavail * room.f_frsize >= _ROOM and available is not None and int(available[1]) << 10 >= _ROOM * 1.5
        )
        if enough and os.access(_PLACE, os.W_OK) and not room.f_flag & os.ST_NOEXEC:
            return _PLACE
    return None


def own_name() -> str:
    """What the name of all that this process makes there begins with."""
    return f"{_OURS}{os.getpid()}"


def sweep(place: str) -> None:
    """Delete from PLACE what runs that were killed, or failed, have left there."""
    for entry in os.scandir(place):
        number = entry.name.removeprefix(_OURS).partition("-")[0]
        if entry.name.startswith(_OURS) and number.isdigit() and not os.path.exists(f"/proc/{number}"):
            shutil.rmtree(entry.path, ignore_errors=True)
