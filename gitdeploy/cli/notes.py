"""Release notes, as a terminal shows them."""

from __future__ import annotations

import io
import sys

from gitdeploy.cli.screen import Screen, is_terminal
from gitdeploy.text import clean

LONGEST = 16 * 1024  # characters; more is cut


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
