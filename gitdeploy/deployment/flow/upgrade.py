"""Upgrade: the flow, top to bottom."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict, replace

from gitdeploy.checkout.changes import Target
from gitdeploy.deployment.flow.contract import contract_first, runs_first, warning
from gitdeploy.deployment.live.go_live import go_live
from gitdeploy.deployment.live.migrated import require_migrated
from gitdeploy.deployment.plan.kept_diff import kept_differences
from gitdeploy.deployment.plan.make import Plan, make_plan
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.stops import problems_of
from gitdeploy.deployment.plan.took import last_took
from gitdeploy.deployment.plan.way import way_to
from gitdeploy.deployment.prepare import backup, ready, shelf, stage, venv
from gitdeploy.deployment.prepare.check import check_release
from gitdeploy.deployment.prepare.preflight import PATIENCE, checked
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.deployment.prepare.release import Chosen, Nothing, choose, fetch, is_prepared
from gitdeploy.deployment.record.work import CHANGING, Result, Session, Work, record
from gitdeploy.messages import joined, tr
from gitdeploy.site.memory import failure_remembered
from gitdeploy.site.second_half import read_waiting
from gitdeploy.site.site import Site, head_of, kept_data
from gitdeploy.state import Database
from gitdeploy.state.prepared import prepared_stages
from gitdeploy.system.refusal import system_refusals
from gitdeploy.text import listing, path_text
from gitdeploy.versions import CodeState


class Step(Struct, frozen=True):
    """Which step of how many an upgrade is on the way to the release TARGET, see through.py."""

    number: int
    of: int
    target: str


def upgrade(session: Session, tag: str | None, options: Options, step: Step | None = None) -> Result:
    """Upgrade to TAG, or to the newest release that the channel admits. STEP: where it is one of several.

    What waits of the live release's migrations runs first, once nothing speaks against the upgrade. Raises every expected
    failure as the error that the command ends with, after all is as it was.
    """
    origin = session.site.release_at(head_of(session.site))
    with record(session, "upgrade", origin, CodeState(None, tag, "")) as work:
        if step is not None:
            _say_step(work, step, tag)
        # What could not be settled is taken up anew though no file changes: hooks, service, health.
        found = planned(work, tag, options, anew=session.unsettled is not None)
        if isinstance(found, Result):
            return found
        fetched, preparation = found
        if not options.migrate:
            require_migrated(session.site, preparation.plan)
        if not runs_first(session, preparation.plan, options):
            return _carry_out(work, fetched, preparation, options)
        work.withdraw()
    contract_first(session, fetched.target)
    return upgrade(session, tag, options, step)


def _say_step(work: Work, step: Step, tag: str | None) -> None:
    work.journal.write("through", "", asdict(step))
    work.journal.line(
        tr(
            "Step {number} of {all} on the way to {target}: {tag}.",
            number=step.number,
            all=step.of,
            target=step.target,
            tag=tag,
        )
    )


def _carry_out(work: Work, fetched: Chosen, preparation: Preparation, options: Options) -> Result:
    """Make everything ready, then go live."""
    work.start()
    try:
        with system_refusals():
            venv.name_generation(preparation)
            reused = shelf.take_prepared(preparation)
            backup.make_backup(preparation, tr("before upgrade to {target}", target=fetched.target.name))
            if reused:
                shelf.adopt_backup_place(preparation)
            else:
                with failure_remembered(work, "requirements"):
                    venv.build_venv(preparation)
                stage.stage_files(preparation)
            with failure_remembered(work, "check"):
                check_release(preparation)
            live = ready.into_live(preparation)
            ready.run_early_hooks(live, "pre-deploy")
    except BaseException:
        preparation.discard()
        raise
    return go_live(work, live, roll_back=options.roll_back, discard=preparation.discard)


def prepare_upgrade(session: Session, tag: str | None, options: Options) -> Result:
    """Everything of an upgrade up to the switch, kept for a later `upgrade`, while the app goes on."""
    site = session.site
    origin = site.release_at(head_of(site))
    with record(session, "prepare", origin, CodeState(None, tag, "")) as work, system_refusals():
        # Nothing live is touched, so that the app may be anything while it is prepared; the upgrade asks again.
        found = planned(work, tag, replace(options, unhealthy=True))
        if isinstance(found, Result):
            return found
        fetched, preparation = found
        if shelf.is_prepared(site, preparation.plan):
            return _nothing_to_do(work, tr("{target} is prepared already.", target=fetched.target.name))
        for name, data in prepared_stages(site.state.stage).items():
            shelf.drop_prepared(site, name, data)
        try:
            venv.name_generation(preparation)
            venv.build_venv(preparation)
            stage.stage_files(preparation)
            with failure_remembered(work, "check"):
                check_release(preparation)
            shelf.keep_prepared(preparation)
        except BaseException:
            preparation.discard()
            raise
        sentence = tr(
            "{target} is prepared. {site} still runs {origin}.  Go live: gitdeploy upgrade {target_tag}",
            target=fetched.target.name,
            site=site.name,
            origin=origin.name,
            target_tag=fetched.target.tag,
        )
        return work.end("succeeded", sentence)


def planned(
    work: Work, tag: str | None, options: Options, *, anew: bool = False
) -> tuple[Chosen, Preparation] | Result:
    """The release, fetched, and its plan, which nothing speaks against; or how it ended where there is nothing to do. ANEW: go
    on though no file changes."""
    chosen = choose(work, tag, options)
    if isinstance(chosen, Nothing):
        work.aim(work.origin)
        return _nothing_to_do(work, tr("{sentence}.", sentence=chosen.sentence))
    fetched = fetch(work, chosen, options)
    preparation = _prepare(work, fetched, options)
    if preparation.plan.nothing_to_do and not anew:
        return _nothing_to_do(
            work, tr("{site} runs {target} already.", site=work.site.name, target=fetched.target.name)
        )
    return fetched, preparation


def plan_upgrade(
    site: Site,
    database: Database | None,
    chosen: Chosen,
    options: Options,
    origin: CodeState | None = None,
    patience: float = PATIENCE,
) -> Plan:
    """The plan of an upgrade to a release whose objects are here. Changes nothing. PATIENCE: as of `why_unhealthy`."""
    tree = site.repository.tree_of(chosen.target.commit)
    plan = make_plan(
        site,
        "upgrade",
        Target(chosen.target.commit, tree, tree),
        chosen.target,
        options,
        kept_data=kept_data(database),
        env_version=chosen.target.version,
        origin=origin,
    )
    ask = not is_prepared(site, chosen.target)
    way, told = way_to(site, database, plan.origin, chosen.target, ask=ask, migrations=plan.migrations)
    against = tuple(problems_of(way, plan.origin, chosen.target))
    passed = tuple(tr("--skip-stops: {problem}", problem=problem.message) for problem in against)
    waiting = read_waiting(database, plan.origin)
    told = (*told, warning(site, waiting, plan, options)) if waiting is not None else told
    plan = replace(
        plan,
        signed=chosen.signed,
        took=last_took(database, plan),
        hops=way.hops,
        problems=(*(() if options.skip_stops else against), *plan.problems),
        warnings=(*plan.warnings, *told, *(passed if options.skip_stops else ())),
    )
    return checked(site, plan, patience)


def _prepare(work: Work, chosen: Chosen, options: Options) -> Preparation:
    with work.journal.step("preflight") as shown:
        # Where it only warns, one question is enough.
        patience = 0.0 if work.action not in CHANGING else PATIENCE
        plan = plan_upgrade(work.site, work.database, chosen, options, work.origin, patience)
        work.announce(plan.headline())
        for warning in plan.warnings:
            work.journal.line(warning, "warning")
        ready.refuse_problems(plan)
        for line in kept_differences(work.site.repository, plan.origin.commit, plan.target.commit, plan.tree.kept):
            work.journal.line(line, "warning")
        shown.summary = preflight_summary(plan)
    name = stage.free_stage_name(work.site.state.stage, work.id)
    work.journal.write("prepare", "", {"stage": name})
    return Preparation(work, plan, name)


def preflight_summary(plan: Plan) -> str:
    """`nothing blocks it; .env is kept`."""
    parts = [tr("nothing blocks it")]
    if plan.kept:
        parts.append(tr("kept: {kept}", kept=listing(plan.kept, 3)))
    if plan.tree.kept_data:
        parts.append(
            tr(
                "no longer tracked, left in place: {kept_data}",
                kept_data=listing([path_text(p) for p in plan.tree.kept_data], 3),
            )
        )
    if plan.tree.merged:
        parts.append(tr("merged: {merged}", merged=listing([path_text(path) for path in plan.tree.merged], 3)))
    return joined("; ", parts)


def _nothing_to_do(work: Work, sentence: str) -> Result:
    return work.end("nothing_to_do", sentence)
