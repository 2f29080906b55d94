"""`gitdeploy demo`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.demo import run_demo


@click.command("demo", context_settings=EXAMPLE)
@click.option("--keep", is_flag=True, help="Leave the folder for looking around.")
@global_options
@pass_screen
def command(screen: Screen, /, keep: bool) -> None:
    """A whole tour in a temporary folder, without a network.

    An upgrade, a broken release that rolls back automatically, a restore.

    \b
    Example:
      gitdeploy demo
    """
    folder = run_demo(lambda text: None if screen.as_json else screen.write(text + "\n"), keep=keep)
    kept = str(folder) if folder is not None else None
    screen.result(
        {"status": "succeeded", "folder": kept}, f"\nEverything is still there: {kept}" if kept is not None else ""
    )
