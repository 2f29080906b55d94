"""`gitdeploy check`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gitdeploy.cli.notes import notes_text, releases_text
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import SourceError
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean, duration_text

if TYPE_CHECKING:
    from gitdeploy.sources import CheckResult


@click.command("check", context_settings=EXAMPLE)
@click.option("--force", is_flag=True, help="Ask the source, whatever the cache says.")
@click.option("--exit-code", is_flag=True, help="Exit with 100 when there is an update.")
@global_options
@pass_screen
def command(screen: Screen, /, force: bool, exit_code: bool) -> None:
    """Is there a newer release?

    \b
    Example:
      gitdeploy check
      gitdeploy check --exit-code || notify-me
    """
    result = screen.app().check(force=force)
    if result.warning:
        screen.message(tr("Warning: {warning}", warning=result.warning))
    screen.result(result.as_dict(), "" if screen.as_json else _text(screen, result))
    if force and result.from_cache:  # the source was asked and said nothing: that is an answer of before
        screen.exit_code = SourceError.exit_code
    if exit_code and result.update_available:
        screen.exit_code = 100


def _text(screen: Screen, result: CheckResult) -> str:
    live = result.current_version or tr("an unknown version")
    asked = _asked(result)
    if not result.update_available:
        why = tr("{why}{asked}.", why=result.nothing(live), asked=asked)
        return why + (tr("\n  {way}", way=result.way) if result.way else "")
    date = tr(" of {published_at}", published_at=clean(result.published_at)[:10]) if result.published_at else ""
    lines = [
        tr(
            "{latest_tag}{date} is available; {live} is live{asked}.",
            latest_tag=clean(result.latest_tag or ""),
            date=date,
            live=live,
            asked=asked,
        )
    ]
    if result.release_name and result.release_name != result.latest_tag:
        lines.append(clean(result.release_name))
    notes = releases_text(screen, result.releases) if len(result.releases) > 1 else ""
    notes = notes or notes_text(screen, result.release_notes or "") or releases_text(screen, result.releases)
    if notes:
        lines += ["", notes, ""]
    if result.download_url and result.download_url.startswith(("https://", "http://")):
        lines.append(tr("Page:    {download_url}", download_url=clean(result.download_url)))
    bad = screen.app().bad_releases().get(result.commit or "")
    if bad is not None:
        when = datetime.fromisoformat(bad.at).astimezone().strftime("%Y-%m-%d %H:%M")
        lines.append(tr("It failed here before, on {when}: {reason}", when=when, reason=clean(bad.reason)))
        if bad.deployment is not None:
            lines.append(tr("Log:     gitdeploy log {deployment}", deployment=bad.deployment))
    if (skip := screen.app().skips().against(result.latest_tag)) is not None:
        lines.append(skip.sentence)
        lines.append(tr("Lift it: {way}", way=skip.way))
    lines.append(tr("Plan:    gitdeploy plan {latest_tag}", latest_tag=result.latest_tag))
    lines.append(tr("Upgrade: gitdeploy upgrade {latest_tag}", latest_tag=result.latest_tag))
    return joined("\n", lines)


def _asked(result: CheckResult) -> str:
    """` (asked 3 h ago; --force asks again)`, of an answer from the cache."""
    if not result.from_cache:
        return ""
    age = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(result.checked_at)).total_seconds())
    return tr(" (asked {age} ago; --force asks again)", age=duration_text(age))
