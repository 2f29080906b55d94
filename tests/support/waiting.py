"""Waiting for what another process or thread does, and ports for servers of tests."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Container
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    true: Callable[[], T],
    what: str | Callable[[], object] = "",
    *,
    seconds: float = 60,
    every: float = 0.02,
    errors: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """Ask TRUE again and again until what it answers is true; that answer. ERRORS that it raises count as not yet.

    Raises AssertionError after so many SECONDS, with WHAT was waited for; a function is asked then."""
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            if found := true():
                return found
            last = found
        except errors as error:
            last = error
        if time.monotonic() > end:
            said = what() if callable(what) else what or getattr(true, "__name__", "it")
            raise AssertionError(f"not within {seconds:g} s: {said} (last: {last!r})")
        time.sleep(every)


def free_port(taken: Container[int] = ()) -> int:
    """A port of the loopback on which nobody listens, and none of TAKEN.

    Below those that the kernel gives to outgoing connections: one of these could take it before the server does."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if port not in taken and probe.connect_ex(("127.0.0.1", port)) != 0:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
