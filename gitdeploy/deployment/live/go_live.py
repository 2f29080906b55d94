"""Across the line: the live steps, their undoing where one fails, and how it ends. The one way out of every failure."""

from __future__ import annotations

from collections.abc import Callable

from gitdeploy.deployment.live.finish import finish
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.migrated import require_recorded
from gitdeploy.deployment.live.second_half import run_second_half, waits
from gitdeploy.deployment.live.settle import settle
from gitdeploy.deployment.live.steps import live_steps, run_stage
from gitdeploy.deployment.record import engine
from gitdeploy.deployment.record.work import Result, Work
from gitdeploy.errors import GitDeployError, Interrupted, RolledBack
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import joined, tr
from gitdeploy.site.memory import bad_sentence
from gitdeploy.site.second_half import COMMAND
from gitdeploy.system import interruption


def go_live(work: Work, live: Live, *, roll_back: bool, discard: Callable[[], None]) -> Result:
    """Run the live part. Raises `RolledBack` (exit 3), `RollbackFailed` (exit 4), `Interrupted`, and `SecondHalfFailed` (exit
    4) with the new release live; what failed before anything was touched is raised as it is, after DISCARD has thrown away
    what was made ready."""
    steps = live_steps(live)
    try:
        engine.apply_all(work.journal, steps, roll_back=roll_back)
    except engine.Failed as failed:
        return roll_back_result(work, live, failed.step, failed.cause)
    except GitDeployError as error:
        if error.exit_code != 4:
            discard()
        raise
    missed = _second_half(work, live)
    with interruption.shield():
        result = finish(work, live.record, live.manifest, live.after, failed=missed)
        if result.error is not None and live.record.hooks:
            try:
                run_stage(live, live.after, "on-failure", status="failed", error=result.error.message)
            except GitDeployError as error:
                work.database.line(work.id, tr("on-failure: {message}", message=error.message), "warning")
                work.database.flush_lines()
    if result.error is not None:
        result.error.document = result.as_dict()
        raise result.error
    return result


def _second_half(work: Work, live: Live) -> GitDeployError | None:
    """The release is final: what of its migrations the old one could not have lived with. Why it failed."""
    if not live.record.halves:
        return None
    if waits(work.journal, live.after, half=live.record.half):
        with work.journal.step(MIGRATE_AFTER) as shown:
            shown.status, shown.summary = "skipped", tr("later: {command}", command=COMMAND)
        return None

    def hooks() -> str:
        ran = run_stage(live, live.after, MIGRATE_AFTER)
        require_recorded(live)
        return ran

    return run_second_half(work.site, work.journal, live.after, live.record.target, hooks)


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
