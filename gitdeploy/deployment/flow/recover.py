"""Recovery: what an interrupted deployment left is finished or undone, decided from the journal alone."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from gitdeploy import upkeep, venvs
from gitdeploy.backups import store
from gitdeploy.backups.places import CARRIED
from gitdeploy.checkout import staged, switch, switch_back
from gitdeploy.checkout.git_locks import is_stale
from gitdeploy.checkout.incoming import sweep_incoming
from gitdeploy.checkout.local import read_local
from gitdeploy.checkout.manifest import FILE, Manifest, moved
from gitdeploy.checkout.modules import module_folders
from gitdeploy.checkout.remote import drop_incoming, sweep_unnamed
from gitdeploy.checkout.scratch import sweep_scratch
from gitdeploy.config import FILE_NAME
from gitdeploy.deployment.live.finish import finish
from gitdeploy.deployment.live.live import Live, LiveRecord, parsed_config
from gitdeploy.deployment.live.maintenance import end_maintenance
from gitdeploy.deployment.live.second_half import RECORD, error_of, settle_second_half
from gitdeploy.deployment.live.settle import SettlingFailed, give_up, settle
from gitdeploy.deployment.live.steps import live_steps
from gitdeploy.deployment.prepare.preparation import discard_leftovers
from gitdeploy.deployment.record import engine
from gitdeploy.deployment.record.journal import Journal, left_running
from gitdeploy.deployment.record.replaced import closing
from gitdeploy.deployment.record.tell import owe, send_owed
from gitdeploy.deployment.record.work import CHANGING, Replaces, Result, Session, Unsettled, Work
from gitdeploy.deployment.rehearse import grounds
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted, RollbackFailed
from gitdeploy.messages import heard, joined, said, tr
from gitdeploy.site.blame import same_failure
from gitdeploy.site.second_half import COMMAND
from gitdeploy.site.site import Site
from gitdeploy.site.submodule_refs import drop_refs
from gitdeploy.state import DeploymentRow, Record
from gitdeploy.state.prepared import prepared_stages
from gitdeploy.state.requests import remove_old_runs
from gitdeploy.system import interruption, markers, progress
from gitdeploy.text import count, path_text
from gitdeploy.upkeep.prune import held_generations
from gitdeploy.versions import CodeState

TRIES = 3
_REF_LOCKS = ("packed-refs.lock", "shallow.lock", "config.lock")
_TREE_LOCKS = ("index.lock", "HEAD.lock")  # our own ones too: kept until the deployment that took them is undone


class StageGone(RollbackFailed):
    """The stage of an interrupted deployment was deleted: it can't be undone file by file, only replaced. `whole`: its
    files are those of one release all the same."""

    whole = False


def recover_unfinished(session: Session, *, replaces: Replaces = Replaces.NOTHING) -> Result | None:
    """Put right whatever earlier, killed runs left. Returns how the last of them ended; None where there was nothing.

    replaces: what the caller is about to put live instead, which is the way out where nothing else is.
    Raises `RollbackFailed` (exit 4): after the third try that fails the same way without trying.
    """
    site = session.site
    rows = session.database.unfinished()
    result = None
    with interruption.shield():
        if rows:
            _remove_stale_locks(site, _REF_LOCKS)  # refs are deleted below
        for row in rows:
            result = _recover_one(session, row, replaces) or result
        _remove_stale_locks(site, (*_REF_LOCKS, *_TREE_LOCKS))
        _sweep(site, {session.unsettled.stage} if session.unsettled is not None else set())
        grounds.sweep(site, session.database, session.caller.listener)
        send_owed(site, session.database, site.config, again=session.caller.boot)
    interruption.check()
    return result


def _recover_one(session: Session, row: DeploymentRow, replaces: Replaces) -> Result | None:
    """How it ended; None where it can't be put right, and goes once something else is live in its place."""
    database = session.database
    journal = Journal(database, row.id, session.caller.listener)
    records = database.records(row.id)
    origin, target = CodeState.from_dict(row.origin), CodeState.from_dict(row.target)
    work = Work(session, journal, row.action, origin, target, backup=row.backup)
    work.started_at = row.started_at
    ended = markers.end_marked(*left_running(records))
    if ended:
        journal.line(
            tr("Ended {count} that the killed run had left behind.", count=count(len(ended), "process", "processes")),
            "warning",
        )
    if replaces is Replaces.NOTHING:
        _refuse_fourth_try(session, row, records)
    journal.write("recovery")
    try:
        if row.action == "contract" and any(record.kind == RECORD for record in records):
            return _contract_interrupted(work)
        if not any(record.kind == "begin" for record in records):
            return _throw_away(work, records)
        work.backup = _record(records).backup
        with progress.told(journal.how_far):
            return _finish_or_undo(work, _record(records), records, replaces)
    except GitDeployError as error:
        if isinstance(error, StageGone) and (replaces.files or (replaces is Replaces.WHOLE and error.whole)):
            session.unsettled = Unsettled("", partial(_give_up_without_stage, work, records, error))
        with suppress(GitDeployError):
            journal.write("recovery-failed", "", {**said(error.message, "error"), "settings": _settings(session.site)})
        if session.unsettled is None:
            raise
        journal.line(
            tr("{message} Going on with `{command}`.", message=error.message, command=session.caller.command), "warning"
        )
        return None


