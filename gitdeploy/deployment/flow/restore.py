"""Restore: bring a backup back, by the same steps that an upgrade takes."""

from __future__ import annotations

import os

from msgspec.structs import replace

from gitdeploy.backups import store
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.changes import Target
from gitdeploy.checkout.facts import refetch
from gitdeploy.checkout.git import BACKUP_REFS
from gitdeploy.checkout.modes import Modes, with_modes
from gitdeploy.deployment.flow.upgrade import preflight_summary
from gitdeploy.deployment.live.go_live import go_live
from gitdeploy.deployment.plan.data import restore_warnings
from gitdeploy.deployment.plan.data_moves import data_moves
from gitdeploy.deployment.plan.data_release import require_fitting
from gitdeploy.deployment.plan.make import Plan, make_plan
from gitdeploy.deployment.plan.migrations import migrations_between, way_back
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.took import last_took
from gitdeploy.deployment.prepare import ready, venv
from gitdeploy.deployment.prepare.backup import decrypt, make_backup
from gitdeploy.deployment.prepare.preflight import checked
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.deployment.prepare.stage import free_stage_name, stage_files
from gitdeploy.deployment.prepare.submodule_states import recorded_states
from gitdeploy.deployment.record.work import CHANGING, Result, Session, record
from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site, head_of, kept_data
from gitdeploy.state import Database
from gitdeploy.system.refusal import system_refusals
from gitdeploy.text import clean
from gitdeploy.versions import CodeState


def restore(
    session: Session, backup: Backup, options: Options, action: str = "restore", origin: CodeState | None = None
) -> Result:
    """Bring BACKUP back. The present state is backed up first, so that a restore can itself be restored away.

    action: what the log calls it, `restore` or `rollback`. origin: what is live, where that was found out already.
    """
    site = session.site
    target = CodeState(backup.version, backup.tag, backup.commit)
    ensure_objects(site, backup)
    with record(session, action, origin or site.release_at(head_of(site)), target) as work:
        with work.journal.step("preflight") as shown:
            plan = plan_restore(site, session.database, backup, options, work.origin)
            work.announce(plan.headline())
            for warning in plan.warnings:
                work.journal.line(warning, "warning")
            ready.refuse_problems(plan)
            shown.summary = preflight_summary(plan)
        # What could not be settled is taken up anew though no file changes: hooks, service, health.
        if plan.nothing_to_do and not options.with_data and session.unsettled is None:
            return work.end(
                "nothing_to_do",
                tr("{site} is already in the state of backup {backup}.", site=site.name, backup=backup.id),
            )
        stage = free_stage_name(site.state.stage, work.id)
        preparation = Preparation(work, plan, stage, with_data=options.with_data)
        work.journal.write("prepare", "", {"stage": preparation.stage})
        work.start()
        try:
            with system_refusals():
                if options.with_data:
                    decrypt(preparation, backup)
                venv.name_generation(preparation)
                make_backup(preparation, tr("before restore of {backup}", backup=backup.id))
                venv.build_venv(preparation)
                # The env file, in which the version alone follows, may be nobody's to read: no backup has recorded that.
                stage_files(preparation, replace(recorded_modes(backup), own=plan.tree.version_file))
                live = ready.into_live(preparation, data_from=backup.id if options.with_data else None)
                ready.run_early_hooks(live, "pre-restore")
        except BaseException:
            preparation.discard()
            raise
        return go_live(work, live, roll_back=options.roll_back, discard=preparation.discard)


