"""`gitdeploy doctor`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen, row
from gitdeploy.messages import joined, render, tr
from gitdeploy.text import count, padded

_MARKS = {"ok": "✓", "warning": "!", "problem": "✗", "mended": "+"}
_STATUS = {"ok": "done", "warning": "undone", "problem": "failed", "mended": "done"}


@click.command("doctor", context_settings=EXAMPLE)
@click.option(
    "--repair", is_flag=True, help="Mend what can be mended safely: interrupted deployments, stale locks, refs."
)
@click.option("--notify", is_flag=True, help="Send a test message to every receiver of `notify`.")
@global_options
@pass_screen
def command(screen: Screen, /, repair: bool, notify: bool) -> None:
    """Look for what an upgrade would trip over, and say what to do.

    Exits with 1 where something is wrong.

    \b
    Example:
      gitdeploy doctor
      gitdeploy doctor --repair
      gitdeploy doctor --notify
    """
    app = screen.app()
    found = app.doctor(repair=repair, notify=notify, caller=screen.caller("doctor --repair") if repair else None)
    problems = sum(finding.level == "problem" for finding in found)
    lines = []
    for finding in found:
        lines.append(
            row(
                f"{screen.coloured(_STATUS[finding.level], _MARKS[finding.level])} {padded(finding.about, 10)}",
                finding.message,
                0,
            )
        )
        lines += [row("", line, 12) for line in render(finding.hint).splitlines()]
    if place := screen.elsewhere(joined("\n", (finding.hint for finding in found))):
        lines.append(f"  {render(place)}")
    ending = (
        tr("{count}.", count=count(problems, "problem")) if problems else tr("Nothing is in the way of an upgrade.")
    )
    screen.result([finding.as_dict() for finding in found], joined("\n", [*lines, ending]))
    screen.exit_code = 1 if problems else 0
