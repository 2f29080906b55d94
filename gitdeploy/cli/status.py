"""`gitdeploy status`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from gitdeploy.app import App
from gitdeploy.cli.log import shown_status
from gitdeploy.cli.marks import action_title
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen, row
from gitdeploy.messages import joined, tr
from gitdeploy.site.second_half import COMMAND
from gitdeploy.site.status import Status
from gitdeploy.state.rows import who_said
from gitdeploy.text import clean, duration_text, listing
from gitdeploy.versions import CodeState


@click.command("status", context_settings=EXAMPLE)
@click.option("--health", is_flag=True, help="Ask the service and the health check too, once.")
@global_options
@pass_screen
def command(screen: Screen, /, health: bool) -> None:
    """What is live, the last deployment, what is pending.

    Also: an update that is available, an interrupted deployment, who holds the lock. Somebody else than the checkout's owner is
    shown its path and HEAD only: git there would run the owner's settings.

    \b
    Example:
      gitdeploy status
      gitdeploy --json status
    """
    app = screen.app()
    status = app.status()
    document, text = status.as_dict(), _text(app, status)
    if health and status.limited is None:
        unhealthy = app.health()
        document["health"] = unhealthy
        said = tr("unhealthy: {why}", why=unhealthy) if unhealthy is not None else tr("healthy")
        text = joined("\n", [text, row(tr("health"), said, 12)])
    screen.result(document, text)


def _asked(status: Status) -> str:
    """` (asked 3 h ago)`."""
    if status.checked_at is None:
        return ""
    age = (datetime.now(UTC) - datetime.fromisoformat(status.checked_at)).total_seconds()
    return tr(" (asked {age} ago)", age=duration_text(max(0.0, age)))


def _limited(status: Status, why: str, way: str) -> str:
    """For somebody else than the checkout's owner."""
    branch = status.branch.removeprefix("refs/heads/") if status.branch else tr("detached")
    head = tr(
        "{commit}  {branch}{branch2}",
        commit=status.live.commit[:7] or "HEAD",
        branch=tr("on ") if status.branch else "",
        branch2=clean(branch),
    )
    return tr(
        "{app}  {head}\n  path         {status}\n  not shown    {why}\n               {way}",
        app=clean(status.app),
        head=head,
        status=clean(status.path),
        why=why,
        way=way,
    )


def _update(app: App, status: Status) -> list[str]:
    """The release that could be installed, and why it isn't by itself."""
    lines: list[str] = []
    bad, skips = app.bad_releases(), app.skips()
    newest = app.last_check() if bad or status.skipped else None
    skip = skips.against(newest.latest_tag) if newest is not None else None
    if newest is not None and newest.commit in bad:
        number = bad[newest.commit].deployment
        where = tr(":  gitdeploy log {number}", number=number) if number is not None else ""
        lines.append(
            tr(
                "  update       {latest_tag} failed here before and won't be retried automatically{where}",
                latest_tag=newest.latest_tag,
                where=where,
            )
        )
    elif skip is not None:
        lines.append(
            tr(
                "  update       {latest_version} is available{asked}; {sentence}",
                latest_version=status.latest_version,
                asked=_asked(status),
                sentence=skip.sentence,
            )
        )
        lines.append(tr("               To allow it: {way}", way=skip.way))
    else:
        lines.append(
            tr(
                "  update       {latest_version} is available{asked}:  gitdeploy upgrade",
                latest_version=status.latest_version,
                asked=_asked(status),
            )
        )
    return lines


def _unfinished(status: Status) -> list[str]:
    """What an upgrade has left to be done."""
    lines = []
    if status.waiting is not None:
        lines.append(row(tr("migrations"), status.waiting.sentence, 12))
        lines.append(row("", tr("To run it: {command}", command=COMMAND), 12))
    if status.journey is not None:
        lines.append(row(tr("on the way"), status.journey.sentence(status.live.tag), 12))
        if status.holder is None:
            lines.append(row("", tr("To go on: {way}", way=status.journey.way), 12))
    return lines


def _text(app: App, status: Status) -> str:
    live = status.live
    if status.limited is not None:
        return _limited(status, *status.limited)
    where = tr("on {branch}", branch=status.branch.removeprefix("refs/heads/")) if status.branch else tr("detached")
    lines = [
        tr("{app}  {release}  {where}", app=clean(status.app), release=live.full, where=where),
        tr("  path         {status}", status=clean(status.path)),
    ]
    if status.local_changes:
        lines.append(tr("  changed      {local_changes}", local_changes=listing(list(status.local_changes), 8)))
    if status.venv:
        generation = status.venv["generation"] or tr("a plain folder (adopted by the first upgrade)")
        lines.append(
            tr("  venv         Python {venv}, {generation}", venv=status.venv["python"] or "?", generation=generation)
        )
        if status.venv["problem"]:
            lines.append(tr("               {venv}", venv=status.venv["problem"]))
    if status.update_available:
        lines += _update(app, status)
    last = status.last_deployment
    if last is not None:
        goal = CodeState.from_dict(last.target).name
        when = datetime.fromisoformat(last.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
        lines.append(
            tr(
                "  last         {action}{goal}: {shown_status}, {when} by {performer}",
                action=action_title(last.action),
                goal=tr(" to {goal}", goal=clean(goal)) if goal else "",
                shown_status=shown_status(last),
                when=when,
                performer=clean(last.performer),
            )
        )
    if (cut_off := status.interruption) is not None:
        when = datetime.fromisoformat(cut_off.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
        lines += [
            tr(
                "  interrupted  {what} (begun {when} by {performer}):  gitdeploy recover",
                what=cut_off.what,
                when=when,
                performer=cut_off.performer,
            ),
            row("", cut_off.outlook, 12),
        ]
    lines += _unfinished(status)
    if status.holder is not None:
        lines.append(tr("  running      {sentence}", sentence=status.holder.sentence()))
    if status.held:
        lines.append(
            tr(
                "  paused       by {who}: {why}",
                who=clean(who_said(str(status.held.get("who")))),
                why=clean(str(status.held.get("message") or tr("no reason given"))),
            )
        )
    return joined("\n", lines)
