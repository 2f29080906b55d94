"""`gitdeploy unlock`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import tr


@click.command("unlock", context_settings=EXAMPLE)
@global_options
@pass_screen
def command(screen: Screen) -> None:
    """Resume deployments.

    \b
    Example:
      gitdeploy unlock
    """
    paused = screen.app().resume()
    screen.result({"held": False}, tr("Deployments may go on.") if paused else tr("Deployments were not paused."))
