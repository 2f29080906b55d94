"""Power cuts: the app lies on an ext4 image of its own; at a random moment every process dies and the file system is
shut down without writing anything more, as a cut of the power does; then it is mounted again, its journal replayed.

The kernel's own means for such tests: FS_IOC_SHUTDOWN with NOLOGFLUSH (as `xfs_io -x -c shutdown`).
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .campaign import Campaign

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
SIZE = 256 << 20


def missing() -> str:
    """Why there can be no such disk here; empty where there can."""
    if os.geteuid() != 0:
        return "power cuts need root (a loop device)"
    if shutil.which("mkfs.ext4") is None:
        return "power cuts need mkfs.ext4 (Debian package e2fsprogs)"
    return ""


class Disk:
    """An ext4 file system in a file, mounted."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "image", folder / "disk"
        self.place.mkdir()
        with self.image.open("wb") as image:
            image.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", str(self.image))

    def __enter__(self) -> Disk:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.CalledProcessError):
            self.unmount()

    def mount(self) -> None:
        # Nothing is written by itself for a minute: only what was synced is there after a cut.
        _run("mount", "-o", "loop,commit=60", str(self.image), str(self.place))

    def unmount(self) -> None:
        for _ in range(100):
            done = subprocess.run(["umount", str(self.place)], capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        _run("umount", str(self.place))

    def cut(self) -> None:
        """The power goes; and comes back."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.unmount()
        self.mount()


class PowerCampaign(Campaign):
    """The campaign on a disk that loses its power."""

    def __init__(self, disk: Disk, *words: Any, **options: Any) -> None:
        self.disk = disk
        super().__init__(disk.place / "work", *words, **options)

    def power_cuts(self, number: int, seed: int) -> None:
        dice = random.Random(f"power {self.scenario.name} {seed}")
        self.reset()
        names = self.points(self.scenario.words)
        for trial in range(number):
            self.reset()
            os.sync()
            point = dice.randint(1, len(names))
            code = self.run(self.scenario.words, f"kill-group {point}")
            assert code == -signal.SIGKILL, code
            self.disk.cut()
            self.judge(f"power cut at point {point} ({names[point - 1]}; trial {trial}, seed {seed})", "by a power cut")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
