"""`gitdeploy log`."""

from __future__ import annotations

import time
from datetime import datetime

import click

from gitdeploy.app import App
from gitdeploy.cli.completing import deployment_ids
from gitdeploy.cli.marks import action_title, status_title
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import UsageError
from gitdeploy.messages import heard, render, tr
from gitdeploy.site.status import row_as_dict
from gitdeploy.state import DeploymentRow
from gitdeploy.text import duration_text

_STATES = {
    "unknown": tr("No run was started with this request."),
    "running": tr("It is running."),
    "ended": tr("It has ended."),
    "killed": tr("It was killed before its end. The next command recovers it; to do it now: gitdeploy recover"),
}


@click.command("log", context_settings=EXAMPLE)
@click.argument("deployment", metavar="[ID]", type=int, required=False, shell_complete=deployment_ids)
@click.option("-f", "--follow", is_flag=True, help="Follow a running one to its end.")
@click.option("--request", metavar="ID", help="The run that was started with this GITDEPLOY_REQUEST.")
@click.option("--limit", type=click.IntRange(1), default=20, help="How many are listed.")
@global_options
@pass_screen
def command(screen: Screen, /, deployment: int | None, follow: bool, request: str | None, limit: int) -> None:
    """Deployments, newest first; with ID its steps and whole log.

    \b
    Example:
      gitdeploy log
      gitdeploy log 17
      gitdeploy log -f
      gitdeploy log -f --json                   # JSON lines: a document for each line, at last the deployment
    """
    screen.goes_on = follow
    app = screen.app()
    if request is not None:
        run = app.requested(request)
        screen.result(run.as_dict(), _STATES[run.state])
        return
    if deployment is None and not follow:
        rows = app.deployments(limit)
        table = screen.table(
            [
                (
                    str(row.id),
                    _time(row.started_at),
                    action_title(row.action),
                    str(row.origin.get("tag") or str(row.origin.get("commit"))[:8]),
                    str(row.target.get("tag") or str(row.target.get("commit"))[:8]),
                    shown_status(row),
                    duration_text(row.duration) if row.duration is not None else "",
                    row.performer,
                )
                for row in rows
            ],
            ("ID", "STARTED", "ACTION", "FROM", "TO", "STATUS", "TOOK", "BY"),
        )
        screen.result([row_as_dict(row) for row in rows], table if rows else tr("There was no deployment yet."))
        return
    number = deployment if deployment is not None else _newest(app)
    row, lines = app.log(number)
    if not follow:
        document = {**row_as_dict(row), "log": [text for _, _, _, text in lines]}
        text = "\n".join(f"{_time(at)} {render(text)}" for _, at, _, text in lines)
        status = shown_status(row)
        ending = tr("\n{status}: {error}", status=status, error=heard(row.error)) if row.error else f"\n{status}"
        screen.result(document, text + ending)
        return
    _follow(screen, app, number)


def _follow(screen: Screen, app: App, number: int) -> None:
    """Each line as it comes, until the deployment is over; with --json each a document, and then the deployment."""
    since = 0
    while True:
        row, lines = app.log(number, since)
        for since, at, level, text in lines:  # noqa: B007  # the last one is where the next look begins
            screen.result({"at": at, "level": level, "text": text}, f"{_time(at)} {render(text)}")
        if not row.running or not app.is_running():
            break
        if far := app.how_far(number):
            screen.said_how_far(far)
        time.sleep(0.3)
    screen.result({"deployment": row_as_dict(row)}, "")


def shown_status(row: DeploymentRow) -> str:
    """How it ended, in words."""
    return status_title(row.status)


def _newest(app: App) -> int:
    rows = app.deployments(1)
    if not rows:
        raise UsageError(tr("There was no deployment yet."))
    return rows[0].id


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