def _contract_interrupted(work: Work) -> Result:
    """It ran on the live release, which stays: nothing is undone, and how far it came is said."""
    waiting = settle_second_half(work.journal, work.target, later=False)
    if waiting is None:
        sentence = tr(
            "Deployment {work} was interrupted when the second half of {release}'s migrations had run.",
            work=work.id,
            release=work.target.name,
        )
        return work.end("succeeded", sentence)
    error = error_of(waiting, None, work.site)
    sentence = tr(
        "{site} runs {release}. {waiting} To run it again: {command}",
        site=work.site.name,
        release=work.target.name,
        waiting=waiting.sentence,
        command=COMMAND,
    )
    owe(work, work.site.config, "failed", sentence, error=sentence)
    return work.end("interrupted", sentence, error)


def _give_up_without_stage(work: Work, records: list[Record], error: StageGone) -> Result:
    planned = any(record.kind == "plan" for record in records)  # it may be the very record that is missing
    before = parsed_config(work.site, _record(records).before) if planned else work.site.config
    end_maintenance(work.site, before, records, undone=True)
    return work.end(
        "failed",
        tr("{message} Given up for `{command}`.", message=error.message, command=work.session.caller.command),
        error,
    )


def _refuse_fourth_try(session: Session, row: DeploymentRow, records: list[Record]) -> None:
    """What failed three times the same way is not tried by every command for ever: only where somebody says so, or where
    deploy.yaml was changed since. Raises `RollbackFailed`."""
    failed = [record.data for record in records if record.kind == "recovery-failed"][-TRIES:]
    tried = session.caller.again or not session.caller.settling.whole
    if tried or len(failed) < TRIES or failed[-1].get("settings") != _settings(session.site):
        return
    first, *others = [heard(data, "error") for data in failed]
    if all(same_failure(first, other) for other in others):
        raise RollbackFailed(
            tr(
                "Recovering deployment {row} failed {tries} times the same way: {first}",
                row=row.id,
                tries=TRIES,
                first=first,
            ),
            tr(
                "Fix that, then: gitdeploy recover --again\nWithout hooks, service and health: gitdeploy "
                "recover --no-hooks --no-restart\nWhole log: gitdeploy log {row}",
                row=row.id,
            ),
        )


def _settings(site: Site) -> str:
    """deploy.yaml as it is now, in short: a recovery that failed may succeed once it is another."""
    with suppress(OSError):
        return hashlib.sha256((site.config.file or site.root / FILE_NAME).read_bytes()).hexdigest()
    return ""


