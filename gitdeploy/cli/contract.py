"""`gitdeploy contract`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, wait_option
from gitdeploy.cli.screen import Screen


@click.command("contract", context_settings=EXAMPLE)
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, wait: float) -> None:
    """Run the second half of the migrations, where it waits.

    These are the live release's hooks `migrate-after`. They wait with `hooks.contract: later`, and after they failed or were
    interrupted. The app stays up; its data are backed up first. Afterwards the release before it fits the database no more:
    going back needs the data, too.

    \b
    Example:
      gitdeploy contract
    """
    screen.deployment_result(screen.app().contract(caller=screen.caller("contract", wait=wait)))
