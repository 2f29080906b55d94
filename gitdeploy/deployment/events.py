"""What a deployment tells while it runs: to the terminal, the log, the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
StepStatus = Literal["running", "done", "skipped", "failed", "undone"]


@dataclass(frozen=True, slots=True)
class Started:
    """A deployment began: its id, and in a sentence what it is to do."""

    deployment: int
    action: str
    headline: str


@dataclass(frozen=True, slots=True)
class StepChanged:
    """A step began or ended; `summary` is what it did (or why it failed), `duration` in seconds once it ended."""

    name: str
    status: StepStatus
    summary: str = ""
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running step is: a text to show beside it, and a fraction where it is known."""

    name: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log."""

    text: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: `succeeded`, `rolled_back`, `failed`, `nothing_to_do`, and the closing sentence."""

    status: str
    sentence: str


Event = Started | StepChanged | Progress | Line | Ended
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of who doesn't listen."""
