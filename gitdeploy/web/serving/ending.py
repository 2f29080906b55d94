"""How a signal ends a server: SIGTERM and SIGINT write to a pipe, and the server's own loop reads it.

A handler that raises does so in whatever runs just then, and what is raised in a destructor or in a callback of the garbage
collector is thrown away (signal, "Handlers and exceptions", in Python's library reference): now and then a page would go on
for ever. One that writes is heard in any case, before the loop begins as well.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from waitress.wasyncore import file_dispatcher

# The process that it is of (signals are a process's), its reading and its writing end.
_pipe: tuple[int, int, int] | None = None


class Ending(file_dispatcher):  # type: ignore[misc]  # waitress has no types
    """Ends the loop whose MAP it is in once this process was told to end."""

    def __init__(self, map: dict[int, Any]) -> None:  # noqa: A002  # as waitress names it
        super().__init__(take_over(), map=map)

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        raise KeyboardInterrupt  # in the loop, which takes it as the end


def take_over() -> int:
    """From now on SIGTERM and SIGINT are kept for the loop. Returns the end of the pipe to be read."""
    global _pipe
    if _pipe is None or _pipe[0] != os.getpid():
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        _pipe = (os.getpid(), reading, writing)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _write)
    return _pipe[1]


def _write(_number: int, _frame: object) -> None:
    if _pipe is not None:
        with suppress(BlockingIOError):  # full: it was told often enough
            os.write(_pipe[2], b"x")