def plan_restore(
    site: Site, database: Database | None, backup: Backup, options: Options, origin: CodeState | None = None
) -> Plan:
    """The plan of bringing BACKUP back. Changes nothing."""
    target = CodeState(backup.version, backup.tag, backup.commit)
    goal = backup.snapshot.target()
    if goal.branch is not None and site.repository.resolve(goal.branch) != backup.commit:
        # The branch has moved on since: HEAD goes to the commit itself, and no branch is moved.
        goal = Target(goal.commit, goal.tree, goal.index_tree, None, goal.exact, goal.untracked, goal.hidden)
    plan = make_plan(
        site,
        "restore",
        goal,
        target,
        options,
        kept_data=[*kept_data(database), *backup.kept_data],
        env_version=backup.version,
        submodules=recorded_states(backup),
        all_submodules=backup.all_submodules,
        generation=generation_of(site, backup),
        origin=origin,
    )
    keep = site.keep([*kept_data(database), *backup.kept_data])
    tree = with_modes(site.repository, plan.tree, plan.local, goal, recorded_modes(backup), keep)
    plan = replace(plan, checkout=replace(plan.checkout, tree=tree))
    warnings = restore_warnings(site, backup, with_data=options.with_data)
    then, now = (site.repository.tree_of(commit) for commit in (backup.commit, plan.local.head))
    new = migrations_between(site.repository, then, now)
    if new and not options.with_data and (how := way_back(new)):
        warnings.append(how)
    moves, against, said = data_moves(site, backup, options.identity) if options.with_data else ((), (), ())
    plan = replace(plan, warnings=(*plan.warnings, *warnings, *said), problems=(*plan.problems, *against), data=moves)
    return checked(site, replace(plan, took=last_took(database, plan)))


def recorded_modes(backup: Backup) -> Modes:
    """Permissions of the tracked files when BACKUP was made."""
    odd = {os.fsencode(path): (facts[0], facts[1], facts[2]) for path, facts in backup.modes.items()}
    return Modes(odd, {int(mode, 8): permissions for mode, permissions in backup.usual_modes.items()})


def generation_of(site: Site, backup: Backup) -> str | None:
    """The generation that a backup holds; of a plain venv that was adopted since, the one with its folder's inode."""
    if backup.generation is not None:
        return backup.generation
    if backup.venv is not None and site.state.venvs.is_dir():
        for path in site.state.venvs.iterdir():
            if path.is_dir() and not path.is_symlink() and str(path.stat().st_ino) == backup.venv:
                return path.name
    return None


def ensure_objects(site: Site, backup: Backup) -> None:
    """The backup's commit is there; its ref is written anew from the manifest where it was lost."""
    commit = backup.snapshot.commit
    repository = site.repository
    if repository.resolve(commit) is None:
        raise DeploymentFailed(
            tr(
                "The objects of backup {backup} (commit {commit}) are missing or damaged in the repository.",
                backup=backup.id,
                commit=commit[:12],
            ),
            tr("{refetch}\nTo look at the rest: gitdeploy doctor", refetch=refetch(site.config.source.remote)),
        )
    repository.mend_ref(BACKUP_REFS + backup.id, commit)
    if repository.resolve(BACKUP_REFS + backup.id) != commit:
        repository.update_ref(BACKUP_REFS + backup.id, commit)


def last_good(site: Site, database: Database | None, wanted: str | None, *, with_data: bool = False) -> Backup:
    """The backup for `rollback`: of the last successful deployment, or the newest one of a version or tag; WITH_DATA: one
    whose data are that version's. Raises `UsageError`, `PolicyError`."""
    found, _ = store.read_all(site.state.backups)
    chosen = _last_good(site, database, wanted, found)
    return require_fitting(chosen, found) if with_data else chosen


def _last_good(site: Site, database: Database | None, wanted: str | None, found: list[Backup]) -> Backup:
    if wanted is not None:
        version = wanted.removeprefix("v").removeprefix("V")
        for backup in found:
            if backup.tag == wanted or backup.version in (wanted, version):
                return backup
        raise UsageError(
            tr("There is no backup of {wanted}.", wanted=clean(wanted, limit=60)), tr("`gitdeploy backups` lists them.")
        )
    row = None
    if database is not None:
        row = next((r for r in database.deployments() if r.status == "succeeded" and r.action in CHANGING), None)
    if row is not None and row.backup:
        return store.find(site.state.backups, row.backup)
    for backup in found:
        # state.db was lost: the newest backup that a deployment made which came to a good end.
        if backup.reason.startswith("before ") and store.outcome(site.state.backups, backup.id) == "good":
            return backup
    raise UsageError(
        tr("There is no successful deployment to undo."),
        tr("`gitdeploy backups` lists what `gitdeploy restore` can bring back."),
    )
