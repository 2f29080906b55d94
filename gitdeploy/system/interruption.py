"""SIGINT, SIGTERM and SIGHUP, turned into an exception at safe points only.

A handler never raises: it notes the signal and wakes whoever waits. Code that may stop says so by calling `check()`,
`sleep()` or by waiting in `gitdeploy.system.process.run`; between two such points nothing can be torn. While something is
being undone or made final, `shield()` holds the signal back; it is seen at the next `check()` after it.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType

from gitdeploy.errors import Interrupted

_received: int | None = None
_shields = 0
_wake_read = _wake_write = -1
_EVERY = 0.2  # seconds between two looks at what else may end something
_look: ContextVar[Callable[[], None] | None] = ContextVar("look", default=None)


def _note(number: int, _frame: FrameType | None) -> None:
    global _received
    if _received is None:
        _received = number
    with suppress(OSError):
        os.write(_wake_write, b"\0")


def install() -> None:
    """Take over SIGINT, SIGTERM and SIGHUP for this process; a signal that the caller had ignored (nohup) stays so."""
    global _wake_read, _wake_write
    if _wake_read < 0:
        _wake_read, _wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)


def end() -> None:
    """All is done and the exit code decided: a signal that comes now must not change it while the interpreter ends."""
    if _wake_read >= 0:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def pending() -> int | None:
    """The number of the signal that came and has not been raised, unless it is held back by `shield()`."""
    return None if _shields else _received


def received() -> int | None:
    """The number of the signal that came, held back or not."""
    return _received


def check() -> None:
    """Raise `Interrupted` if a signal came, and what `ended_by` was given to look for."""
    if (number := pending()) is not None:
        raise Interrupted(number)
    if (look := _look.get()) is not None and not _shields:
        look()


@contextmanager
def ended_by(look: Callable[[], None]) -> Iterator[None]:
    """What LOOK raises ends the block as a signal does, at the same points; it is asked there a few times a second."""
    last = time.monotonic()

    def now_and_then() -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            look()

    before = _look.set(now_and_then)
    try:
        yield
    finally:
        _look.reset(before)


def wake_descriptor() -> int:
    """A descriptor that turns readable when a signal comes; -1 where `install` was not called."""
    return _wake_read


def sleep(seconds: float) -> None:
    """Wait, but not past a signal (raises `Interrupted`, unless shielded: then it waits on)."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        if _wake_read < 0 or _shields:
            time.sleep(min(left, 0.2) if _wake_read >= 0 else left)
        else:
            select.select([_wake_read], [], [], left)
    check()


@contextmanager
def shield() -> Iterator[None]:
    """Hold signals back while the block runs: for undoing, and for what must not be left half-done."""
    global _shields
    _shields += 1
    try:
        yield
    finally:
        _shields -= 1
