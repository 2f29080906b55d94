"""`gitdeploy recover`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen, wait_option
from gitdeploy.cli.screen import Screen


@click.command("recover", context_settings=EXAMPLE)
@click.option("--boot", is_flag=True, help="At boot: before the app starts, so services are not restarted.")
@click.option("--again", is_flag=True, help="Try again what failed three times the same way.")
@wait_option
@json_option
@pass_screen
def command(screen: Screen, /, boot: bool, again: bool, wait: float) -> None:
    """Finish or undo an interrupted deployment. Every command that changes the app does this first by itself.

    \b
    Example:
      gitdeploy recover
    """
    app = screen.app()
    if screen.moved_out(app, restart=not boot):
        return
    result = app.recover(caller=screen.caller("recover", wait=wait), boot=boot, again=again)
    if result is None:
        screen.result({"status": "nothing_to_do"}, "Nothing to recover: no deployment was interrupted.")
        return
    screen.result(result.as_dict(), result.sentence)
