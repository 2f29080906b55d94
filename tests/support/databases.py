"""What tests of databases share: a password that is hard to quote, and a watch for where it can be seen."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitdeploy.databases.client import HANDED

PASSWORD = "pa:ss w\"o\\r#d'"


@dataclass(frozen=True)
class Server:
    """A running server: `ask` runs statements as its administrator."""

    socket: Path
    ask: Callable[..., str]


class Found:
    """Where it was seen, and how often was looked."""

    def __init__(self) -> None:
        self.places: set[str] = set()
        self.looks = 0
        self.modes: set[int] = set()


def _is_ours(pid: int) -> bool:
    """Whether this process, or one that it started, started that one: other tests run beside this one."""
    with suppress(OSError, ValueError):
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if pid == os.getpid():
                return True
    return False


@contextmanager
def watched(secret: str) -> Iterator[Found]:
    """Look at the arguments and the environment of every process that this one starts, and of theirs, again and again,
    and at the files handed to programs."""
    found, end = Found(), threading.Event()
    wanted = secret.encode()

    def look() -> None:
        while not end.wait(0.002):  # a program lives longer; without any pause this takes a core from what it looks at
            found.looks += 1
            for entry in os.listdir("/proc"):
                if entry.isdigit() and _is_ours(int(entry)):
                    for name in ("cmdline", "environ"):
                        with suppress(OSError):
                            if wanted in Path(f"/proc/{entry}/{name}").read_bytes():
                                found.places.add(f"{name} of {Path(f'/proc/{entry}/comm').read_text().strip()}")
            for descriptor in Path(f"/proc/{os.getpid()}/fd").iterdir():
                with suppress(OSError):
                    if HANDED in os.readlink(descriptor):
                        mode = descriptor.stat().st_mode & 0o777
                        if HANDED in os.readlink(descriptor):  # not yet another file's number
                            found.modes.add(mode)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def left_behind(secret: str, folder: Path) -> list[str]:
    """Files that hold it in FOLDER (a killed program's TMPDIR) and in the file system for memory, where others work too."""
    found = files_with(folder, secret)
    for entry in os.scandir("/dev/shm"):
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False) and secret.encode() in Path(entry.path).read_bytes():
                found.append(entry.path)
    return found


def files_with(folder: Path, secret: str) -> list[str]:
    """Files below FOLDER that hold it."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
