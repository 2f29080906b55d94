"""Which tables a migration locks, and for how long: what users of the live app would wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct, field

from gitdeploy.databases.scratch import Scratch
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import clean, duration_text

_EVERY = 0.5  # seconds between two looks
_MOST = 10


Held = tuple[str, str, bool]  # the scratch database, a table in it, whether reads wait for it too


class Locks(Struct):
    """What was seen. `since`: when what is held now was first seen (seconds of the monotonic clock); `longest`: seconds that each
    was held without a break."""

    since: dict[Held, float] = field(default_factory=dict)
    longest: dict[Held, float] = field(default_factory=dict)

    def look(self, scratch: Scratch) -> bool:
        """One look; False where the database can't tell."""
        try:
            found = scratch.locks()
        except GitDeployError:
            return True
        self.saw(scratch.bare, found or (), time.monotonic())
        return found is not None

    def saw(self, database: str, found: Iterable[tuple[str, bool]], moment: float) -> None:
        """At MOMENT the tables FOUND of DATABASE were locked, and no others. What nobody may read nobody may write."""
        held = {(database, table, kind) for table, reads in found for kind in {reads, False}}
        for gone in [each for each in self.since if each[0] == database and each not in held]:
            del self.since[gone]
        for each in held:
            took = moment - self.since.setdefault(each, moment)
            self.longest[each] = max(took, self.longest.get(each, 0.0))

    def sentences(self) -> list[str]:
        """The longest first; what was seen but once was too short to matter."""
        unread = {each[:2]: took for each, took in self.longest.items() if each[2]}
        lasted = sorted(
            (
                (took, each)
                for each, took in self.longest.items()
                if took and (each[2] or took > unread.get(each[:2], 0.0))
            ),
            reverse=True,
        )
        return [
            tr("{table} was locked for {took}: neither read nor written", table=clean(table), took=duration_text(took))
            if reads
            else tr("{table} was locked for {took}: not written", table=clean(table), took=duration_text(took))
            for took, (_, table, reads) in lasted[:_MOST]
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
