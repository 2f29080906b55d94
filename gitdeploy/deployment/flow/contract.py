"""`contract`: the second half of the live release's migrations, which waits since its upgrade."""

from __future__ import annotations

from gitdeploy.deployment.flow.manual import hook_context, make_backup
from gitdeploy.deployment.live.second_half import error_of, run_second_half, settle_second_half
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.prepare.release import Nothing, newest
from gitdeploy.deployment.record.tell import notify
from gitdeploy.deployment.record.work import Result, Session, Work, record
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError
from gitdeploy.hooks import running
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import hook_caller, withheld
from gitdeploy.site.second_half import COMMAND, Waiting, anything_waits, read_waiting
from gitdeploy.site.site import head_of
from gitdeploy.system import interruption
from gitdeploy.text import listing
from gitdeploy.versions import CodeState


def contract(session: Session) -> Result:
    """Run what waits, after a backup with the data as they are. Raises `SecondHalfFailed` where it fails: the release stays
    live, and it waits on."""
    site = session.site
    live = site.release_at(head_of(site))
    waiting = read_waiting(session.database, live)
    if waiting is None:
        with record(session, "contract", live, live) as work:
            sentence = tr(
                "{site} runs {live}, and no second half of its migrations waits.", site=site.name, live=live.name
            )
            return work.end("nothing_to_do", sentence)
    if site.config.backup.databases or site.config.backup.include:
        reason = tr("before the second half of {release}'s migrations", release=live.name)
        make_backup(session, "", reason=reason)
    with record(session, "contract", live, live) as work:
        work.begun_in_earnest = True
        return _run(work, live)


def before_upgrade(session: Session, tag: str | None, options: Options) -> None:
    """What waits of the live release runs before the next one comes, whose migrations may build on it. Raises as `contract`, and
    `PolicyError` where nobody asked for the upgrade by name and it failed before."""
    site, database = session.site, session.database
    if not anything_waits(database):
        return
    live = site.release_at(head_of(site))
    waiting = read_waiting(database, live)
    if waiting is None or not (options.hooks and options.migrate) or tag == live.tag:
        return
    if tag is None and isinstance(newest(site, database, live, options), Nothing):
        return
    if session.caller.automatic and waiting.why in ("failed", "interrupted"):
        raise PolicyError(
            tr("{waiting} It won't be retried automatically.", waiting=waiting.sentence),
            tr("Fix that, then: {command}", command=COMMAND),
        )
    contract(session)


def warning(waiting: Waiting, options: Options) -> str:
    """What an upgrade says of it beforehand."""
    if options.hooks and options.migrate:
        return tr(
            "{waiting} The upgrade runs it first, after a backup. Now: {command}",
            waiting=waiting.sentence,
            command=COMMAND,
        )
    return tr(
        "{waiting} This upgrade leaves it out for good. To run it before: {command}",
        waiting=waiting.sentence,
        command=COMMAND,
    )


def _run(work: Work, live: CodeState) -> Result:
    site, config = work.site, work.site.config
    found = running.find_hooks(site.root, config.hooks, MIGRATE_AFTER)
    if not found:
        raise DeploymentFailed(
            tr(
                "There is no hook `migrate-after` any more that could run the second half of {live}'s migrations.",
                live=live.name,
            ),
            tr(
                "Put it back: hooks.migrate-after in deploy.yaml, or {folder}/migrate-after",
                folder=config.hooks.dir or "hooks",
            ),
        )

    def hooks() -> str:
        running.run_hooks(
            found,
            hook_context(work.session, live, work.id),
            stage=MIGRATE_AFTER,
            timeout=config.hooks.timeout,
            secrets=withheld(site),
            caller=hook_caller(site),
            on_line=work.journal.output,
        )
        return listing([hook.name for hook in found], 3)

    failed = run_second_half(site, work.journal, config, live, hooks)
    with interruption.shield():
        return end_contract(work, live, failed)


def end_contract(work: Work, live: CodeState, failed: GitDeployError | None) -> Result:
    """How it stands after the run in WORK, of which the journal tells how far it came. Raises what it ended with."""
    waiting = settle_second_half(work.journal, live, marked=True, later=False)
    error = error_of(waiting, failed, work.site) if waiting is not None else None
    if error is None:
        return work.end(
            "succeeded",
            tr(
                "The second half of {live}'s migrations has run. {site} runs {live}.",
                live=live.name,
                site=work.site.name,
            ),
        )
    notify(work, work.site.config, "failed", error.message, error=error.message)
    result = work.end("failed", error.message, error)
    error.document = result.as_dict()
    raise error
