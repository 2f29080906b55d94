"""The engine: runs steps, writes the journal before each, undoes in reverse when one fails.

It knows nothing of git or venvs. A step that may touch the live app is begun in the journal, durably, before its
`apply`; so whatever a process died in is known to the next one, which undoes it with the same objects, rebuilt from
the journal. Recovery reads one table:

| newest durable record | means | what is done |
| --- | --- | --- |
| no `begin` of a live step | nothing live was touched | throw the half-made away |
| `begin`, `undoing` | in between | undo in reverse, then settle |
| `undone` | the old state is back on disk | settle: data, service, health |
| `commit` | the new state is final | finish |
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Flag, auto
from typing import Any, Protocol

from gitdeploy.deployment.record.journal import Journal
from gitdeploy.errors import GitDeployError, Interrupted, RollbackFailed
from gitdeploy.messages import said, tr
from gitdeploy.site.blame import fault_of
from gitdeploy.state import Record
from gitdeploy.system import faultpoints, interruption
from gitdeploy.text import path_text


class Effect(Flag):
    """What may come of a step once it has begun, besides what it is for."""

    NONE = 0
    RELEASE = auto()  # something of the release runs in it: what fails it may be the release's fault
    DATA = auto()  # the app's data may be otherwise
    WRITES = auto()  # from then on the app may write into its data


class Step(Protocol):
    """One named part of a deployment that touches the live app."""

    @property
    def name(self) -> str: ...

    @property
    def effects(self) -> Effect: ...

    def wanted(self) -> str | None:
        """None when there is something to do, else why not (shown as skipped; empty: not shown at all)."""
        ...

    def ready(self) -> dict[str, Any]:
        """Look once more; what `undo` will need in a later process. Failing here has touched nothing."""
        ...

    def apply(self) -> str:
        """Do it; a summary of what was done."""
        ...

    def undo(self, data: dict[str, Any]) -> str:
        """Undo a whole, half or not begun `apply`, possibly again, possibly in a new process; what was done."""
        ...


class Failed(Exception):
    """A live step failed and everything begun has been undone; `cause` is what failed it, `step` where."""

    def __init__(self, step: str, cause: GitDeployError) -> None:
        super().__init__(cause.message)
        self.step = step
        self.cause = cause


def apply_all(journal: Journal, steps: Sequence[Step], *, roll_back: bool = True) -> None:
    """Run STEPS to the durable `commit`. Raises `Failed` after everything begun was undone, `RollbackFailed` where that
    was impossible, and whatever the first step's `ready` raised while nothing had been begun."""
    begun: list[tuple[Step, dict[str, Any]]] = []
    for step in steps:
        reason = step.wanted()
        if reason is not None:
            if reason:
                with journal.step(step.name) as shown:
                    shown.status, shown.summary = "skipped", reason
            continue
        try:
            with journal.step(step.name) as shown:
                interruption.check()
                data = step.ready()
                journal.write("begin", step.name, data)
                begun.append((step, data))
                faultpoints.point(f"apply {step.name}")
                shown.summary = step.apply()
                faultpoints.point(f"applied {step.name}")
        except (GitDeployError, OSError) as error:
            cause = as_expected(error)
            if not begun:
                raise cause from error
            if not roll_back and not isinstance(error, Interrupted):
                raise RollbackFailed(
                    tr("{cause_message} Left as it is, because of --no-rollback.", cause_message=cause.message),
                    tr("`gitdeploy recover` goes back to the old release; `gitdeploy status` shows what is live."),
                ) from error
            undo_all(journal, begun, step.name, cause)
            raise Failed(step.name, cause) from error
    try:
        journal.write("commit")
    except GitDeployError as error:
        # The record may be on disk all the same: nothing live is touched until `undoing` is durable.
        undo_all(journal, begun, "commit", error)
        raise Failed("commit", error) from error


def undo_all(
    journal: Journal, begun: Sequence[tuple[Step, dict[str, Any]]], failed: str, cause: GitDeployError
) -> None:
    """Undo in reverse, because of CAUSE in the step FAILED; ends with a durable `undone`. Raises `RollbackFailed`."""
    reason = tr("{failed}: {cause_message}", failed=failed, cause_message=cause.message)
    fault = fault_of(failed, cause, of_release=any(s.name == failed and Effect.RELEASE in s.effects for s, _ in begun))
    with interruption.shield():
        try:
            journal.write("undoing", failed, {**said(cause.message, "reason"), "fault": fault})
        except GitDeployError as error:
            raise RollbackFailed(
                tr(
                    "The journal can't be written, so nothing was undone ({message}) The failure before it: {reason}",
                    message=error.message,
                    reason=reason,
                ),
                tr("Make room on the disk, then run: gitdeploy recover"),
            ) from error
        for step, data in reversed(begun):
            faultpoints.point(f"undo {step.name}")
            try:
                with journal.doing(step.name):
                    summary = step.undo(data)
            except (GitDeployError, OSError) as error:
                obstacle = as_expected(error)
                advice = (
                    tr("{obstacle_hint}\nThen", obstacle_hint=obstacle.hint)
                    if isinstance(error, GitDeployError) and obstacle.hint
                    else tr("Fix that, then")
                )
                raise RollbackFailed(
                    tr(
                        "Undoing {step} failed: {obstacle_message} The failure before it: {reason}",
                        step=step.name,
                        obstacle_message=obstacle.message,
                        reason=reason,
                    ),
                    tr("{advice} run: gitdeploy recover", advice=advice),
                ) from error
            faultpoints.point(f"undid {step.name}")
            if summary:
                with journal.step(step.name) as shown:
                    shown.status, shown.summary = "undone", summary
        journal.write("undone")


def begun_steps(records: Sequence[Record], steps: Sequence[Step]) -> list[tuple[Step, dict[str, Any]]]:
    """The steps that the journal says were begun, in their order, with what `undo` needs."""
    data = {record.step: dict(record.data) for record in records if record.kind == "begin"}
    return [(step, data[step.name]) for step in steps if step.name in data]


def as_expected(error: Exception) -> GitDeployError:
    """An OSError as the error of ours that it means; ours as they are."""
    if isinstance(error, GitDeployError):
        return error
    if isinstance(error, OSError):
        where = (
            tr("{filename}: ", filename=path_text(error.filename)) if isinstance(error.filename, str | bytes) else ""
        )
        return GitDeployError(
            tr("{where}{strerror}.", where=where, strerror=error.strerror or error),
            tr("See the whole log: gitdeploy log"),
        )
    return GitDeployError(str(error))
