"""`gitdeploy lock`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import tr


@click.command("lock", context_settings=EXAMPLE)
@click.option("-m", "--message", default="", metavar="MESSAGE", help="Why; shown to whoever is refused.")
@click.option("--force", is_flag=True, help="Also in place of somebody else's pause.")
@global_options
@pass_screen
def command(screen: Screen, /, message: str, force: bool) -> None:
    """Pause deployments until `gitdeploy unlock`.

    \b
    Example:
      gitdeploy lock -m "month-end closing, ask Li"
    """
    screen.app().pause(message, force=force)
    screen.result({"held": True, "message": message}, tr("Deployments are paused.  Resume them: gitdeploy unlock"))
