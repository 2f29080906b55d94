"""How long the long steps of a deployment took here the last time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from gitdeploy.messages import said, tr
from gitdeploy.state import Database

if TYPE_CHECKING:
    from gitdeploy.deployment.plan.make import Plan

_LEAST = 5.0  # seconds: what takes less is not worth a word
_LOOKED = 100  # deployments, from the newest back
_ACTIONS = ("upgrade", "prepare", "restore", "rollback")  # a backup by hand copies and dumps in one


def reused(generation: str) -> str:
    """How a step `build` ended that made no venv."""
    return tr("venv {reuse}", reuse=generation)


_REUSED = said(reused(""))["code"]


class Took(Struct, frozen=True):
    """`step`: backup (files are copied), dump, build (the venv), build-hooks or migrate; `seconds` in which `deployment`."""

    step: str
    seconds: float
    deployment: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of each of `last_took` in `plan --json`."""
        made: dict[str, Any] = to_builtins(self)
        return made


def last_took(database: Database | None, plan: Plan) -> tuple[Took, ...]:
    """Of the steps that PLAN will have, those that took long the last time that they were done here, in their order."""
    found: dict[str, Took] = {}
    wanted = _steps_of(plan)
    for row in database.deployments(_LOOKED) if database is not None and not plan.nothing_to_do else ():
        if row.action in _ACTIONS:
            for step, seconds in _done(row.steps):
                found.setdefault(step, Took(step, seconds, row.id))
        if found.keys() >= set(wanted):
            break
    return tuple(found[step] for step in wanted if step in found and found[step].seconds >= _LEAST)


def _steps_of(plan: Plan) -> list[str]:
    saved = plan.before.backup
    there = {
        "backup": True,
        "build": plan.venv is not None and plan.venv.reuse is None,
        "dump": bool(saved.include or (saved.databases and plan.options.migrate)),
        "build-hooks": "build" in plan.hooks,
        "migrate": "migrate" in plan.hooks,
    }
    return [step for step, wanted in there.items() if wanted]


def _done(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Those that were done: behind the switch `build` are the hooks of that name, before it the making of a venv."""
    switched = False
    for step in steps:
        switched = switched or step["name"] == "switch"
        if step["status"] == "done" and step.get("summary_code") != _REUSED:
            name = "build-hooks" if switched and step["name"] == "build" else str(step["name"])
            yield name, float(step["duration"])
