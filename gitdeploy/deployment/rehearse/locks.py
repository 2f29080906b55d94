"""Which tables a migration locks, and for how long: what users of the live app would wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct, field

from gitdeploy.databases.scratch import Scratch
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import clean, duration_text

_EVERY = 0.5  # seconds between two looks
_MOST = 10


class Locks(Struct):
    """What was seen: table -> when first and last (seconds of the monotonic clock), and whether reads waited too."""

    seen: dict[str, tuple[float, float, bool]] = field(default_factory=dict)

    def look(self, scratch: Scratch) -> bool:
        """One look; False where the database can't tell."""
        try:
            found = scratch.locks()
        except GitDeployError:
            return True
        moment = time.monotonic()
        for table, reads in found or ():
            first, _, before = self.seen.get(table, (moment, moment, reads))
            self.seen[table] = (first, moment, before or reads)
        return found is not None

    def sentences(self) -> list[str]:
        """The longest first; what was seen but once was too short to matter."""
        lasted = sorted(
            ((last - first, table, reads) for table, (first, last, reads) in self.seen.items()), reverse=True
        )
        return [
            tr("{table} was locked for {took}: neither read nor written", table=clean(table), took=duration_text(took))
            if reads
            else tr("{table} was locked for {took}: not written", table=clean(table), took=duration_text(took))
            for took, table, reads in lasted[:_MOST]
            if took
        ]


@contextmanager
def watched(scratches: Sequence[Scratch]) -> Iterator[Locks]:
    """Look at the locks in SCRATCHES again and again while the block runs."""
    found, end = Locks(), threading.Event()

    def look() -> None:
        asked = list(scratches)
        while asked and not end.wait(_EVERY):
            asked = [scratch for scratch in asked if found.look(scratch)]

    thread = threading.Thread(target=look, daemon=True, name="locks")
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join(5)
