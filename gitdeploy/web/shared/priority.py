"""The page gives way: its threads take the processor after the app's and a deployment's, however many people look.

Priorities belong to threads and go on to what they start, and only root may raise one again. So one thread keeps the
priority that the process came with, and deployments are started from it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

LOWER = 10  # how much nicer: beside a busy thread of usual priority about a tenth of the processor
_TRIES = 5  # the kernel lets only one session in a tenth of a second change its priority

Value = TypeVar("Value")
_usual: ThreadPoolExecutor | None = None


def give_way() -> None:
    """Lower the calling thread, all threads that it starts from now on, and the session where it is this process's own."""
    global _usual  # a process has one priority
    if _usual is None:
        _usual = ThreadPoolExecutor(1, "gitdeploy-usual")
        _usual.submit(int).result()  # its thread begins now, before the priority falls
        os.nice(LOWER)
        _lower_session()


def as_usual(act: Callable[[], Value]) -> Value:
    """What ACT returns, with the priority that the process came with: its children have it too."""
    return act() if _usual is None else _usual.submit(act).result()


def _lower_session() -> None:
    """Where the kernel schedules session by session (sched(7), autogroup), a thread's priority counts only among those of
    its session. A terminal's is left alone: it is not ours alone, and would stay low."""
    if os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(LOWER))
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:  # a kernel without it, or /proc of another owner
            return
        else:
            return