def _finish_or_undo(work: Work, record: LiveRecord, records: list[Record], replaces: Replaces) -> Result:
    site, journal = work.site, work.journal
    newest = _newest(records)
    if newest == "commit":
        journal.line(tr("The interrupted deployment {work} was final already: finishing it.", work=work.id))
        manifest = Manifest.read(site.state.stage / record.stage)
        return finish(work, record, moved(manifest, site.root) if manifest else None, record.configuration(site))
    live = Live.rebuild(site, journal, record)
    if live is None and newest == "undone":
        # The stage goes last of all: the old release was settled before.
        return work.end(
            "rolled_back",
            tr(
                "{site} runs {origin} again{closing}", site=site.name, origin=work.origin.name, closing=closing(records)
            ),
        )
    if live is None:
        raise _stage_gone(site, record)
    journal.line(
        tr("Deployment {work} was interrupted: going back to {origin}.", work=work.id, origin=work.origin.name),
        "warning",
    )
    step, cause = _cause(records)
    if newest != "undone":
        engine.undo_all(journal, engine.begun_steps(records, live_steps(live)), step, cause)
    try:
        return work.end("rolled_back", settle(work, live, step, cause).sentence)
    except SettlingFailed as error:
        if replaces is Replaces.NOTHING:
            raise
        failed = error
        work.session.unsettled = Unsettled(record.stage, lambda: give_up(work, live, step, cause, failed))
        raise


def _newest(records: list[Record]) -> str:
    """The last record that decides."""
    return next(r.kind for r in reversed(records) if r.kind in ("begin", "commit", "undoing", "undone"))


def _cause(records: list[Record]) -> tuple[str, GitDeployError]:
    """Where and why the deployment is undone: what failed before the kill, else the kill, which is not a fault of the
    release."""
    for record in records:
        fault = record.data.get("fault") if record.kind == "undoing" else None
        if fault and fault != "nobody":
            cause = DeploymentFailed(heard(record.data, "reason"))
            cause.fault = "server" if fault == "server" else "release"
            return record.step, cause
    begun = [record.step for record in records if record.kind == "begin"]
    return begun[-1], Interrupted(signal.SIGKILL, tr("it was killed, or the server went down."))


def _record(records: list[Record]) -> LiveRecord:
    plan = next((record for record in records if record.kind == "plan"), None)
    if plan is None:
        raise StageGone(
            tr("The journal has no plan of the interrupted deployment."),
            tr("Bring a backup back: gitdeploy restore latest"),
        )
    return LiveRecord.from_dict(plan.data)


def _stage_gone(site: Site, record: LiveRecord) -> StageGone:
    """What can still be done: its backup, else another one; a new upgrade, where files are wholly one release's."""
    side = _whole_side(site, record)
    kept = [backup.id for backup in site.backups()]
    backup = record.backup if record.backup in kept else next(iter(kept), None)
    ways = (
        [
            tr(
                "Bring its backup back: gitdeploy restore {backup}"
                if backup == record.backup
                else "Bring another backup back: gitdeploy restore {backup}",
                backup=backup,
            )
        ]
        if backup
        else []
    )
    if record.backup not in kept:
        ways.insert(0, tr("Its backup {backup} is gone too.", backup=record.backup))
    if side is not None:
        ways.append(tr("Or go on from {side}, whose files are whole: gitdeploy upgrade TAG", side=side.name))
    elif backup is None:
        ways.append(tr("Put a release in its place: gitdeploy upgrade TAG --discard-local-changes"))
    error = StageGone(
        tr(
            "The stage {stage} of the interrupted deployment is gone, so it can't be undone file by file.",
            stage=path_text(str(site.state.stage / record.stage)),
        ),
        joined("\n", ways),
    )
    error.whole = side is not None
    return error


def _whole_side(site: Site, record: LiveRecord) -> CodeState | None:
    """The release whose files the checkout has, all of them; None where it has some of both, or can't be read."""
    try:
        local = read_local(site.repository)
    except GitDeployError:
        return None
    keep = site.keep(list(record.kept_data))
    if any(not keep.match(change.path) for change in local.changes):
        return None
    return next((release for release in (record.origin, record.target) if release.commit == local.head), None)


