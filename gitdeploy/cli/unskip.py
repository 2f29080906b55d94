"""`gitdeploy unskip`."""

from __future__ import annotations

import click

from gitdeploy.cli.completing import skipped
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import tr
from gitdeploy.text import clean


@click.command("unskip", context_settings=EXAMPLE)
@click.argument("tag", shell_complete=skipped)
@global_options
@pass_screen
def command(screen: Screen, /, tag: str) -> None:
    """Let the release TAG be installed automatically again.

    \b
    Example:
      gitdeploy unskip v1.3.0
    """
    lifted = screen.app().unskip(tag)
    text = (
        tr("{tag} may be installed automatically again.", tag=clean(tag))
        if lifted
        else tr("{tag} was not skipped.", tag=clean(tag))
    )
    screen.result({"tag": tag, "was_skipped": lifted}, text)
