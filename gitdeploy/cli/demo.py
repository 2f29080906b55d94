"""`gitdeploy demo`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.demo import run_demo


@click.command("demo", context_settings=EXAMPLE)
@click.option("--keep", is_flag=True, help="Leave the folder for looking around.")
@pass_screen
def command(screen: Screen, /, keep: bool) -> None:
    """A whole tour in a temporary folder, without a network.

    An upgrade, a broken release that rolls back by itself, a restore.

    \b
    Example:
      gitdeploy demo
    """
    folder = run_demo(lambda text: screen.write(text + "\n"), keep=keep)
    if folder is not None:
        screen.write(f"\nEverything is still there: {folder}\n")
