"""`gitdeploy prepare`."""

from __future__ import annotations

from typing import Any

import click

from gitdeploy.cli.completing import tags
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, to_options, upgrade_options, wait_option
from gitdeploy.cli.screen import Screen


@click.command("prepare", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@upgrade_options
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, tag: str | None, wait: float, **values: Any) -> None:
    """Fetch, check and build all of an upgrade ahead of time.

    The app goes on meanwhile; `upgrade TAG` then needs seconds and no network.

    \b
    Example:
      gitdeploy prepare v1.2.9.1     # in the afternoon
      gitdeploy upgrade v1.2.9.1     # at night, without a network
    """
    caller = screen.caller(f"prepare {tag or ''}".strip(), wait=wait)
    screen.deployment_result(screen.app().prepare(tag, to_options(values), caller=caller))
