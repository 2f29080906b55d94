"""The question before data are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.cli.plan_text import plan_text
from gitdeploy.deployment.prepare.ready import refuse_problems
from gitdeploy.errors import Declined
from gitdeploy.messages import joined, tr

if TYPE_CHECKING:
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
