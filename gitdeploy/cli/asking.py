"""The questions before data are replaced, and before unexpectedly much is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.cli.plan_text import plan_text
from gitdeploy.deployment.plan.copies import Copies, copies_ahead
from gitdeploy.deployment.prepare.ready import refuse_problems
from gitdeploy.errors import Declined, GitDeployError
from gitdeploy.messages import joined, tr
from gitdeploy.text import size_text

if TYPE_CHECKING:
    from gitdeploy.app import App
    from gitdeploy.cli.screen import Screen
    from gitdeploy.deployment.plan.make import Plan


def ask_before_data(screen: Screen, plan: Plan) -> None:
    """Show PLAN, which names each database and path, and ask. Raises what refuses the plan, `UsageError` off a terminal,
    `Declined` where the answer is no."""
    refuse_problems(plan)
    screen.message(plan_text(screen, plan))
    named = joined(", ", (move.name for move in plan.data)) or "nothing"
    if not screen.confirm(
        tr("Go back to {target} and replace these data now: {named}?", target=plan.target.name, named=named)
    ):
        raise Declined(tr("Not restored; nothing was changed."))


def question(copies: Copies, target: str) -> str:
    """What is asked before an upgrade to TARGET."""
    if not copies.asks:
        return tr("Upgrade to {target} now?", target=target)
    return tr("Copy {new} into the backup and upgrade to {target} now?", new=size_text(copies.new), target=target)


def ask_before_copying(screen: Screen, app: App, tag: str) -> None:
    """Where the backup before an upgrade to TAG would copy unexpectedly much, and somebody is there to be asked. Raises
    `Declined` where the answer is no."""
    if not screen.attended:
        return
    try:
        copies = copies_ahead(app.site)
    except GitDeployError:
        return  # the upgrade says it
    if not copies.asks or app.live().tag == tag:
        return
    for warning in copies.warnings:
        screen.message(warning)
    if not screen.confirm(question(copies, tag)):
        raise Declined(tr("Not upgraded; nothing was changed."))
