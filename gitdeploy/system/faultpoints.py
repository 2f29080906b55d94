"""Numbered points at which a test may kill or fail the process: every journal write, rename, step and child process.

Off unless `GITDEPLOY_FAULT_PLAN` names a regular file of this user whose first line is exactly `MAGIC`; an operator's
environment cannot turn it on by accident. Its second line says what happens: `count FILE` writes the points' names to
FILE, `kill N` sends SIGKILL to this process at the N-th point, `kill-group N` to its whole process group, `kill-at NAME`
at the first point of that name; `fill N FILE` writes FILE until its disk is full, `fill-at FILE NAME` at the points of that name.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

MAGIC = "gitdeploy fault plan: this process is meant to be killed"
VARIABLE = "GITDEPLOY_FAULT_PLAN"

_action = ""
_argument = ""
_reached = 0


def load() -> None:
    """Take up the plan that the environment names: once while this is loaded, again in a fork that has another environment."""
    global _action, _argument
    name = os.environ.get(VARIABLE)
    if not name:
        return
    try:
        plan = Path(name)
        if not plan.is_file() or plan.stat().st_uid != os.getuid():
            return
        lines = plan.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    if len(lines) == 2 and lines[0] == MAGIC:
        _action, _, _argument = lines[1].partition(" ")


def point(name: str) -> None:
    """Say that the process is at the point NAME."""
    global _reached
    if not _action:
        return
    _reached += 1
    if _action == "count":
        with open(_argument, "a", encoding="utf-8") as out:
            out.write(f"{name}\n")
    elif _action == "kill-at":
        if name == _argument:
            os.kill(os.getpid(), signal.SIGKILL)
    elif _action == "fill-at":
        file, _, wanted = _argument.partition(" ")
        if name == wanted:
            _fill(file)
    elif _reached == int(_argument.partition(" ")[0]):
        if _action == "fill":
            _fill(_argument.partition(" ")[2])
            return
        if _action == "kill-group":
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _fill(name: str) -> None:
    with open(name, "ab", buffering=0) as out:
        for size in (1 << 16, 1):
            with suppress(OSError):
                while out.write(b"\0" * size):
                    pass


load()
