"""How a deployment goes, read from the journal: what upgrade-log answers and what event streams send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitdeploy.app import App
from gitdeploy.errors import NotFound
from gitdeploy.messages import heard, render, tr
from gitdeploy.state import Database, DeploymentLock, DeploymentRow
from gitdeploy.text import clean, log_line

MOST_LINES = 2000  # lines in one answer; `since` says where to go on
INTERRUPTED = "interrupted"


def progress(app: App, deployment: int | None, since: int = 0, language: str = "en") -> dict[str, Any]:
    """Status, steps and the lines after SINCE of a deployment (None: the running one, else the newest).

    `status`: running, succeeded, rolled_back, failed, refused, nothing_to_do, or `interrupted` where its process is gone and
    nobody has recovered yet. `log`: the lines with their time, by the server's clock, and level; `lines`: the same in
    parts. `message`: how it ended, empty before. Raises `NotFound`.
    """
    database = app.site.read_database()
    if database is not None:
        with database:
            found = _read(app, database, deployment, since, language)
        if found is not None:
            return found
    if deployment is not None:
        raise NotFound(
            tr("There is no deployment {deployment}.", deployment=deployment),
            tr("The list of deployments has their numbers."),
        )
    nothing: dict[str, Any] = {"deployment": None, "status": None, "message": "", "steps": [], "log": [], "lines": []}
    return {**nothing, "since": 0, "more": False}


def _read(app: App, database: Database, deployment: int | None, since: int, language: str) -> dict[str, Any] | None:
    if deployment is None:
        rows = database.unfinished() or database.deployments(1)
        if not rows:
            return None
        deployment = rows[-1].id
    row = database.deployment(deployment)
    if row is None:
        return None
    lines = database.lines(deployment, since)
    more = len(lines) > MOST_LINES
    lines = lines[:MOST_LINES]
    shown: list[dict[str, Any]] = [
        {"seq": seq, "at": at, "level": level, "text": clean(render(text, language))} for seq, at, level, text in lines
    ]
    status = row.status
    if row.running:
        status = "running" if DeploymentLock(app.site.state.lock).holder() is not None else INTERRUPTED
        again = database.deployment(deployment)  # it may have ended between the two looks
        if again is not None and not again.running:
            return _read(app, database, deployment, since, language)
    return {
        "deployment": row.id,
        "action": row.action,
        "status": status,
        "from": dict(row.origin),
        "to": dict(row.target),
        "performer": clean(row.performer),
        "backup": row.backup,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "duration": row.duration,
        "error": dict(row.error) if row.error else None,
        "message": _ending(database, row),
        "steps": [_step(step, language) for step in (database.steps(row.id) if row.running else row.steps)],
        "log": [log_line(line["at"], line["level"], line["text"]) for line in shown],
        "lines": shown,
        "since": lines[-1][0] if lines else since,
        "more": more,
    }


def _step(step: Mapping[str, Any], language: str) -> dict[str, Any]:
    if language == "en":
        return dict(step)
    made = {**step, "summary": render(heard(step, "summary"), language)}
    if far := step.get("progress"):
        made["progress"] = {**far, "what": render(heard(far, "what"), language)}
    return made


def _ending(database: Database, row: DeploymentRow) -> str:
    """How it ended, in the deployment's own words: the last that was said before its end, and not what was said while
    its process tidied up after it. Empty while it has no end."""
    if row.running:
        return ""
    if row.error:
        return clean(str(row.error.get("message", "")), lines=True)
    return clean(database.closing_line(row.id) or row.status.replace("_", " "), lines=True)
