"""What a deployment tells while it runs: to the terminal, the log, the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from gitdeploy.system.progress import HowFar, Reporter

Level = Literal["debug", "info", "warning", "error"]
StepStatus = Literal["running", "done", "skipped", "failed", "undone"]


class Started(Struct, frozen=True):
    """A deployment began: its id, and in a sentence what it is to do."""

    deployment: int
    action: str
    headline: str


class StepChanged(Struct, frozen=True):
    """A step began or ended; `summary` is what it did (or why it failed), `duration` in seconds once it ended."""

    name: str
    status: StepStatus
    summary: str = ""
    duration: float | None = None


class Progress(Struct, frozen=True):
    """What the running step is at: a text to show beside it, and how far that has come where it can be told. Without a
    text: what was told last has ended."""

    name: str
    text: str
    far: HowFar | None = None


class Line(Struct, frozen=True):
    """A line of the log."""

    text: str
    level: Level = "info"


class Ended(Struct, frozen=True):
    """How it ended: `succeeded`, `rolled_back`, `failed`, `nothing_to_do`, and the closing sentence."""

    status: str
    sentence: str


Event = Started | StepChanged | Progress | Line | Ended
Listener = Callable[[Event], None]


def far_told(listener: Listener, name: str) -> Reporter:
    """What tells LISTENER how far work has come that belongs to NAME, a step or a command, and to no running step."""
    return lambda far: listener(Progress(name, far.text if far is not None else "", far))


def ignore(event: Event) -> None:
    """The listener of who doesn't listen."""
