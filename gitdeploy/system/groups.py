"""Ending a child and all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress

KILL_AFTER = 3.0  # seconds between SIGTERM and SIGKILL
# Seconds: what was started in the background as the last thing may be just about to leave the group (setsid).
_LEAVING = 0.5


def signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its whole group: SIGTERM, then SIGKILL after `KILL_AFTER` seconds."""
    signal_group(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILL_AFTER)
    signal_group(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILL_AFTER)


def end_rest(group: int) -> None:
    """End what a child that has ended left in its GROUP. A daemon, which is in a session of its own, isn't in it."""
    end = time.monotonic() + _LEAVING
    while _has_members(group) and time.monotonic() < end:
        time.sleep(0.01)
    signal_group(group, signal.SIGKILL)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user's only
        return True
    return True
