"""Rehearse: a release is built and kept prepared, then tried on a copy of the app and of its data, top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.deployment.flow.contract import runs_first
from gitdeploy.deployment.flow.upgrade import planned
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.prepare import shelf, stage, venv
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.deployment.record.events import Line
from gitdeploy.deployment.record.work import Result, Session, Work, record
from gitdeploy.deployment.rehearse.grounds import Ground, held
from gitdeploy.deployment.rehearse.run import Run
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted, UsageError
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import tr
from gitdeploy.site import rehearsals
from gitdeploy.site.blame import fault_of
from gitdeploy.site.memory import failure_remembered
from gitdeploy.site.rehearsals import Known, Rehearsal
from gitdeploy.site.site import head_of
from gitdeploy.system import interruption
from gitdeploy.system.refusal import system_refusals
from gitdeploy.versions import CodeState

_TELLING = (
    "check",
    "build",
    "migrate",
    "health",
    MIGRATE_AFTER,
)  # steps in which a failure says something of the release


class RehearsalFailed(DeploymentFailed):
    """The release did not pass."""

    kind = "rehearsal"
    fault = "release"


class Rehearsed(Struct):
    """How it ended. `address`: of the app that still runs in the copy, until `close` is called; empty where it doesn't.
    `ended`: why the app has ended by itself, None while it runs."""

    result: Result
    address: str = ""
    close: Callable[[], object] = lambda: None
    ended: Callable[[], str | None] = lambda: None


def rehearse(session: Session, tag: str | None, options: Options, *, keep: bool = False) -> Rehearsed:
    """Try the release TAG, or the newest one, on a copy. Nothing live is touched. KEEP: the app goes on in the copy.

    Raises every expected failure as the error that the command ends with, after all that was made is removed.
    """
    site = session.site
    if keep and site.config.rehearse.command is None:
        raise UsageError(
            tr("Nothing says how the app is started in the copy, so there is nothing to look at."),
            tr("Set it in deploy.yaml: rehearse: {{command: ...}}"),
        )
    origin = site.release_at(head_of(site))
    with record(session, "rehearse", origin, CodeState(None, tag, "")) as work, system_refusals(), ExitStack() as made:
        # Nothing live is touched, so that the app may be anything meanwhile.
        found = planned(work, tag, replace(options, unhealthy=True))
        if isinstance(found, Result):
            return Rehearsed(found)
        _, preparation = found
        work.begun_in_earnest = session.caller.automatic  # nobody sits there: people are told if it fails
        ground = Ground(site, work.database, work.id)
        run = Run.of(preparation, ground)
        made.callback(run.held.close)
        run.require_possible()
        half_first = runs_first(session, preparation.plan, options)
        _prepare(preparation)
        made.enter_context(held(ground, lambda sentence: session.caller.listener(Line(sentence, "warning"))))
        disks = run.disks()
        disks.require()
        made.enter_context(interruption.ended_by(disks.look))
        run.make()
        if half_first:
            run.run_waiting_half()
        with _verdict_kept(work, run):
            run.try_release()
            run.ask_health()
            run.try_back()
            run.try_second_half()
        rehearsal = run.result()
        app = run.serve_again(made) if keep else None
        if app is None:
            made.close()
        _keep(work, rehearsal)
        result = work.end("succeeded", _sentence(work, rehearsal))
        if app is None:
            return Rehearsed(result)
        return Rehearsed(
            result, f"http://127.0.0.1:{run.port}/", partial(_end, work, ground, made.pop_all()), app.is_up
        )


def _end(work: Work, ground: Ground, made: ExitStack) -> None:
    """Remove what was left to be looked at, after the session has ended."""
    with work.site.open_database() as database:
        ground.database = work.journal.database = database
        made.close()


def _prepare(preparation: Preparation) -> None:
    """The venv and the staged files, as `prepare` makes and keeps them; as they are, where that was done before."""
    work = preparation.work
    try:
        venv.name_generation(preparation)
        if not shelf.take_prepared(preparation):
            with failure_remembered(work, "requirements"):
                venv.build_venv(preparation)
            stage.stage_files(preparation)
        shelf.keep_prepared(preparation)
    except BaseException:
        preparation.discard()
        raise


@contextmanager
def _verdict_kept(work: Work, run: Run) -> Iterator[None]:
    """A failure that is the release's is kept with it; one of the machine or of what is around it tells nothing."""
    try:
        yield
    except Interrupted:
        raise
    except GitDeployError as error:
        if run.step not in _TELLING:
            raise
        if fault_of(run.step, error, of_release=True) != "release":
            raise DeploymentFailed(
                tr(
                    "The rehearsal of {target} stopped at {step}, which tells nothing about the release: {message}",
                    target=work.target.name,
                    step=run.step,
                    message=error.message,
                ),
                error.hint,
                details=error.details,
            ) from error
        _keep(work, run.result(error))
        sentence = tr(
            "{target} failed its rehearsal at {step}: {message}",
            target=work.target.name,
            step=run.step,
            message=error.message,
        )
        raise RehearsalFailed(sentence, error.hint, details=error.details) from error


def _keep(work: Work, rehearsal: Rehearsal) -> None:
    work.rehearsal = rehearsal.as_dict()
    rehearsals.keep(work.database, rehearsal)


def _sentence(work: Work, rehearsal: Rehearsal) -> str:
    told = Known(rehearsal).told()
    return tr(
        "{target} passed its rehearsal: {told}. {site} runs {origin} as before.  Go live: gitdeploy upgrade {tag}",
        target=work.target.name,
        told=told,
        site=work.site.name,
        origin=work.origin.name,
        tag=work.target.tag,
    )
