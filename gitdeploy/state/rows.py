"""Rows of state.db."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitdeploy.messages import heard, tr

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


def step_states(lines: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Of what was said of steps, with when: each as it stands now, with `at`: when it began (a running one) or ended."""
    found: list[dict[str, Any]] = []
    for at, text in lines:
        state = {**json.loads(text), "at": at}
        if found and found[-1]["name"] == state["name"] and found[-1]["status"] == "running":
            found[-1] = {**state, "at": found[-1]["at"]} if state["status"] == "running" else state
        else:
            found.append(state)
    return found


def how_far(states: Sequence[Mapping[str, Any]]) -> str:
    """Of `step_states`: how far the work of the step that runs has come, as a sentence; empty where nothing long goes on."""
    return heard(states[-1], "summary") if states and states[-1].get("progress") else ""
