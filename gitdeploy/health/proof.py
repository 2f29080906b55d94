"""Proof that the new code runs: every process of the service is younger than the switch and uses no other venv."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitdeploy.messages import tr
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean

_TICKS = os.sysconf("SC_CLK_TCK")
_SLACK = 0.05  # seconds: the kernel counts start times in ticks of 10 ms
_MAPS_LIMIT = 8 * 1024 * 1024  # bytes of /proc/PID/maps that are read


def _boot_moment() -> float:
    """When the machine started, in seconds since the epoch, by the wall clock as it is set now."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


_boot_moment_at_import = _boot_moment()


def old_process(
    name: str, found: Iterable[Identity], started_after: float | None, generation: Path | None
) -> str | None:
    """Why the processes FOUND of the service NAME don't all run the new code; None where nothing speaks against it."""
    for each in found:
        if not each.alive():
            continue
        if started_after is not None and _started(each) + _SLACK < started_after:
            return tr(
                "{name}: process {pid}{called} started before the switch and has the old code",
                name=name,
                pid=each.pid,
                called=_called(each.pid),
            )
        if generation is not None and (other := other_generation(each.pid, generation)):
            return tr(
                "{name}: process {pid}{called} uses packages of the venv {other}, not of {generation}",
                name=name,
                pid=each.pid,
                called=_called(each.pid),
                other=clean(other),
                generation=generation.name,
            )
    return None


def _started(each: Identity) -> float:
    """Seconds since the epoch. The wall clock may have been set meanwhile: the later of both readings counts, so that
    a new process is never taken for an old one."""
    return max(_boot_moment(), _boot_moment_at_import) + each.started / _TICKS


def _called(pid: int) -> str:
    try:
        return tr(" ({read_text})", read_text=clean(Path(f"/proc/{pid}/comm").read_text().strip()))
    except OSError:
        return ""


def other_generation(pid: int, generation: Path) -> str | None:
    """The name of another generation beside GENERATION that the process runs from (its command line, its program, a
    library that it has loaded); None where nothing says so, or it may not be looked at."""
    venvs = os.fsencode(generation.parent) + b"/"
    texts = []
    with suppress(OSError):
        texts.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b"\n"))
    with suppress(OSError):
        texts.append(os.fsencode(os.readlink(f"/proc/{pid}/exe")))
    with suppress(OSError), open(f"/proc/{pid}/maps", "rb") as maps:
        texts.append(maps.read(_MAPS_LIMIT))
    for text in texts:
        for part in text.split(venvs)[1:]:
            name = part.partition(b"/")[0].partition(b"\n")[0]
            if name and os.fsdecode(name) != generation.name:
                return os.fsdecode(name)
    return None
