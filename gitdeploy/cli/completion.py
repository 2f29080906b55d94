"""`gitdeploy completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen


@click.command("completion", context_settings=EXAMPLE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
@pass_screen
@click.pass_context
def command(context: click.Context, screen: Screen, shell: str) -> None:
    """The completion script for SHELL.

    \b
    Example:
      gitdeploy completion bash > /etc/bash_completion.d/gitdeploy
    """
    made = get_completion_class(shell)
    assert made is not None
    script = made(context.find_root().command, {}, "gitdeploy", "_GITDEPLOY_COMPLETE").source()
    screen.result({"shell": shell, "script": script}, script)
