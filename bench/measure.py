"""One command, measured: wall and processor time, peak memory, steps; and rounds of several, interleaved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.app import App
from bench.ways import STEPS, WHOLE


@dataclass
class Figures:
    """Everything measured of one way: seconds of wall-clock and of processor, MB of memory (of the process itself, and of
    the largest of it and its children), seconds of each step."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    own_memory: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)

    @property
    def middle(self) -> float:
        return median(self.wall)

    def step_medians(self) -> dict[str, float]:
        return {name: median(times) for name, times in self.steps.items()}


@dataclass(frozen=True)
class Way:
    """A command, the state it starts from and how that is made; `tag`: what must be live afterwards (None: not looked at)."""

    name: str
    words: Sequence[str | Path]
    state: str = ""
    make: Callable[[], None] | None = None
    tag: str | None = None
    json_steps: bool = False  # it prints its steps as gitdeploy's --json does


def timed(app: App, way: Way, figures: Figures) -> None:
    """Run it once and add what it took. Ends the program where it fails."""
    steps = app.folder / "steps"
    steps.write_text("")
    output = app.folder / "output"
    own = [0.0]
    with output.open("wb") as out:
        begun = time.perf_counter()
        child = subprocess.Popen(
            way.words, cwd=app.site if app.site.exists() else app.run, env={**app.environment, STEPS: str(steps)},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE if way.json_steps else out,
        )  # fmt: skip
        threading.Thread(target=_watch_memory, args=(child.pid, own), daemon=True).start()
        if child.stderr is not None:
            child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{way.name} exited {child.returncode}: {list(map(str, way.words))}\n{output.read_text()[-2000:]}")
    figures.cpu.append(usage.ru_utime + usage.ru_stime)
    figures.own_memory.append(own[0])
    figures.memory.append(usage.ru_maxrss / 1024)
    found: list[list[float | str]] = [json.loads(line) for line in steps.read_text().splitlines()]
    if way.json_steps:
        found = [[step["name"], step["duration"]] for step in json.loads(output.read_bytes()).get("steps", [])]
    sums: dict[str, float] = {}
    for name, seconds in found:
        sums[str(name)] = sums.get(str(name), 0.0) + float(seconds)
    figures.wall.append(sums.pop(WHOLE, wall))
    for name, total in sums.items():
        figures.steps.setdefault(name, []).append(total)


def _watch_memory(pid: int, peak: list[float]) -> None:
    status = Path(f"/proc/{pid}/status")
    with suppress(OSError):  # it has ended
        while found := re.search(r"VmHWM:\s+(\d+)", status.read_text()):
            peak[0] = int(found[1]) / 1024
            time.sleep(0.01)


def verify(app: App, way: Way) -> None:
    """The work was really done: TAG's files and its packages are live."""
    site = app.run / "current" if (app.run / "current").exists() else app.site
    live = (site / "VERSION").read_text().strip()
    names = {
        info.name.lower()
        for info in next((site / "venv").resolve().glob("lib/python*/site-packages")).glob("*.dist-info")
    }
    wanted = {
        f"{line.lower().replace('==', '-')}.dist-info" for line in (site / "requirements.txt").read_text().split()
    }
    if live != way.tag or not wanted <= names:
        sys.exit(f"{way.name} ended with {live} (expected {way.tag}), without {sorted(wanted - names)}")


def rounds(
    app: App, ways: Sequence[Way], number: int, deadline: float, say: Callable[[str], None]
) -> dict[str, Figures]:
    """NUMBER rounds, A B A B, each from its starting state; fewer where DEADLINE (monotonic) comes before (one at least)."""
    found = {way.name: Figures() for way in ways}
    for at in range(number):
        if at and time.monotonic() > deadline:
            say(f"  out of time after {at} of {number} rounds")
            break
        for way in ways:
            if way.make is not None:
                app.restore(way.state, way.make)
            timed(app, way, found[way.name])
            say(f"  round {at + 1}: {way.name} {found[way.name].wall[-1]:.2f} s")
            if way.tag:
                verify(app, way)
    return found