def _throw_away(work: Work, records: list[Record]) -> Result:
    """Nothing live was touched: delete what was half-made."""
    facts = {record.kind: dict(record.data) for record in records}
    stage = facts.get("prepare", {}).get("stage", "")
    if stage:
        discard_leftovers(work.site, stage, None, facts.get("backup", {}).get("id"))
        built = facts.get("build", {}).get("generation")
        # A stage that was prepared earlier, and about to be used, is still prepared and holds its generation.
        if built and built not in held_generations(work.site):
            venvs.Builder(work.site.root, work.site.state.path, work.site.config.venv).discard(built)
    if work.target.tag:
        drop_incoming(work.site.repository, work.target.tag)
    sweep_incoming(work.site.repository.git_dir, every=not prepared_stages(work.site.state.stage))
    work.backup = None
    sentence = tr(
        "Deployment {work} was interrupted before it touched anything live: {site} runs {origin} as before.",
        work=work.id,
        site=work.site.name,
        origin=work.origin.name,
    )
    if stage and work.action in CHANGING:
        owe(work, work.site.config, "failed", sentence, error="interrupted")
    return work.end("interrupted", sentence, DeploymentFailed(tr("Interrupted before anything live was touched.")))


# ---- what else a kill can leave ----


def _remove_stale_locks(site: Site, names: Sequence[str]) -> None:
    """Lock files of a killed git, NAMES and those of refs: removed when, and only when, no process has them open."""
    repository = site.repository
    folders = {repository.git_dir, repository.common_dir, *module_folders(repository)}
    locks = [folder / name for folder in folders for name in names if (folder / name).exists()]
    locks += [lock for folder in folders for lock in (folder / "refs").rglob("*.lock") if lock.is_file()]
    for lock in locks:
        if is_stale(lock, site.root):
            with suppress(FileNotFoundError):
                lock.unlink()


def _sweep(site: Site, needed: set[str]) -> None:
    """Stages, generations, temporary packs and unfinished backups that no deployment knows of. NEEDED: stages that stay."""
    prepared = {*prepared_stages(site.state.stage), *needed}
    git_dirs = [site.repository.git_dir, *module_folders(site.repository)]
    for stage in site.state.orphans(prepared):
        if (stage / FILE).exists() and _live_side(stage, site) == "between":
            _undo_orphan(stage, site)
        staged.discard_stage(stage, git_dirs)
    for folder in git_dirs:
        sweep_scratch(folder)
        for beside in folder.glob("gitdeploy.*.*"):  # of stages that are gone: a power cut may have brought these back
            if not (site.state.stage / beside.name.split(".")[1]).exists():
                staged.remove_beside(beside)
    for name in os.listdir(site.state.backups):
        if (
            isinstance(entry := store.read(site.state.backups, name), store.Damaged)
            and "never finished" in entry.problem
        ):
            drop_refs(site.repository, name)
            store.remove(site.state.backups, name, site.repository)
    sweep_incoming(site.repository.git_dir)
    sweep_unnamed(site.repository)
    if any(name.startswith(CARRIED) for name in os.listdir(site.state.path)):
        upkeep.carrying.sweep(site)
    for backup in site.backups():
        site.repository.mend_ref(store.REFS + backup.id, backup.snapshot.commit)
    held = held_generations(site)
    for name in venvs.unfinished(site.state.venvs):
        if name not in held:
            venvs.Builder(site.root, site.state.path, site.config.venv).discard(name)
    remove_old_runs(site.state.requests)
    venvs.sweep(site.state.venvs)
    old = time.time() - 3600
    for pattern in ("pack/tmp_*", "??/tmp_obj_*"):
        for leftover in (site.repository.common_dir / "objects").glob(pattern):
            with suppress(OSError):
                if leftover.stat().st_mtime < old:
                    leftover.unlink()


def _live_side(stage: Path, site: Site) -> str:
    manifest = Manifest.read(stage)
    return switch.position(moved(manifest, site.root)) if manifest is not None else "old"


def _undo_orphan(stage: Path, site: Site) -> None:
    """state.db was lost in the middle of a switch: the links in the stage still know the way back."""
    manifest = Manifest.read(stage)
    if manifest is not None:
        switch_back.undo(moved(manifest, site.root), lambda: None)
