"""What a deployment whose process died was doing, and what the next command will make of it. Changes nothing."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from gitdeploy.messages import capital, heard, tr
from gitdeploy.state import Database, DeploymentRow
from gitdeploy.text import clean
from gitdeploy.versions import CodeState

Recovery = Literal["discard", "undo", "settle", "finish"]
RECOVER = "gitdeploy recover"


class Interruption(Struct, frozen=True):
    """An interrupted deployment: what it was, and at which step. `recovery`: what is still to be done; `failed`: why an
    earlier recovery could not do it."""

    deployment: int
    action: str
    performer: str
    started_at: str
    origin: CodeState
    target: CodeState
    step: str
    recovery: Recovery
    failed: str = ""
    half: bool = False  # the second half of the migrations had begun

    def as_dict(self) -> dict[str, Any]:
        """The shape of `interruption` in `status --json`."""
        return {
            "deployment": self.deployment,
            "action": self.action,
            "performer": self.performer,
            "started_at": self.started_at,
            "from": self.origin.as_dict(),
            "to": self.target.as_dict(),
            "step": self.step,
            "recovery": self.recovery,
            "failed": self.failed or None,
            "command": RECOVER,
        }

    @property
    def what(self) -> str:
        """`deployment 3, upgrade v1.0.0 -> v1.1.0, at migrate`."""
        return tr(
            "deployment {deployment}, {action} {origin} -> {target}, at {step}",
            deployment=self.deployment,
            action=self.action,
            origin=self.origin.name,
            target=self.target.name,
            step=self.step,
        )

    @property
    def outlook(self) -> str:
        """What a recovery does, in a sentence."""
        old, new = self.origin.name, self.target.name
        if self.recovery == "discard":
            return tr("Nothing live was touched: {old} stays live.", old=old)
        if self.recovery == "finish" and self.half:
            return tr(
                "It was in the second half of its migrations: {new} stays live, and that half is to be run again.",
                new=new,
            )
        if self.recovery == "finish":
            return tr("It was final already: recovery finishes it, and {new} stays live.", new=new)
        if self.recovery == "settle":
            why = tr(": {failed}", failed=self.failed) if self.failed else tr(".")
            return tr(
                "Files and venv are those of {old} again; its service and health are not settled{why}", old=old, why=why
            )
        return tr("Recovery undoes it, and {old} is live again.", old=old) + (
            tr(" The last try failed: {failed}", failed=self.failed) if self.failed else ""
        )

    @property
    def sentence(self) -> str:
        return tr(
            "{what}, was interrupted. {outlook}",
            what=capital(self.what),
            outlook=self.outlook,
        )


def read_interruption(database: Database, row: DeploymentRow | None = None) -> Interruption | None:
    """The newest deployment without an end (or ROW, which is one); None where there is none. Whether its process still
    runs is for the caller to know."""
    if row is None:
        row = next(reversed(database.unfinished()), None)
    if row is None:
        return None
    records = database.records(row.id)
    kinds = [record.kind for record in records]
    begun = [record.step for record in records if record.kind == "begin"]
    newest = next((kind for kind in reversed(kinds) if kind in ("begin", "commit", "undoing", "undone")), None)
    half = "second-half" in kinds
    if half:
        newest = "commit"
    known: dict[str | None, Recovery] = {None: "discard", "commit": "finish", "undone": "settle"}
    failures = [heard(record.data, "error") for record in records if record.kind in ("recovery-failed", "unsettled")]
    shown = [str(step["name"]) for step in database.steps(row.id)]
    return Interruption(
        row.id,
        row.action,
        clean(row.performer),
        row.started_at,
        CodeState.from_dict(row.origin),
        CodeState.from_dict(row.target),
        "migrate-after" if half else (begun or shown or [tr("its beginning")])[-1],
        known.get(newest, "undo"),
        clean(failures[-1]) if failures else "",
        half,
    )
