"""The disks that a rehearsal writes to: room for it is asked for first, and it is ended before one of them is full, since what is
live writes there too. A PostgreSQL whose log can't be written any more stops altogether."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.deployment.prepare.beside import SPARE as SPARE_OF_A_COPY
from gitdeploy.deployment.rehearse.grounds import Ground
from gitdeploy.deployment.rehearse.refusals import Pair, is_file
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import size_text

_SPARE = 256 << 20  # bytes that stay free on each disk, or a tenth of it where that is less


class Disk(Struct, frozen=True):
    """One that the rehearsal writes to, known by one of the folders; `needed`: about how many bytes."""

    place: Path
    shown: Path
    needed: int
    spare: int

    def free(self) -> int:
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize


class Disks(Struct, frozen=True):
    found: list[Disk] = field(default_factory=list)

    @classmethod
    def of(cls, ground: Ground, pairs: Sequence[Pair], copied: int) -> Disks:
        """Those of the rehearsal in GROUND and of the servers of PAIRS, as far as they are this machine's. COPIED: bytes of the
        checkout's copy."""
        needed: dict[Path, int] = {ground.folder: copied}
        for database, scratch in pairs:
            needed[ground.folder] += database.size()  # its dump
            place, size = scratch.room()
            if is_file(scratch) and not os.path.isdir(place or ""):
                place = ground.folder  # it is made there
            if place is not None and os.path.isdir(place):
                needed[place] = needed.get(place, 0) + size
        disks: dict[int, Disk] = {}
        for place, size in needed.items():
            device = os.stat(place).st_dev
            if (first := disks.get(device)) is not None:
                disks[device] = replace(first, needed=first.needed + size)
                continue
            room = os.statvfs(place)
            spare = min(_SPARE, room.f_blocks * room.f_frsize // 10)
            shown = ground.site.root if place == ground.folder else place
            disks[device] = Disk(place, shown, size, spare)
        return cls(list(disks.values()))

    def require(self) -> None:
        """Raises `DeploymentFailed` where one has too little room for what will be made."""
        for number, disk in enumerate(self.found):
            # The copy, on the first, is made only where so much stays free.
            needed = disk.needed + (max(disk.spare, SPARE_OF_A_COPY) if number == 0 else disk.spare)
            if disk.free() < needed:
                raise DeploymentFailed(
                    tr(
                        "There is too little room for a rehearsal on the disk of {place}: {free} free, {needed} needed.",
                        place=str(disk.shown),
                        free=size_text(disk.free()),
                        needed=size_text(needed),
                    ),
                    tr("Make room: gitdeploy prune"),
                )

    def look(self) -> None:
        """Raises `DeploymentFailed` where one is nearly full."""
        for disk in self.found:
            if (free := disk.free()) < disk.spare:
                raise DeploymentFailed(
                    tr(
                        "The disk of {place} has only {free} free, and what is live writes there too: the rehearsal was ended "
                        "before it is full.",
                        place=str(disk.shown),
                        free=size_text(free),
                    ),
                    tr("Make room there, then rehearse again."),
                )
