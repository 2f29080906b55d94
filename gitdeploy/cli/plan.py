"""`gitdeploy plan`."""

from __future__ import annotations

from typing import Any

import click

from gitdeploy.cli.completing import tags
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, to_options, upgrade_options
from gitdeploy.cli.plan_text import nothing_text, plan_text
from gitdeploy.cli.screen import Screen


@click.command("plan", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@upgrade_options
@global_options
@pass_screen
def command(screen: Screen, /, tag: str | None, **values: Any) -> None:
    """What an upgrade to TAG (or the newest release) would do. Changes nothing.

    Ends as the upgrade would where something speaks against it: 7 where policy does, else 1.

    \b
    Example:
      gitdeploy plan v1.2.9.1
    """
    app = screen.app()
    plan = app.plan(tag, to_options(values))
    if plan is None:
        screen.result({"status": "nothing_to_do"}, nothing_text(app))
        return
    screen.result(plan.as_dict(), plan_text(screen, plan))
    screen.exit_code = plan.exit_code
