"""`gitdeploy backup`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, wait_option
from gitdeploy.cli.screen import Screen


@click.command("backup", context_settings=EXAMPLE)
@click.option("--label", default="", metavar="TEXT", help="A name; a labelled backup is never pruned.")
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, label: str, wait: float) -> None:
    """Make a backup of the present state now.

    \b
    Example:
      gitdeploy backup --label "before the audit"
    """
    row = screen.app().backup(label=label, caller=screen.caller("backup", wait=wait))
    screen.result(row.as_dict(), row.backup.id)
