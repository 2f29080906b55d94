"""`contract`: the second half of the live release's migrations, which waits since its upgrade."""

from __future__ import annotations

from gitdeploy.databases import open_databases
from gitdeploy.deployment.flow.manual import hook_context, make_backup
from gitdeploy.deployment.live.migrated import require_recorded_in
from gitdeploy.deployment.live.second_half import error_of, run_second_half, settle_second_half
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.tell import notify
from gitdeploy.deployment.record.work import Result, Session, Work, record
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError, SecondHalfFailed
from gitdeploy.hooks import running
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import joined, tr
from gitdeploy.site.app_environment import app_environment, hook_caller, withheld
from gitdeploy.site.backwards import direction, lower
from gitdeploy.site.second_half import COMMAND, Waiting, anything_waits, read_waiting
from gitdeploy.site.site import Site, head_of
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


def runs_first(session: Session, plan: Plan, options: Options) -> bool:
    """Whether what waits of the live release is to run before the upgrade of PLAN, whose migrations may build on it. Asked once
    nothing speaks against that upgrade: it can't be undone. Raises `PolicyError` where nobody asked for the upgrade by name and
    it failed before."""
    waiting = read_waiting(session.database, plan.origin) if anything_waits(session.database) else None
    if waiting is None or not _wanted(session.site, plan, options):
        return False
    if session.caller.automatic and waiting.why in ("failed", "interrupted"):
        raise PolicyError(
            tr("{waiting} It won't be retried automatically.", waiting=waiting.sentence),
            joined("\n", (tr("Fix that, then: {command}", command=COMMAND), _past_it(plan.target))),
        )
    return True


def contract_first(session: Session, target: CodeState) -> None:
    """Run what waits before the upgrade to TARGET. Raises as `contract`."""
    try:
        contract(session)
    except SecondHalfFailed as error:
        error.hint = joined("\n", (error.hint, _past_it(target)))
        raise


def _past_it(target: CodeState) -> str:
    return tr("If {tag} fixes it, install it: gitdeploy upgrade {tag} --skip-contract", tag=target.tag)


def _wanted(site: Site, plan: Plan, options: Options) -> bool:
    return options.hooks and options.migrate and not options.skip_contract and not _is_downgrade(site, plan)


def _is_downgrade(site: Site, plan: Plan) -> bool:
    """It leads to what is live or back from there: to a release that may not live with what the second half does."""
    origin, target = plan.origin, plan.target
    if origin.commit == target.commit or lower(origin, target, site) is not None:
        return True
    return direction(site, origin, target).refusal is not None


def warning(site: Site, waiting: Waiting, plan: Plan, options: Options) -> str:
    """What an upgrade says of it beforehand."""
    if _wanted(site, plan, options):
        return tr(
            "{waiting} The upgrade runs it first, after a backup. Now: {command}",
            waiting=waiting.sentence,
            command=COMMAND,
        )
    if options.skip_contract:
        return tr(
            "{waiting} --skip-contract: {target} goes live without it, and its own migrations must do what is left of it.",
            waiting=waiting.sentence,
            target=plan.target.name,
        )
    if options.hooks and options.migrate:
        return tr("{waiting} This upgrade doesn't run it: it is a downgrade.", waiting=waiting.sentence)
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
        _require_recorded(work, live)
        return listing([hook.name for hook in found], 3)

    failed = run_second_half(site, work.journal, config, live, hooks)
    with interruption.shield():
        return end_contract(work, live, failed)


def _require_recorded(work: Work, live: CodeState) -> None:
    """As after a second half at the end of the upgrade that brought LIVE, where the log still knows it."""
    site, rows = work.site, work.database.deployments()
    brought = (row for row in rows if row.action == "upgrade" and row.status == "succeeded")
    row = next((row for row in brought if CodeState.from_dict(row.target).commit == live.commit), None)
    if row is not None and running.find_hooks(site.root, site.config.hooks, "migrate"):
        databases = open_databases(site.config.backup.databases, site.root, app_environment(site))
        origin = CodeState.from_dict(row.origin).commit
        require_recorded_in(work.journal, site.repository, origin, live.commit, databases)


def end_contract(work: Work, live: CodeState, failed: GitDeployError | None) -> Result:
    """How it stands after the run in WORK, of which the journal tells how far it came. Raises what it ended with."""
    waiting = settle_second_half(work.journal, live, later=False)
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
