"""The journal of one deployment: durable records of its steps, its log, and the children that may touch the app."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from gitdeploy.deployment.record.events import Level, Line, Listener, Progress, StepChanged, StepStatus
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import Message, said, tr
from gitdeploy.state import Database, Record
from gitdeploy.system import proc, process
from gitdeploy.system.progress import HowFar, told
from gitdeploy.text import redact

_TELL_AGAIN = 1.0  # seconds between two words on a running step for whoever watches from another process


def left_running(records: Sequence[Record]) -> tuple[list[str], list[proc.Identity]]:
    """The marks of children that haven't ended, as RECORDS of a deployment have them, and the first process of each: its
    session holds all that the child started."""
    ended = {record.data["marker"] for record in records if record.kind == "child-ended"}
    running = [
        str(record.data["marker"])
        for record in records
        if record.kind == "child" and record.data["marker"] not in ended
    ]
    found = (r.data for r in records if r.kind == "child-started" and r.data["marker"] in running)
    return running, [proc.Identity(data["pid"], data["started"], data["boot"]) for data in found]


class StepTime(Struct):
    """A step as the summary shows it."""

    name: str
    status: StepStatus
    duration: float
    summary: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status,
            "duration": round(self.duration, 3),
            **said(self.summary, "summary"),
        }


class Journal:
    """Writes what recovery reads, and tells the listener. Also told of the children that its deployment starts."""

    def __init__(self, database: Database, deployment: int, listener: Listener) -> None:
        self.database = database
        self.deployment = deployment
        self.listener = listener
        self.steps: list[StepTime] = []
        self._told = 0.0
        self.running = ""  # the step that runs, or is being undone

    # ---- durable records ----

    def write(self, kind: str, step: str = "", data: Mapping[str, Any] | None = None) -> None:
        """One record; on disk when this returns, where it must be (see `Database.write`)."""
        self.database.write(self.deployment, kind, step, data)

    def child_starting(self, marker: str, argv: Sequence[str]) -> None:
        self.write("child", "", {"marker": marker, "command": process.shown(argv)[:200]})

    def child_started(self, marker: str, leader: proc.Identity) -> None:
        self.write("child-started", "", {"marker": marker, **asdict(leader)})

    def child_ended(self, marker: str) -> None:
        self.write("child-ended", "", {"marker": marker})

    def child_quiet(self) -> None:
        self.database.show_lines()

    # ---- log and progress ----

    def line(self, text: str, level: Level = "info") -> None:
        text = redact(text)
        self.database.line(self.deployment, text, level)
        self.listener(Line(text, level))

    def note(self, text: str, level: Level = "info") -> None:
        """A line for the log alone: whoever listens is told in another way."""
        self.database.line(self.deployment, redact(text), level)

    def output(self, text: str) -> None:
        """A line that a child printed."""
        self.line(tr("  {text}", text=text) if isinstance(text, Message) else f"  {text}", "debug")

    def progress(self, name: str, text: str, far: HowFar | None = None) -> None:
        self.listener(Progress(name, text, far))
        if name and time.monotonic() - self._told >= _TELL_AGAIN:
            self._told = time.monotonic()
            step = StepTime(name, "running", 0.0, redact(text)).as_dict()
            shown = {"progress": replace(far, what=redact(far.what)).as_dict()} if far is not None else {}
            self.database.step(self.deployment, {**step, **shown}, passing=True)

    def how_far(self, far: HowFar | None) -> None:
        """What `progress.told` tells: how far the work of the running step has come; None: it has ended."""
        if far is not None:
            self.progress(self.running, far.text, far)
        else:
            self.listener(Progress(self.running, ""))
            self.database.step(self.deployment, None)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the block runs, what it starts and how far it comes is told here."""
        with process.observed(self), told(self.how_far):
            yield

    @contextmanager
    def doing(self, name: str) -> Iterator[None]:
        """What the block does belongs to the step NAME."""
        outer, self.running = self.running, name
        try:
            yield
        finally:
            self.running = outer

    @contextmanager
    def step(self, name: str) -> Iterator[StepTime]:
        """Time a step and tell how it ended; whoever runs inside sets `summary`."""
        step = StepTime(name, "running", 0.0)
        begun = time.monotonic()
        self.database.step(self.deployment, step.as_dict())
        self.listener(StepChanged(name, "running"))
        try:
            with self.doing(name):
                yield step
        except BaseException as error:
            step.status = "failed"
            step.summary = error.message if isinstance(error, GitDeployError) else str(error) or type(error).__name__
            self._ended(step, begun)
            for detail in error.details if isinstance(error, GitDeployError) else ():
                self.line(tr("    {detail}", detail=detail), "error")
            raise
        step.status = "done" if step.status == "running" else step.status
        self._ended(step, begun)

    def _ended(self, step: StepTime, begun: float) -> None:
        step.duration = time.monotonic() - begun
        step.summary = redact(step.summary)
        self.steps.append(step)
        mark = {"done": "✓", "skipped": "-", "failed": "✗", "undone": "↶"}.get(step.status, " ")
        self.database.line(
            self.deployment,
            tr(
                "{mark} {step} {summary}  ({duration} s)",
                mark=mark,
                step=f"{step.name:<11}",
                summary=step.summary,
                duration=f"{step.duration:.2f}",
            ),
            "error" if step.status == "failed" else "info",
        )
        self.database.step(self.deployment, step.as_dict())
        self.listener(StepChanged(step.name, step.status, step.summary, step.duration))
