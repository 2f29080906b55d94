"""`gitdeploy restore`."""

from __future__ import annotations

from typing import Any

import click

from gitdeploy.cli.asking import ask_before_data
from gitdeploy.cli.completing import backup_ids
from gitdeploy.cli.options import (
    EXAMPLE,
    global_options,
    identity_option,
    identity_words,
    pass_screen,
    to_options,
    wait_option,
    yes_option,
)
from gitdeploy.cli.plan_text import plan_text
from gitdeploy.cli.screen import Screen


@click.command("restore", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@click.option("--with-data", is_flag=True, help="Database dumps, backup.include and keep paths too.")
@identity_option
@click.option("--no-restart", is_flag=True, help="Leave the service alone.")
@click.option("--no-hooks", is_flag=True, help="Run no hooks.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show the plan.")
@wait_option
@yes_option
@global_options
@pass_screen
def command(screen: Screen, /, ref: str, dry_run: bool, wait: float, yes: bool, **values: Any) -> None:
    """Bring a backup back. REF: its id, a unique prefix of it, its git ref, or `latest`.

    With --with-data it names what will be replaced and asks; --yes where it can't be asked.

    \b
    Example:
      gitdeploy backups
      gitdeploy restore 20261123-101500
      gitdeploy restore 20261123-101500 --with-data
    """
    options = to_options(values)
    app = screen.app()
    if dry_run:
        plan = app.plan_restore(app.find_backup(ref), options)
        screen.result(plan.as_dict(), plan_text(screen, plan))
        screen.exit_code = plan.exit_code
        return
    answered: list[str] = []
    if options.with_data and not yes:
        ask_before_data(screen, app.plan_restore(app.find_backup(ref), options))
        answered = ["--yes"]
    if screen.moved_out(app, *answered, *identity_words(options), restart=options.restart):
        return
    screen.deployment_result(app.restore(ref, options, caller=screen.caller(f"restore {ref}", wait=wait)))
