"""The second half of a release's migrations, where it has not run to its end: who waits for it, and why."""

from __future__ import annotations

import json
from typing import Any, Literal

from msgspec import Struct

from gitdeploy.messages import heard, said, tr
from gitdeploy.state import Database
from gitdeploy.state.sqlite import now
from gitdeploy.versions import CodeState

Why = Literal["later", "failed", "interrupted", "missed"]
COMMAND = "gitdeploy contract"  # runs it
_KEY = "second_half"  # in the database


class Waiting(Struct, frozen=True):
    """`release`: whose migrations; `deployment`: which upgrade, or try, left them; `since` (ISO 8601); `why`; `error`: of one
    that failed."""

    release: CodeState
    deployment: int
    since: str
    why: Why
    error: str = ""

    @property
    def sentence(self) -> str:
        """`The second half of v2.0's migrations waits.`, or what became of it."""
        name = self.release.name
        if self.why == "failed":
            return tr("The second half of {release}'s migrations failed: {error}", release=name, error=self.error)
        if self.why == "interrupted":
            return tr(
                "The second half of {release}'s migrations was interrupted; how far it came is not known.", release=name
            )
        if self.why == "missed":
            return tr("The second half of {release}'s migrations has not begun.", release=name)
        return tr("The second half of {release}'s migrations waits.", release=name)

    def as_dict(self) -> dict[str, Any]:
        """The shape of `second_half` in `status --json`."""
        return {
            "release": self.release.as_dict(),
            "deployment": self.deployment,
            "since": self.since,
            "why": self.why,
            **said(self.error, "error"),
            "command": COMMAND,
        }


def anything_waits(database: Database) -> bool:
    """Whether it did not run to its end of any release: asked before git is asked which one is live."""
    return database.meta_get(_KEY) is not None


def read_waiting(database: Database | None, live: CodeState) -> Waiting | None:
    """What waits of the release that is LIVE; None where nothing does."""
    text = database.meta_get(_KEY) if database is not None else None
    if text is None:
        return None
    found = json.loads(text)
    release = CodeState.from_dict(found["release"])
    if release.commit != live.commit:
        return None
    return Waiting(release, found["deployment"], found["since"], found["why"], heard(found, "error"))


def note_waiting(database: Database, release: CodeState, deployment: int, why: Why, error: str = "") -> Waiting:
    """It has not run to its end, because of WHY."""
    made = Waiting(release, deployment, now(), why, error)
    stored = {
        "release": release.as_dict(),
        "deployment": deployment,
        "since": made.since,
        "why": why,
        **said(error, "error"),
    }
    database.meta_put(_KEY, json.dumps(stored))
    return made


def forget_waiting(database: Database) -> None:
    """It has run, or another release is live."""
    if database.meta_get(_KEY) is not None:
        database.meta_put(_KEY, None)
