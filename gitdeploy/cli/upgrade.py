"""`gitdeploy upgrade`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitdeploy.cli.asking import ask_before_copying, question
from gitdeploy.cli.completing import tags
from gitdeploy.cli.options import (
    EXAMPLE,
    global_options,
    pass_screen,
    to_options,
    upgrade_options,
    wait_option,
    yes_option,
)
from gitdeploy.cli.plan_text import nothing_text, plan_text
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import Declined
from gitdeploy.messages import joined, tr
from gitdeploy.text import listing

if TYPE_CHECKING:
    from gitdeploy.app import App


@click.command("upgrade", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@upgrade_options
@click.option(
    "--through", is_flag=True, help="Go through releases that may not be skipped, each a whole deployment of its own."
)
@click.option("-n", "--dry-run", is_flag=True, help="Only show the plan.")
@wait_option
@yes_option
@global_options
@pass_screen
def command(
    screen: Screen, /, tag: str | None, through: bool, dry_run: bool, wait: float, yes: bool, **values: Any
) -> None:
    """Upgrade to TAG, or to the newest release.

    The newest is the newest release on the channel (`source.channel`). Without TAG it shows the plan and asks; with TAG
    it asks, at a terminal, only before it copies more into the backup than `backup.ask_above`.

    \b
    Example:
      gitdeploy upgrade v1.2.9.1
      gitdeploy upgrade --yes        # the newest, without asking (cron)
      gitdeploy upgrade --through v3.0
    """
    options = to_options(values)
    app = screen.app()
    answered: list[str] = []
    if (interruption := app.interrupted()) is not None:
        screen.message(interruption.sentence)
        if tag is None and not dry_run and not yes:
            _recover_first(screen, app, wait)
            app = screen.app()  # its deploy.yaml may be another one now
    if dry_run or (tag is None and not yes):
        asked = not dry_run and not options.skip_stops  # then the question is for the whole way
        plan = app.plan(tag, options, through=through or asked)
        if plan is None:
            screen.result({"status": "nothing_to_do"}, nothing_text(app))
            return
        if dry_run:
            screen.result(plan.as_dict(), plan_text(screen, plan))
            screen.exit_code = plan.exit_code
            return
        screen.message(plan_text(screen, plan))
        tag, asking = plan.target.tag, question(plan.copies, plan.target.name)
        if plan.hops and asked:
            tag, through = plan.hops[-1].tag, True
            first = listing([hop.tag for hop in plan.hops[:-1]])
            asking = tr("Upgrade to {first} and then to {target} now?", first=first, target=tag)
        if not screen.confirm(asking):
            raise Declined(tr("Not upgraded; nothing was changed."))
        answered = [*(["--through"] if through else []), *([tag] if tag is not None else [])]
    elif tag is not None and not yes:
        ask_before_copying(screen, app, tag)
    if screen.moved_out(app, *answered, restart=options.restart):
        return
    words = joined(" ", filter(None, ("upgrade", "--through" if through else "", tag)))
    caller = screen.caller(words, wait=wait, automatic=tag is None)
    screen.deployment_result(app.upgrade(tag, options, through=through, caller=caller))


def _recover_first(screen: Screen, app: App, wait: float) -> None:
    """Ask, and recover: what is on disk between two releases makes no plan. Raises `Declined`, what recovery raises."""
    if not screen.confirm(tr("Recover it now? The upgrade's plan comes after that.")):
        raise Declined(tr("Not recovered and not upgraded; nothing was changed."))
    result = app.recover(caller=screen.caller("recover", wait=wait))
    if result is not None:
        screen.message(result.sentence)
