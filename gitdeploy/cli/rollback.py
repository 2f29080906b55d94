"""`gitdeploy rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitdeploy.cli.asking import ask_before_data
from gitdeploy.cli.completing import versions
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
from gitdeploy.deployment.record.work import CHANGING
from gitdeploy.errors import Declined, UsageError
from gitdeploy.messages import tr

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.deployment.flow.rollback import Choice
    from gitdeploy.deployment.plan.options import Options
    from gitdeploy.site.interrupted import Interruption


@click.command("rollback", context_settings=EXAMPLE)
@click.argument("version", required=False, shell_complete=versions)
@click.option("--with-data", is_flag=True, help="Database dumps, backup.include and keep paths too.")
@identity_option
@click.option("--no-restart", is_flag=True, help="Leave the service alone.")
@click.option("--no-hooks", is_flag=True, help="Run no hooks.")
@wait_option
@yes_option
@global_options
@pass_screen
def command(screen: Screen, /, version: str | None, wait: float, yes: bool, **values: Any) -> None:
    """Undo the last successful deployment.

    With VERSION (or its tag), go to the newest backup of that version; with --with-data, to the newest whose data are that
    version's too. What is replaced by --with-data is named before it asks. One step back: an interrupted deployment is
    recovered first, and where that has undone it, nothing more is done. To undo a rollback, name the newer version.

    \b
    Example:
      gitdeploy rollback --yes
      gitdeploy rollback v1.2.9
    """
    options = to_options(values)
    app = screen.app()
    asked = app.rollback_asked(version)
    interruption = app.interrupted()
    choice: Choice | None = None
    if interruption is not None:
        screen.message(interruption.sentence)
    if interruption is not None and interruption.action in CHANGING:
        if options.with_data and not yes:
            raise UsageError(
                tr("What --with-data replaces can be named only once the interrupted deployment is recovered."),
                tr("Recover it, then type this again: gitdeploy recover\nWithout being asked: --yes"),
            )
        if not yes and version is None and not screen.confirm(_question(interruption)):
            raise Declined(tr("Not rolled back; nothing was changed."))
    elif version is not None:
        backup = app.backup_for_rollback(version, with_data=options.with_data)  # there is one
        if options.with_data and not yes:
            ask_before_data(screen, app.plan_restore(backup, options))
    elif not yes:
        choice = _ask(screen, app, options)
    forward = choice is not None and choice.forward
    # Run elsewhere, it is asked anew: that it goes forward again is then said by naming the release.
    word = (choice.backup.tag or choice.backup.version) if choice is not None and forward else None
    if screen.moved_out(app, word or "--yes", *identity_words(options), restart=options.restart):
        return
    caller = screen.caller(f"rollback {version or ''}".strip(), wait=wait)
    screen.deployment_result(app.rollback(version, options, asked=asked, forward=forward, caller=caller))


def _question(interruption: Interruption) -> str:
    """What the rollback comes to after the recovery."""
    done = interruption.recovery == "finish"
    if interruption.action == "rollback":
        return (
            tr("Recover it now?")
            if done
            else tr("Recover it, and then roll back to {target}?", target=interruption.target.name)
        )
    return (
        tr("Recover it, and then undo it, back to {origin}?", origin=interruption.origin.name)
        if done
        else tr("Recover it, and roll back no further?")
    )


def _ask(screen: Screen, app: App, options: Options) -> Choice:
    """Show what would be brought back and ask, also whether it may go forward to a newer release. Raises `Declined`."""
    choice = app.rollback_choice(with_data=options.with_data)
    plan = app.plan_restore(choice.backup, options)
    if choice.forward:
        screen.message(choice.forward_sentence)
    if options.with_data:
        ask_before_data(screen, plan)
        return choice
    screen.message(plan_text(screen, plan))
    verb = tr("Go forward again to") if choice.forward else tr("Go back to")
    if not screen.confirm(
        tr("{verb} {target} (backup {backup}) now?", verb=verb, target=plan.target.name, backup=choice.backup.id)
    ):
        raise Declined(tr("Not rolled back; nothing was changed."))
    return choice
