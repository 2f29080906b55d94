"""Ending a child and all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

KILL_AFTER = 3.0  # seconds between SIGTERM and SIGKILL


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
