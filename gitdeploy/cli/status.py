"""`gitdeploy status`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from gitdeploy.app import App
from gitdeploy.cli.log import shown_status
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.site.status import Status
from gitdeploy.text import clean, duration_text, listing
from gitdeploy.versions import CodeState


@click.command("status", context_settings=EXAMPLE)
@global_options
@pass_screen
def command(screen: Screen) -> None:
    """What is live, the last deployment, what waits.

    Also: an update that waits, an interrupted deployment, who holds the lock. Somebody else than the checkout's owner is
    shown its path and HEAD only: git there would run the owner's settings.

    \b
    Example:
      gitdeploy status
      gitdeploy --json status
    """
    app = screen.app()
    status = app.status()
    screen.result(status.as_dict(), _text(app, status))


def _asked(status: Status) -> str:
    """` (asked 3 h ago)`."""
    if status.checked_at is None:
        return ""
    age = (datetime.now(UTC) - datetime.fromisoformat(status.checked_at)).total_seconds()
    return f" (asked {duration_text(max(0.0, age))} ago)"


def _limited(status: Status, why: str, way: str) -> str:
    """For somebody else than the checkout's owner."""
    branch = status.branch.removeprefix("refs/heads/") if status.branch else "detached"
    head = f"{status.live.commit[:7] or 'HEAD'}  {'on ' if status.branch else ''}{clean(branch)}"
    return (
        f"{clean(status.app)}  {head}\n  path         {clean(status.path)}\n  not shown    {why}\n               {way}"
    )


def _text(app: App, status: Status) -> str:
    live = status.live
    if status.limited is not None:
        return _limited(status, *status.limited)
    where = f"on {status.branch.removeprefix('refs/heads/')}" if status.branch else "detached"
    lines = [f"{clean(status.app)}  {live.full}  {where}", f"  path         {clean(status.path)}"]
    if status.local_changes:
        lines.append(f"  changed      {listing(list(status.local_changes), 8)}")
    if status.venv:
        generation = status.venv["generation"] or "a plain folder (adopted by the first upgrade)"
        lines.append(f"  venv         Python {status.venv['python'] or '?'}, {generation}")
        if status.venv["problem"]:
            lines.append(f"               {status.venv['problem']}")
    if status.update_available:
        bad, skips = app.bad_releases(), app.skips()
        newest = app.last_check() if bad or status.skipped else None
        skip = skips.against(newest.latest_tag) if newest is not None else None
        if newest is not None and newest.commit in bad:
            number = bad[newest.commit].deployment
            where = f":  gitdeploy log {number}" if number is not None else ""
            lines.append(
                f"  update       {newest.latest_tag} failed here before and is not installed by itself again{where}"
            )
        elif skip is not None:
            lines.append(f"  update       {status.latest_version} is available{_asked(status)}; {skip.sentence}")
            lines.append(f"               Let it be installed: {skip.way}")
        else:
            lines.append(f"  update       {status.latest_version} is available{_asked(status)}:  gitdeploy upgrade")
    row = status.last_deployment
    if row is not None:
        goal = CodeState.from_dict(row.target).name
        when = datetime.fromisoformat(row.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
        lines.append(
            f"  last         {row.action}{f' to {clean(goal)}' if goal else ''}: {shown_status(row)}, {when} by {clean(row.performer)}"
        )
    if (cut_off := status.interruption) is not None:
        when = datetime.fromisoformat(cut_off.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
        lines += [
            f"  interrupted  {cut_off.what} (begun {when} by {cut_off.performer}):  gitdeploy recover",
            f"               {cut_off.outlook}",
        ]
    if status.holder is not None:
        lines.append(f"  running      {status.holder.sentence()}")
    if status.held:
        lines.append(
            f"  paused       by {clean(str(status.held.get('who')))}: {clean(str(status.held.get('message') or 'no reason given'))}"
        )
    return "\n".join(lines)
