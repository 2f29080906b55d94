"""Across the line: the live steps, their undoing where one fails, and how it ends. The one way out of every failure."""

from __future__ import annotations

from collections.abc import Callable

from gitdeploy.deployment.live.finish import finish
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.settle import settle
from gitdeploy.deployment.live.steps import live_steps
from gitdeploy.deployment.record import engine
from gitdeploy.deployment.record.work import Result, Work
from gitdeploy.errors import GitDeployError, Interrupted, RolledBack
from gitdeploy.messages import joined, tr
from gitdeploy.site.memory import bad_sentence
from gitdeploy.system import interruption


def go_live(work: Work, live: Live, *, roll_back: bool, discard: Callable[[], None]) -> Result:
    """Run the live part. Raises `RolledBack` (exit 3), `RollbackFailed` (exit 4), `Interrupted`; what failed before
    anything was touched is raised as it is, after DISCARD has thrown away what was made ready."""
    steps = live_steps(live)
    try:
        engine.apply_all(work.journal, steps, roll_back=roll_back)
    except engine.Failed as failed:
        return roll_back_result(work, live, failed.step, failed.cause)
    except GitDeployError as error:
        if error.exit_code != 4:
            discard()
        raise
    with interruption.shield():
        return finish(work, live.record, live.manifest, live.after)


def roll_back_result(work: Work, live: Live, step: str, cause: GitDeployError) -> Result:
    """Everything is undone on disk: settle the service, check the old release's health, say how it ended."""
    with interruption.shield():
        settled = settle(work, live, step, cause)
        if isinstance(cause, Interrupted):
            error: GitDeployError = Interrupted(
                cause.signal_number, tr("Interrupted. {sentence}", sentence=settled.sentence)
            )
        else:
            remembered = work.database.bad_release(live.record.target.commit) is not None
            bad = (
                tr("{bad_sentence}  ", bad_sentence=bad_sentence(live.record.target))
                if live.record.action == "upgrade" and remembered
                else ""
            )
            error = RolledBack(
                settled.sentence,
                joined(
                    "\n", filter(None, (cause.hint, tr("{bad}Whole log: gitdeploy log {work}", bad=bad, work=work.id)))
                ),
                details=cause.details,
                lines=settled.lines,
            )
        error.document = work.end("rolled_back", settled.sentence, error).as_dict()
    raise error
