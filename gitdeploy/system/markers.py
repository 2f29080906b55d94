"""Children of an earlier, killed run: known by a marker in their environment, or by the session that they led."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitdeploy.system.groups import KILL_AFTER
from gitdeploy.system.proc import Identity, boot_id, start_ticks

MARKER = "GITDEPLOY_CHILD"


def with_markers(markers: Iterable[str], leaders: Iterable[Identity] = ()) -> list[int]:
    """Processes that carry one of MARKERS in their environment, or belong to the session that one of LEADERS began (one
    that was started with an environment of its own has no marker), ourselves left out."""
    wanted = [f"{MARKER}={marker}".encode() for marker in markers]
    sessions = {
        each.pid for each in leaders if each.boot == boot_id() and start_ticks(each.pid) in (None, each.started)
    }
    found = []
    for entry in os.listdir("/proc") if wanted or sessions else ():
        if entry.isdigit() and int(entry) != os.getpid():
            with suppress(OSError):
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if any(word in variables for word in wanted):
                    found.append(int(entry))
                    continue
            with suppress(OSError):
                if sessions and os.getsid(int(entry)) in sessions and start_ticks(int(entry)) is not None:
                    found.append(int(entry))
    return found


def end_marked(markers: Iterable[str], leaders: Iterable[Identity] = ()) -> list[int]:
    """End what is left of marked children of an earlier, killed run, and of the sessions that they led. Returns the pids
    that were ended."""
    words, sessions = list(markers), list(leaders)
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        pids = with_markers(words, sessions)
        if not pids:
            break
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        ended += [pid for pid in pids if pid not in ended]
        end = time.monotonic() + KILL_AFTER
        while time.monotonic() < end and with_markers(words, sessions):
            time.sleep(0.02)
    return ended
