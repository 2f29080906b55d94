"""Upgrade: the flow, top to bottom."""

from __future__ import annotations

from msgspec.structs import replace

from gitdeploy.checkout.changes import Target
from gitdeploy.deployment import prepare, prepared
from gitdeploy.deployment.golive import go_live
from gitdeploy.deployment.keptdiff import kept_differences
from gitdeploy.deployment.memory import requirements_remembered
from gitdeploy.deployment.options import Options
from gitdeploy.deployment.plan import Plan, make_plan
from gitdeploy.deployment.preflight import checked
from gitdeploy.deployment.prepare import Preparation
from gitdeploy.deployment.release import Chosen, Nothing, choose, fetch
from gitdeploy.deployment.session import Result, Session, Work, record
from gitdeploy.deployment.site import KEPT_DATA, Release3, Site
from gitdeploy.errors import GitDeployError
from gitdeploy.state import Database


def upgrade(session: Session, tag: str | None, options: Options) -> Result:
    """Upgrade to TAG, or to the newest release that the channel admits.

    Raises every expected failure as the error that the command ends with, after all is as it was.
    """
    site = session.site
    origin = site.release_at(head_of(site))
    with record(session, "upgrade", origin, Release3(None, tag, origin.commit)) as work:
        chosen = choose(work, tag, options)
        if isinstance(chosen, Nothing):
            return _nothing_to_do(work, f"{chosen.sentence}.")
        fetched = fetch(work, chosen, options)
        preparation = _prepare(work, fetched, options)
        # What could not be settled is taken up anew though no file changes: hooks, service, health.
        if preparation.plan.nothing_to_do and session.unsettled is None:
            return _nothing_to_do(work, f"{site.name} runs {fetched.target.name} already.")
        work.start()
        try:
            prepare.name_generation(preparation)
            reused = prepared.take_prepared(preparation)
            prepare.make_backup(preparation, f"before upgrade to {fetched.target.name}")
            if reused:
                prepared.adopt_backup_place(preparation)
            else:
                with requirements_remembered(work):
                    prepare.build_venv(preparation)
                prepare.stage_files(preparation)
            live = prepare.into_live(preparation)
            prepare.run_early_hooks(live, "pre-deploy")
        except BaseException:
            preparation.discard()
            raise
        return go_live(work, live, preparation, roll_back=options.roll_back)


def prepare_upgrade(session: Session, tag: str | None, options: Options) -> Result:
    """Everything of an upgrade up to the switch, kept for a later `upgrade`, while the app goes on."""
    site = session.site
    origin = site.release_at(head_of(site))
    with record(session, "prepare", origin, Release3(None, tag, origin.commit)) as work:
        chosen = choose(work, tag, options)
        if isinstance(chosen, Nothing):
            return _nothing_to_do(work, f"{chosen.sentence}.")
        fetched = fetch(work, chosen, options)
        # Nothing live is touched, so that the app may be anything while it is prepared; the upgrade asks again.
        preparation = _prepare(work, fetched, replace(options, unhealthy=True))
        if preparation.plan.nothing_to_do:
            return _nothing_to_do(work, f"{site.name} runs {fetched.target.name} already.")
        for name, data in prepared.prepared_stages(site.state.stage).items():
            prepared.drop_prepared(site, name, data)
        try:
            prepare.name_generation(preparation)
            prepare.build_venv(preparation)
            prepare.stage_files(preparation)
            prepared.keep_prepared(preparation)
        except BaseException:
            preparation.discard()
            raise
        sentence = f"{fetched.target.name} is prepared. {site.name} still runs {origin.name}.  Go live: gitdeploy upgrade {fetched.target.tag}"
        return work.end("succeeded", sentence)


def plan_upgrade(
    site: Site, database: Database | None, chosen: Chosen, options: Options, origin: Release3 | None = None
) -> Plan:
    """The plan of an upgrade to a release whose objects are here. Changes nothing."""
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
    return checked(site, plan)


def _prepare(work: Work, chosen: Chosen, options: Options) -> Preparation:
    with work.journal.step("preflight") as shown:
        plan = plan_upgrade(work.site, work.database, chosen, options, work.origin)
        work.announce(plan.headline())
        for warning in plan.warnings:
            work.journal.line(warning, "warning")
        prepare.refuse_problems(plan)
        for line in kept_differences(work.site.repository, plan.origin.commit, plan.target.commit, plan.tree.kept):
            work.journal.line(line, "warning")
        shown.summary = preflight_summary(plan)
    name = prepare.free_stage_name(work.site.state.stage, work.id)
    work.journal.write("prepare", "", {"stage": name})
    return Preparation(work, plan, name)


def preflight_summary(plan: Plan) -> str:
    """`nothing in the way; .env is kept`."""
    from gitdeploy.text import listing, path_text

    parts = ["nothing in the way"]
    if plan.kept:
        parts.append(f"kept: {listing(plan.kept, 3)}")
    if plan.tree.kept_data:
        parts.append(f"no longer tracked, left in place: {listing([path_text(p) for p in plan.tree.kept_data], 3)}")
    if plan.tree.merged:
        parts.append(f"merged: {listing([path_text(path) for path in plan.tree.merged], 3)}")
    return "; ".join(parts)


def kept_data(database: Database | None) -> list[str]:
    """Files that an earlier release stopped tracking and that were left where they are."""
    import json

    text = database.meta_get(KEPT_DATA) if database is not None else None
    return list(json.loads(text)) if text else []


def _nothing_to_do(work: Work, sentence: str) -> Result:
    return work.end("nothing_to_do", sentence)


def head_of(site: Site) -> str:
    """HEAD's commit. Raises `GitDeployError` where there is none."""
    head = site.repository.resolve("HEAD")
    if head is None:
        raise GitDeployError(
            "The checkout's HEAD leads to no commit.",
            "Check a release out once by hand, or run: gitdeploy doctor --repair",
        )
    return head
