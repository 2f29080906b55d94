"""How far long work has come: how much of how much, how fast, how long yet.

Whoever follows says `told` once; work says `of` around itself and `add` as it goes, or lets a file be looked at
(`of_files`) while a child does it. The first word comes after a second, then two a second at the most: quick work says
nothing and costs nothing. None of it is part of a record: it is for whoever watches now.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gitdeploy.messages import said, tr
from gitdeploy.text import count, duration_text, size_text

Unit = Literal["bytes", "files", "packages", "objects"]

FIRST = 1.0  # seconds that work takes before anything is said of it
EVERY = 0.5  # seconds between two words
_LATELY = 10.0  # seconds that the rate is of
_FORESEEN_AFTER = 3.0  # seconds of work that tell how long the rest takes


class HowFar(Struct, frozen=True):
    """How far WHAT is: `done` of `total` (None: not known; `about`: an estimate) since `since` (seconds of the epoch), which
    is `elapsed` seconds ago. `rate`: done in a second of late."""

    what: str
    done: int
    total: int | None
    unit: Unit
    since: float
    elapsed: float = 0.0
    rate: float = 0.0
    about: bool = False

    @property
    def left(self) -> float | None:
        """Seconds that it may take yet; None where that can't be told."""
        if self.total is None or self.elapsed < _FORESEEN_AFTER or self.rate <= 0 or self.done >= self.total:
            return None
        return (self.total - self.done) / self.rate

    @property
    def text(self) -> str:
        """`dump of shop: 412.0 MB of about 1.2 GB, 38.0 MB/s, about 21 s left`."""
        return self._text(named=True, rated=True)

    def fitting(self, fits: Callable[[str], bool]) -> str:
        """As much of `text` as FITS, the time left last of all."""
        ways = ((True, True), (True, False), (False, True), (False, False))
        texts = [self._text(named=named, rated=rated) for named, rated in ways]
        return next(filter(fits, texts), texts[-1])

    def _text(self, *, named: bool, rated: bool) -> str:
        parts = [self._amount()] if self.done or self.total is not None else []
        if self.unit == "bytes" and self.rate > 0 and rated:
            parts.append(tr("{rate}/s", rate=size_text(self.rate)))
        if self.left is not None:
            parts.append(tr("about {time} left", time=_time(self.left)))
        elif self.total is None:
            parts.append(tr("{time} so far", time=_time(self.elapsed)))
        shown = reduce(lambda before, more: tr("{before}, {more}", before=before, more=more), parts)
        return tr("{what}: {shown}", what=self.what, shown=shown) if named else shown

    def _amount(self) -> str:
        if self.total is None:
            return size_text(self.done) if self.unit == "bytes" else count(self.done, self.unit[:-1])
        if self.unit == "bytes":
            done, total = size_text(self.done), size_text(self.total)
            if self.about:
                return tr("{done} of about {total}", done=done, total=total)
            return tr("{done} of {total}", done=done, total=total)
        if self.unit == "files":
            return tr("{done} of {total} files", done=self.done, total=self.total)
        if self.unit == "packages":
            return tr("{done} of {total} packages", done=self.done, total=self.total)
        return tr("{done} of {total} objects", done=self.done, total=self.total)

    def as_dict(self) -> dict[str, Any]:
        """The shape of `progress` in a running step."""
        left = self.left
        return {
            **said(self.what, "what"),
            "done": self.done,
            "total": self.total,
            "about": self.about,
            "unit": self.unit,
            "rate": round(self.rate, 1),
            "left": None if left is None else round(left, 1),
            "since": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
        }


def _time(seconds: float) -> str:
    return tr("{seconds} s", seconds=max(1, round(seconds))) if seconds < 10 else duration_text(seconds)


# None: what was told of has ended.
Reporter = Callable[[HowFar | None], object]
Total = int | Callable[[], int | None] | None


