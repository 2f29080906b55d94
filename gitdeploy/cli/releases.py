"""`gitdeploy releases`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from gitdeploy.cli.completing import tags
from gitdeploy.cli.notes import notes_text
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import joined, render, tr
from gitdeploy.text import clean, path_text

if TYPE_CHECKING:
    from gitdeploy.site.skipping import Skip
    from gitdeploy.sources import Release
    from gitdeploy.state import BadRelease


@click.command("releases", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All tags, also those that are no versions.")
@global_options
@pass_screen
def command(screen: Screen, /, tag: str | None, limit: int, everything: bool) -> None:
    """Version history, newest first; with TAG one release whole.

    \b
    Example:
      gitdeploy releases --limit 20
      gitdeploy releases v1.2.9.1
    """
    app = screen.app()
    if tag is not None:
        release, state = app.release(tag)
        _one(screen, release, state, app.bad_releases().get(release.commit or ""), app.skips().of(tag))
        return
    found = app.releases(
        limit=None if everything else limit,
        everything=everything,
        on_warning=lambda text: screen.message(tr("Warning: {text}", text=text)),
    )
    bad, skips = app.bad_releases(), app.skips()
    rows = [
        (
            path_text(release.tag)[:60],
            (release.published_at or "")[:10],
            joined(", ", _states(state, release.commit in bad, skips.of(release.tag) is not None)),
            clean(_first_line(release), limit=70),
        )
        for release, state in found
    ]
    dated = any(date for _, date, _, _ in rows)  # a plain git remote tells the dates of what was fetched, no more
    table = screen.table(
        rows if dated else [(tag, state, notes) for tag, _, state, notes in rows],
        ("RELEASE", "DATE", "STATE", "NOTES") if dated else ("RELEASE", "STATE", "NOTES"),
    )
    screen.result(
        [document(release, state, bad.get(release.commit or ""), skips.of(release.tag)) for release, state in found],
        table if found else tr("There is no release."),
    )


def _first_line(release: Release) -> str:
    """The first line of the notes that says something, without Markdown's marks; the name where there are none."""
    lines = (line.strip().lstrip("#*->_ ").rstrip("#*_ ") for line in release.notes.splitlines())
    return next((line for line in lines if line), release.name)


_WORDS = {"newer": tr("newer"), "live": tr("live"), "older": tr("older")}


def _states(state: str, bad: bool, skipped: bool) -> list[str]:
    return [_WORDS.get(state, state), *([tr("failed here")] if bad else []), *([tr("skipped")] if skipped else [])]


def document(release: Release, state: str, bad: BadRelease | None, skip: Skip | None) -> dict[str, Any]:
    facts = asdict(release)
    return {name: facts[name] for name in ("tag", "version", "name", "notes", "published_at", "url", "prerelease")} | {
        "state": state,
        "commit": release.commit,
        "failed_here": bad.reason if bad is not None else None,
        "skipped": skip.as_dict() if skip is not None else None,
    }


def _one(screen: Screen, release: Release, state: str, bad: BadRelease | None, skip: Skip | None) -> None:
    name = "" if release.name == release.tag else f"{clean(release.name)}  "
    facts = joined(
        ", ", filter(None, (*_states(state, bad is not None, skip is not None), (release.published_at or "")[:10]))
    )
    head = f"{clean(release.tag)}  {name}{render(tr('({facts})', facts=facts))}\n{clean(release.url)}"
    screen.result(document(release, state, bad, skip), f"{head}\n\n{notes_text(screen, release.notes)}".rstrip())
