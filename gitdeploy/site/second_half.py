"""The second half of a release's migrations, where it has not run to its end: who waits for it, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.messages import heard, said, tr
from gitdeploy.state import Database
from gitdeploy.state.sqlite import now
from gitdeploy.text import clean
from gitdeploy.versions import CodeState

Why = Literal["later", "failed", "interrupted", "missed"]
COMMAND = "gitdeploy contract"  # runs it
_KEY = "second_half"  # in the database: commit -> what waits of that release, the newest last
_MOST = 20


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
    return bool(waiting_data(database))


def read_waiting(database: Database | None, live: CodeState) -> Waiting | None:
    """What waits of the release that is LIVE; None where nothing does."""
    found = waiting_data(database).get(live.commit) if database is not None else None
    return _read(found) if found is not None else None


def note_waiting(database: Database, release: CodeState, deployment: int, why: Why, error: str = "") -> Waiting:
    """It has not run to its end, because of WHY."""
    made = Waiting(release, deployment, now(), why, error)
    found = waiting_data(database)
    found.pop(release.commit, None)
    _write(database, {**found, release.commit: _stored(made)})
    return made


def forget_waiting(database: Database, release: CodeState) -> None:
    """That of RELEASE has run."""
    found = waiting_data(database)
    if found.pop(release.commit, None) is not None:
        _write(database, found)


def waiting_data(database: Database) -> dict[str, Any]:
    """What the data have not been through, by the release's commit: of releases that are not live, too, since one may be again
    on the same data. A backup with data keeps it with them."""
    found: dict[str, Any] = json.loads(database.meta_get(_KEY) or "{}")
    return {found["release"]["commit"]: found} if "release" in found else found


def bring_waiting(database: Database, brought: Mapping[str, Any]) -> None:
    """Data that a backup held are live now, and with them what it knew of them: BROUGHT. Another server may have made it."""
    good = {}
    for commit, found in brought.items() if isinstance(brought, Mapping) else ():
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            waiting = _read(found)
            if waiting.release.commit == commit and waiting.why in ("later", "failed", "interrupted", "missed"):
                good[commit] = _stored(replace(waiting, error=clean(waiting.error, limit=500)))
    _write(database, good)


def _read(found: Mapping[str, Any]) -> Waiting:
    release = CodeState.from_dict(found["release"])
    return Waiting(release, found["deployment"], found["since"], found["why"], heard(found, "error"))


def _stored(waiting: Waiting) -> dict[str, Any]:
    stored = {"release": waiting.release.as_dict(), "deployment": waiting.deployment, "since": waiting.since}
    return {**stored, "why": waiting.why, **said(waiting.error, "error")}


def _write(database: Database, found: Mapping[str, Any]) -> None:
    database.meta_put(_KEY, json.dumps(dict(list(found.items())[-_MOST:])) if found else None)