class Work:
    """Work that goes on. TOTAL may be a function, which is asked when the first word is said."""

    def __init__(self, reporter: Reporter | None, what: str, unit: Unit, total: Total, about: bool) -> None:
        self.what, self.unit, self.done = what, unit, 0
        self._reporter, self._total, self._about = reporter, total, about
        self._since, self._begun = time.time(), time.monotonic()
        self._next = self._begun + FIRST
        self._marks: deque[tuple[float, int]] = deque([(self._begun, 0)])
        self._look: Callable[[int], int] | None = None
        self._before = 0  # done when what is looked at began
        self.told = False

    def add(self, number: int) -> None:
        self.done += number
        self._tell()

    def at(self, done: int, total: int | None = None, what: str = "") -> None:
        """DONE by now, of TOTAL where that is known. WHAT: by another name. Less than before: that is other work."""
        if done < self.done:
            self._marks = deque([(time.monotonic(), done)])
        self.what, self.done = what or self.what, done
        if total is not None:
            self._total, self._about = total, False
        self._tell()

    def tick(self, pid: int) -> None:
        """The child PID goes on with it."""
        if self._reporter is not None and time.monotonic() >= self._next:
            if self._look is not None:
                with suppress(OSError, ValueError):
                    self.done = max(self.done, self._before + self._look(pid))
            self._tell()

    @contextmanager
    def looking(self, look: Callable[[int], int]) -> Iterator[None]:
        """While the block runs, LOOK tells how much of it the child does that is running, by its pid."""
        outer = self._look, self._before
        self._look, self._before = look, self.done
        try:
            yield
        finally:
            self._look, self._before = outer

    def _tell(self) -> None:
        now = time.monotonic()
        if now < self._next or self._reporter is None:
            return
        self._next = now + EVERY
        if callable(self._total):
            self._total = self._total()
        while len(self._marks) > 1 and now - self._marks[1][0] > _LATELY:
            self._marks.popleft()
        then, done = self._marks[0]
        self._marks.append((now, self.done))
        total = self._total if self._total and self._total >= self.done else None  # one that is passed was none
        rate = max(0.0, (self.done - done) / (now - then))
        self.told = True
        self._reporter(
            HowFar(self.what, self.done, total, self.unit, self._since, now - self._begun, rate, self._about)
        )

    def ended(self) -> None:
        if self.told and self._reporter is not None:
            self._reporter(None)


_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)
_work: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def told(reporter: Reporter) -> Iterator[None]:
    """While the block runs, REPORTER is told how far its work is; that of other threads is none of it."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def of(what: str, unit: Unit, total: Total = None, *, about: bool = False) -> Iterator[Work]:
    """Work, as long as the block runs: WHAT is done, by which UNIT it is told, of which TOTAL. ABOUT: that is an estimate."""
    work = Work(_reporter.get(), what, unit, total, about)
    token = _work.set(work)
    try:
        yield work
    finally:
        _work.reset(token)
        work.ended()


def add(number: int, unit: Unit) -> None:
    """So much more of the work that goes on is done, where that is told by this UNIT."""
    work = _work.get()
    if work is not None and work.unit == unit:
        work.add(number)


def at(done: int, total: int, unit: Unit) -> None:
    """So much of TOTAL, which is no estimate, is done of the work that goes on, where that is told by this UNIT."""
    work = _work.get()
    if work is not None and work.unit == unit:
        work.at(done, total)


def name(what: str) -> None:
    """The work that goes on is at WHAT now."""
    work = _work.get()
    if work is not None:
        work.what = what


def tick(pid: int) -> None:
    """The child PID goes on."""
    work = _work.get()
    if work is not None:
        work.tick(pid)


@contextmanager
def looking(look: Callable[[int], int]) -> Iterator[None]:
    """While the block runs, LOOK tells how much of the work that goes on a child has done, by its pid."""
    work = _work.get()
    with nullcontext() if work is None else work.looking(look):
        yield


@contextmanager
def of_files(read: Path | None, written: Path | None) -> Iterator[None]:
    """While the block runs, a child reads the file READ on its standard input, or writes WRITTEN: that is the work."""
    work, path = _work.get(), read or written
    if work is None or work.unit != "bytes" or path is None:
        yield
        return
    before = work.done
    with work.looking(partial(_read_by, path) if read is not None else lambda _: path.stat().st_size):
        yield
    with suppress(OSError):
        work.at(before + path.stat().st_size)


def _read_by(path: Path, pid: int) -> int:
    """How far the process PID has read PATH, which is its standard input."""
    if not os.path.samefile(f"/proc/{pid}/fd/0", path):
        return 0
    return int(Path(f"/proc/{pid}/fdinfo/0").read_text().partition("\n")[0].split()[1])
