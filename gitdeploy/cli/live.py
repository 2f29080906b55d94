"""Live progress on a terminal: the steps as they go, the running one with what it is doing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from gitdeploy.cli.marks import MARKS, step_title
from gitdeploy.deployment.record.events import Ended, Event, Line, Progress, Started, StepChanged
from gitdeploy.messages import render
from gitdeploy.text import clean, duration_text, padded, width_of, wrapped

if TYPE_CHECKING:
    from rich.status import Status

    from gitdeploy.cli.screen import Screen


class LiveListener:
    """Prints a line for each step that ended, and a spinner for the one that runs."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.console = Console(file=sys.stderr, no_color=not screen.colours, highlight=False, markup=False, emoji=False)
        # COLUMNS=0 is what some terminals and containers say who don't know.
        self.console.width = max(20, self.console.width) if self.console.width else 80
        self.status: Status | None = None
        self.passing = False  # that is of work outside a step

    def listen(self, event: Event) -> None:
        if isinstance(event, Started):
            self.console.print(_text(event.headline))
        elif isinstance(event, StepChanged) and event.status == "running":
            self._stop()
            self._start(step_title(event.name))
        elif isinstance(event, StepChanged):
            self._stop()
            self._step(event)
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Line):
            self._line(event)
        elif isinstance(event, Ended):
            self._stop()

    def _start(self, text: str) -> None:
        self.status = self.console.status(_text(f"  {text}"), spinner="dots" if _unicode() else "line")
        self.status.start()

    def _progress(self, event: Progress) -> None:
        """What the running step is at; work outside a step (while one is undone) has a line of its own until it ends."""
        if event.far is not None and self.status is None:
            self.passing = True
            self._start(step_title(event.name))
        if not event.text and self.passing:
            self._stop()
        if self.status is not None and event.text:
            room = self.console.width - 18
            text = event.far.fitting(lambda said: width_of(render(said)) <= room) if event.far else event.text
            self.status.update(_text(f"  {padded(step_title(event.name), 12)}{_cut(render(text), room)}"))

    def _step(self, event: StepChanged) -> None:
        mark = MARKS[event.status] if _unicode() else {"done": "+", "failed": "x", "undone": "<"}.get(event.status, "-")
        took = render(duration_text(event.duration)) if event.duration is not None and event.status != "skipped" else ""
        style = {"done": "green", "failed": "red", "undone": "yellow"}.get(event.status, "dim")
        room = max(20, self.console.width - 30)
        first, *rest = [piece for line in render(event.summary).splitlines() for piece in wrapped(line, room)] or [""]
        pad = " " * max(1, room - width_of(first) + 8 - width_of(took))
        self.console.print(
            Text.assemble("  ", (mark, style), _text(f" {padded(step_title(event.name), 12)}{first}{pad}{took}"))
        )
        for line in rest:
            self.console.print(_text(" " * 16 + line))

    def _line(self, event: Line) -> None:
        if event.level == "debug" and not self.screen.verbose:
            if self.status is not None and event.text.strip():
                self.status.update(_text(f"  {_cut(render(event.text).strip(), self.console.width - 8)}"))
            return
        if event.level in ("warning", "error") or self.screen.verbose:
            style = {"warning": "yellow", "error": "red"}.get(event.level, "dim")
            self.console.print(_text(f"    {render(event.text)}", style))

    def _stop(self) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None
        self.passing = False


def _text(text: str, style: str = "") -> Text:
    """In the language that is spoken; rich leaves escapes in a text as they are."""
    return Text(clean(render(text), lines=True), style=style)


def _cut(text: str, width: int) -> str:
    """As much of TEXT as WIDTH columns hold."""
    return text if width_of(text) <= width else set_cell_size(text, max(0, width))


def _unicode() -> bool:
    encoding = (getattr(sys.stderr, "encoding", "") or "").lower()
    return "utf" in encoding and os.environ.get("TERM") != "linux"
