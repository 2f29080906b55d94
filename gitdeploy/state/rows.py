"""Rows of state.db."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gitdeploy.messages import tr

_FOR_ANOTHER = re.compile(r"(.+) \(as ([^()]+)\)")


def acting_for(who: str, user: str) -> str:
    """`root (as otrs)`: WHO with the rights of USER."""
    return tr("{who} (as {user})", who=who, user=user)


def who_said(text: str) -> str:
    """Who acts, as it was written down: a sentence again, where it is `acting_for`'s."""
    found = _FOR_ANOTHER.fullmatch(text)
    return acting_for(who_said(found[1]), found[2]) if found else text


class DeploymentRow(Struct, frozen=True):
    """One deployment as the database has it; `origin` and `target` are {version, tag, commit} each."""

    id: int
    action: str
    status: str
    performer: str
    started_at: str
    ended_at: str | None
    duration: float | None
    origin: Mapping[str, Any]
    target: Mapping[str, Any]
    backup: str | None
    error: Mapping[str, Any] | None
    steps: tuple[Mapping[str, Any], ...]

    @property
    def running(self) -> bool:
        """Not ended: it runs, or its process died."""
        return self.ended_at is None


class Record(Struct, frozen=True):
    """One durable record of the journal."""

    seq: int
    kind: str
    step: str
    data: Mapping[str, Any]
    at: str


class BadRelease(Struct, frozen=True):
    """A release that was rolled back here: why, when (ISO 8601), and in which deployment, where that is still known."""

    commit: str
    tag: str
    reason: str
    at: str
    deployment: int | None
