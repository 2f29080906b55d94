"""Power cuts: the app lies on a file system of its own that never writes by itself, so that after a cut only what was
synced is there; then it is mounted again, its journal replayed, and gitdeploy recovers.

Two kinds: *every barrier* keeps, while the command runs, a copy of the disk as it is after each sync (an image file
holds exactly what the file system has written out), and recovers each of them. *A cut* ends all processes at a random
moment and shuts the file system down by the kernel's own means for such tests: FS_IOC_SHUTDOWN without flushing the log
(as `xfs_io -x -c shutdown`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from support import needs
from support.waiting import wait_until

from .app import CrashApp, Scenario
from .campaign import Campaign

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
# Nothing is written by itself for a minute, and a rename writes no data out either, which ext4 does unless told.
KINDS = {
    "ext4": (192 << 20, ("mkfs.ext4", "-q", "-F"), "loop,commit=60,noauto_da_alloc"),
    "xfs": (320 << 20, ("mkfs.xfs", "-q", "-f"), "loop"),
    # Its fsync writes that one file: what other names were given or taken before is on disk only after a syncfs.
    "btrfs": (256 << 20, ("mkfs.btrfs", "-q", "-f"), "loop,commit=300"),
}
KEPT_AS_IMAGE = ("ext4", "btrfs")  # xfs goes on writing by itself: a copy of its disk would be torn
CUT_BY_KERNEL = ("ext4", "xfs")


@cache
def missing(kind: str = "ext4") -> str:
    """Why there can be no such disk here; empty where there can."""
    if why := needs.lacks_program(KINDS[kind][1][0]) or needs.lacks_mounts():
        return why
    with tempfile.TemporaryDirectory(prefix="gitdeploy-tests-disk-") as folder:
        place = Path(folder) / "place"
        place.mkdir()
        try:
            disk = Disk(Path(folder) / "image", place, kind)
            disk.mount()
        except RuntimeError as error:
            return f"needs a loop device and {kind}: {error}"
        disk.unmount()
    return ""


class Disk:
    """A file system in a file, mounted at PLACE."""

    def __init__(self, image: Path, place: Path, kind: str) -> None:
        self.image, self.place, self.kind = image, place, kind
        self.mounted = False  # not asked of the place: after a cut it answers nothing but errors
        size, make, self.options = KINDS[kind]
        with image.open("wb") as out:
            out.truncate(size)
        _run(needs.found(make[0]) or make[0], *make[1:], str(image))

    def mount(self) -> None:
        self.place.mkdir(exist_ok=True)
        _run("mount", "-t", self.kind, "-o", self.options, str(self.image), str(self.place))
        self.mounted = True

    def unmount(self) -> None:
        def gone() -> bool:
            if self.mounted:
                self.mounted = subprocess.run(["umount", str(self.place)], capture_output=True).returncode != 0
            return not self.mounted

        wait_until(gone, f"{self.place} is unmounted", seconds=30)

    def cut(self) -> None:
        """The power goes; and comes back."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.unmount()
        # A new file: a mount takes the loop device that has this one, also where it is just being given up.
        fresh = self.image.with_name(f"{self.image.name}.after")
        _copy(self.image, fresh)
        os.replace(fresh, self.image)
        self.mount()


class PowerCampaign(Campaign):
    """The campaign on a disk that loses its power. A context manager: afterwards nothing is mounted."""

    syncs = True

    def __init__(self, app: CrashApp, scenario: Scenario, *, kind: str = "ext4", **options: Any) -> None:
        origin = app.pristine(scenario.before)
        shutil.rmtree(app.app, ignore_errors=True)
        self.disk = Disk(app.folder / f"disk-{kind}", app.app, kind)
        self.full = app.folder / f"disk-{kind}-{scenario.before}"
        self.disk.mount()
        with contextlib.suppress(FileNotFoundError):
            (app.app / "lost+found").rmdir()
        _run("cp", "-a", f"{origin}/.", str(app.app))
        self.disk.unmount()
        _copy(self.disk.image, self.full)
        try:
            super().__init__(app, scenario, **options)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> PowerCampaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.disk.unmount()
        for image in (self.disk.image, self.full):
            image.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.app.app.rmdir()
        shutil.rmtree(self.app.folder / "images", ignore_errors=True)

    def reset(self) -> None:
        self._use(self.full, keep=True)
        self.run_first()
        _run("sync", "-f", str(self.app.app))

    def _use(self, image: Path, *, keep: bool = False) -> None:
        """A new file each time: the loop device of the last one may still write into that."""
        self.disk.unmount()
        if keep:
            fresh = image.with_name(f"{image.name}.copy")
            _copy(image, fresh)
            image = fresh
        os.replace(image, self.disk.image)
        self.disk.mount()

    def signature(self) -> object:
        facts = self.disk.image.stat()
        return facts.st_mtime_ns, facts.st_blocks

    def keep_image(self, place: Path) -> None:
        _copy(self.disk.image, place)

    def put(self, image: Path) -> None:
        self._use(image)

    def every_barrier(self, *, first: int = 0, step: int = 1) -> None:
        """The power goes after each sync of the command; or after every STEP-th, from the one numbered FIRST."""
        for number, name, place in self._made_images(self.scenario.words, first, step):
            self.put(place)
            self.judge(f"power cut after sync {number} ({name})", f"by a power cut, {self.disk.kind}")

    def recover(self) -> int:
        """As at the next start of the machine: recovery first, then the app."""
        code = self.run(("recover", "--boot"))
        subprocess.run(["./restart.sh"], cwd=self.app.app, check=True)
        return code

    def random_cuts(self, number: int, seed: int) -> None:
        """The power goes at a random moment."""
        dice = random.Random(f"power {self.scenario.name} {seed}")
        for trial in range(number):
            self.reset()
            after = dice.uniform(0, self.duration * 1.1)
            code = self.run(self.scenario.words, kill_after=after)
            assert code in (-signal.SIGKILL, self.scenario.code), code
            self.disk.cut()
            self.judge(
                f"power cut after {after:.6f} s (trial {trial}, seed {seed})",
                f"by a power cut at random, {self.disk.kind}",
            )


def _copy(image: Path, place: Path) -> None:
    _run("cp", "--sparse=always", str(image), str(place))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
