"""`gitdeploy notify`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import joined, tr


@click.group("notify", context_settings=EXAMPLE)
def command() -> None:
    """Try the notifications of deploy.yaml.

    \b
    Example:
      gitdeploy notify test
    """


@command.command("test", context_settings=EXAMPLE)
@global_options
@pass_screen
def test(screen: Screen, /) -> None:
    """Send a test message to every receiver of `notify`, and say of each how it went.

    Ends with 1 where one could not be reached.

    \b
    Example:
      gitdeploy notify test
    """
    sent = screen.app().try_notifications()
    lines = [
        each.problem or tr("Notification {number} ({kind}) was sent.", number=each.number, kind=each.kind)
        for each in sent
    ]
    nobody = tr("Nobody is notified: `notify` in deploy.yaml is empty.")
    screen.result([each.as_dict() for each in sent], joined("\n", lines) if sent else nobody)
    screen.exit_code = 1 if any(each.problem for each in sent) else 0
