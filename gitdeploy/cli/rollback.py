"""`gitdeploy rollback`."""

from __future__ import annotations

from typing import Any

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen, to_options, wait_option, yes_option
from gitdeploy.cli.plantext import plan_text
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import Interrupted


@click.command("rollback", context_settings=EXAMPLE)
@click.argument("version", required=False)
@click.option("--with-data", is_flag=True, help="Database dumps, backup.include and keep paths too.")
@click.option("--no-restart", is_flag=True, help="Leave the service alone.")
@click.option("--no-hooks", is_flag=True, help="Run no hooks.")
@wait_option
@yes_option
@json_option
@pass_screen
def command(screen: Screen, /, version: str | None, wait: float, yes: bool, **values: Any) -> None:
    """Undo the last successful deployment.

    With VERSION (or its tag), go back to the newest backup of that version.

    \b
    Example:
      gitdeploy rollback --yes
      gitdeploy rollback v1.2.9
    """
    options = to_options(values)
    app = screen.app()
    backup = app.backup_for_rollback(version)
    if not yes and version is None:
        plan = app.plan_restore(backup, options)
        screen.message(plan_text(plan))
        if not screen.confirm(f"Go back to {plan.target.name} (backup {backup.id}) now?"):
            raise Interrupted(2, "Not rolled back; nothing was changed.")
    if screen.moved_out(app, "--yes", restart=options.restart):
        return
    caller = screen.caller(f"rollback {version or ''}".strip(), wait=wait)
    screen.deployment_result(app.restore(backup.id, options, caller=caller, action="rollback"))
