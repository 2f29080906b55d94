"""Facts about running processes, read from /proc (proc(5)): nothing is started, nothing changed."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct


def running() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def identity(pid: int) -> Identity | None:
    """None where there is no such process, or it is a zombie."""
    started = start_ticks(pid)
    return None if started is None else Identity(pid, started, boot_id())


def identities(pids: Iterable[int]) -> tuple[Identity, ...]:
    """The identities of those PIDS that live, ourselves left out."""
    found = (identity(pid) for pid in pids if pid != os.getpid())
    return tuple(each for each in found if each is not None)


def owner_of(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def command_line(pid: int) -> list[str]:
    """The words of its command line; empty for a kernel thread, a zombie, or where it may not be read."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw.strip(b"\0") else []


def environment(pid: int) -> dict[str, str]:
    """The variables that it was started with; empty where they may not be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    return dict(os.fsdecode(word).partition("=")[::2] for word in raw.split(b"\0") if b"=" in word)


def runs_from(pid: int, folder: Path) -> bool:
    """Whether the process works in FOLDER, or its program or a word of its command line is a file inside it."""
    inside = os.path.realpath(folder)
    places = []
    for link in ("cwd", "exe"):
        with suppress(OSError):
            places.append(os.readlink(f"/proc/{pid}/{link}"))
    places += [word for word in command_line(pid)[:3] if word.startswith("/")]
    given = os.path.abspath(folder)
    return any(place == root or place.startswith(root + "/") for place in places for root in (inside, given))


def started_at(pid: int) -> float | None:
    """When it started, in seconds since the epoch by the wall clock as it is set now; None where there is none."""
    ticks = start_ticks(pid)
    if ticks is None:
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """The parent's pid; 0 where there is none or it can't be read."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on, without PID itself."""
    children = defaultdict(list)
    for each in running():
        children[parent(each)].append(each)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def control_group(pid: int | str = "self") -> str | None:
    """The path of its control group as systemd sees it (cgroup v2, else systemd's own v1 tree)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines if line.count(":") >= 2}
    found = [paths[tree] for tree in ("", "name=systemd") if tree in paths]
    return next((path for path in found if path != "/"), found[0] if found else None)


def in_control_group(path: str) -> list[int]:
    """The processes of the control group PATH and of those below it."""
    if not path.startswith("/") or path == "/" or ".." in path.split("/"):
        return []
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        folder = top + path
        if os.path.isdir(folder):
            break
    else:
        return []
    pids = []
    for here, _, _ in os.walk(folder):
        with suppress(OSError):
            pids += [int(word) for word in Path(here, "cgroup.procs").read_text().split()]
    return pids


class Identity(Struct, frozen=True):
    """A process that cannot be mistaken for another after a reboot or when its number is used again."""

    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/PID/stat (proc(5))
    boot: str

    @staticmethod
    def own() -> Identity:
        return Identity(os.getpid(), start_ticks(os.getpid()) or 0, boot_id())

    def alive(self) -> bool:
        return self.boot == boot_id() and start_ticks(self.pid) == self.started


def boot_id() -> str:
    """The kernel's random id of this boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def start_ticks(pid: int) -> int | None:
    """When the process PID started, in clock ticks since boot; None where there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
