"""Release notes, as a terminal shows them."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitdeploy.cli.screen import Screen, is_terminal
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean, count

if TYPE_CHECKING:
    from gitdeploy.sources import ReleaseNotes

LONGEST = 16 * 1024  # characters; more is cut


MOST = 20  # releases whose notes are shown at once


def releases_text(screen: Screen, releases: Sequence[ReleaseNotes]) -> str:
    """The notes of RELEASES, newest first; with a heading each where they are several."""
    if len(releases) < 2:
        return "".join(notes_text(screen, release.notes) for release in releases)
    parts = []
    for release in releases[:MOST]:
        date = f"  {clean(release.published_at)[:10]}" if release.published_at else ""
        name = f"  {clean(release.name, limit=80)}" if release.name and release.name != release.tag else ""
        parts.append(
            tr(
                "{release_tag}{date}{name}\n{notes_text}",
                release_tag=clean(release.tag),
                date=date,
                name=name,
                notes_text=notes_text(screen, release.notes) or tr("  (no notes)"),
            )
        )
    if len(releases) > MOST:
        parts.append(tr("and {count} before", count=count(len(releases) - MOST, "release")))
    return joined("\n\n", parts)


def notes_text(screen: Screen, notes: str) -> str:
    """NOTES (Markdown) rendered where standard output is a terminal, else as they are; without control characters."""
    text = clean(notes, lines=True, limit=LONGEST).strip()
    if not text or screen.as_json or not is_terminal(sys.stdout):
        return text
    from rich.console import Console
    from rich.markdown import Markdown

    out = io.StringIO()
    width = max(40, min(Console().width, 100))
    console = Console(file=out, width=width, force_terminal=True, no_color=not screen.colours, legacy_windows=False)
    console.print(Markdown(text, hyperlinks=False))
    return out.getvalue().rstrip()
