"""Recovery: what an interrupted deployment left is finished or undone, decided from the journal alone."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gitdeploy import backups, interruption, process, venvs
from gitdeploy.checkout import stage as staging
from gitdeploy.checkout import switch
from gitdeploy.checkout.git import sweep_scratch
from gitdeploy.checkout.manifest import FILE, Manifest, moved
from gitdeploy.checkout.remote import drop_incoming
from gitdeploy.checkout.submodules import module_folders
from gitdeploy.deployment import engine
from gitdeploy.deployment.finish import finish
from gitdeploy.deployment.journal import Journal
from gitdeploy.deployment.live import Live, LiveRecord, parsed_config
from gitdeploy.deployment.prepare import discard_leftovers
from gitdeploy.deployment.prepared import prepared_stages
from gitdeploy.deployment.prune import held_generations
from gitdeploy.deployment.session import CHANGING, Result, Session, Work
from gitdeploy.deployment.settle import settle
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.deployment.steps import end_maintenance, live_steps
from gitdeploy.deployment.tell import owe, send_owed
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted, RollbackFailed
from gitdeploy.state import DeploymentRow, Record
from gitdeploy.state.requests import remove_old_runs
from gitdeploy.text import count, path_text

TRIES = 3
_REF_LOCKS = ("packed-refs.lock", "shallow.lock", "config.lock")
_TREE_LOCKS = ("index.lock", "HEAD.lock")  # our own ones too: kept until the deployment that took them is undone


class StageGone(RollbackFailed):
    """The stage of an interrupted deployment was deleted: it can't be undone file by file, only replaced by a backup."""


def recover_unfinished(session: Session, *, restores: bool = False) -> Result | None:
    """Put right whatever earlier, killed runs left. Returns how the last of them ended; None where there was nothing.

    restores: a backup replaces what is live in any case, so a deployment that can't be undone any more is given up.
    Raises `RollbackFailed` (exit 4) after the third try that fails the same way.
    """
    site = session.site
    rows = session.database.unfinished()
    result = None
    with interruption.shield():
        if rows:
            _remove_stale_locks(site, _REF_LOCKS)  # refs are deleted below
        for row in rows:
            result = _recover_one(session, row, restores)
        _remove_stale_locks(site, (*_REF_LOCKS, *_TREE_LOCKS))
        _sweep(site)
        send_owed(site, session.database, site.config, again=session.caller.boot)
    interruption.check()
    return result


def _recover_one(session: Session, row: DeploymentRow, restores: bool) -> Result:
    database = session.database
    journal = Journal(database, row.id, session.caller.listener)
    records = database.records(row.id)
    origin, target = Release3.from_dict(row.origin), Release3.from_dict(row.target)
    work = Work(session, journal, row.action, origin, target, backup=row.backup)
    work.started_at = row.started_at
    ended = process.end_marked(_children(records), _leaders(records))
    if ended:
        journal.line(
            f"Ended {count(len(ended), 'process', 'processes')} that the killed run had left behind.", "warning"
        )
    kinds = {record.kind for record in records}
    tries = sum(record.kind == "recovery" for record in records)
    if tries >= TRIES and not session.caller.again and not restores:
        last = [str(record.data.get("error")) for record in records if record.kind == "recovery-failed"][-TRIES:]
        if len(last) == TRIES and len({re.sub(r"[0-9.]+", "", text) for text in last}) == 1:  # but for times, pids
            raise RollbackFailed(
                f"Recovering deployment {row.id} failed {TRIES} times the same way: {last[0]}",
                f"Mend that, then: gitdeploy recover --again. Whole log: gitdeploy log {row.id}",
            )
    journal.write("recovery")
    try:
        if "begin" not in kinds:
            return _throw_away(work, records)
        record = _record(records)
        work.backup = record.backup
        newest = _newest(records)
        if newest == "commit":
            journal.line(f"The interrupted deployment {row.id} was final already: finishing it.")
            manifest = Manifest.read(session.site.state.stage / record.stage)
            after = parsed_config(session.site, record.after)
            return finish(work, record, moved(manifest, session.site.root) if manifest else None, after)
        live = Live.rebuild(session.site, journal, record)
        if live is None and newest == "undone":
            # The stage goes last of all: the old release was settled before.
            return work.end("rolled_back", f"{session.site.name} runs {origin.name} again; nothing was lost.")
        if live is None:
            raise _stage_gone(session.site, record)
        journal.line(f"Deployment {row.id} was interrupted: going back to {origin.name}.", "warning")
        step, cause = _cause(records)
        if newest != "undone":
            engine.undo_all(journal, engine.begun_steps(records, live_steps(live)), step, cause)
        return work.end("rolled_back", settle(work, live, step, cause).sentence)
    except StageGone as error:
        if restores:
            end_maintenance(session.site, parsed_config(session.site, _record(records).before), records)
            return work.end("failed", f"{error.message} Given up: a backup is being restored.", error)
        raise
    except GitDeployError as error:
        with suppress(GitDeployError):
            journal.write("recovery-failed", "", {"error": error.message})
        raise


def _newest(records: list[Record]) -> str:
    """The last record that decides."""
    return next(r.kind for r in reversed(records) if r.kind in ("begin", "commit", "undoing", "undone"))


def _cause(records: list[Record]) -> tuple[str, GitDeployError]:
    """Where and why the deployment is undone: what failed before the kill, else the kill, which is no fault of the
    release."""
    for record in records:
        if record.kind == "undoing" and record.data.get("fault"):
            return record.step, DeploymentFailed(str(record.data["reason"]))
    begun = [record.step for record in records if record.kind == "begin"]
    return begun[-1], Interrupted(signal.SIGKILL, "it was killed, or the server went down.")


def _children(records: list[Record]) -> list[str]:
    ended = {record.data["marker"] for record in records if record.kind == "child-ended"}
    return [
        str(record.data["marker"])
        for record in records
        if record.kind == "child" and record.data["marker"] not in ended
    ]


def _leaders(records: list[Record]) -> list[process.Identity]:
    """The first process of each child that hasn't ended: its session holds all that the child started."""
    running = set(_children(records))
    found = (record.data for record in records if record.kind == "child-started" and record.data["marker"] in running)
    return [process.Identity(data["pid"], data["started"], data["boot"]) for data in found]


def _record(records: list[Record]) -> LiveRecord:
    plan = next((record for record in records if record.kind == "plan"), None)
    if plan is None:
        raise RollbackFailed("The journal has no plan of the interrupted deployment.", "See: gitdeploy log")
    return LiveRecord.from_dict(plan.data)


def _stage_gone(site: Site, record: LiveRecord) -> StageGone:
    return StageGone(
        f"The stage {path_text(str(site.state.stage / record.stage))} of the interrupted deployment is gone, so it can't "
        "be undone file by file.",
        f"Bring its backup back: gitdeploy restore {record.backup}",
    )


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
    work.backup = None
    sentence = f"Deployment {work.id} was interrupted before it touched anything live: {work.site.name} runs {work.origin.name} as before."
    if stage and work.action in CHANGING:
        owe(work, work.site.config, "failed", sentence, error="interrupted")
    return work.end("failed", sentence, DeploymentFailed("Interrupted before anything live was touched."))


# ---- what else a kill can leave ----


def _remove_stale_locks(site: Site, names: Sequence[str]) -> None:
    """Lock files of a killed git, NAMES and those of refs: removed when, and only when, no process has them open."""
    repository = site.repository
    folders = {repository.git_dir, repository.common_dir, *module_folders(repository)}
    locks = [folder / name for folder in folders for name in names if (folder / name).exists()]
    locks += [lock for folder in folders for lock in (folder / "refs").rglob("*.lock") if lock.is_file()]
    for lock in locks:
        if not _held(lock) and not _git_at_work(site):
            with suppress(FileNotFoundError):
                lock.unlink()


def _held(lock: Path) -> bool:
    """Whether a process has the file open. A git that waits or computes may have closed it: see `_git_at_work`."""
    name = os.path.realpath(lock)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                for descriptor in os.scandir(f"/proc/{entry}/fd"):
                    with suppress(OSError):
                        if os.readlink(descriptor.path) == name:
                            return True
    return False


def _git_at_work(site: Site) -> bool:
    """Whether any git runs in this checkout."""
    root = os.path.realpath(site.root)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if Path(f"/proc/{entry}/comm").read_text().strip() != "git":
                    continue
                folder = os.readlink(f"/proc/{entry}/cwd")
                if folder == root or folder.startswith(root + "/"):
                    return True
    return False


def _sweep(site: Site) -> None:
    """Stages, generations, temporary packs and unfinished backups that no deployment knows of."""
    prepared = set(prepared_stages(site.state.stage))
    git_dirs = [site.repository.git_dir, *module_folders(site.repository)]
    for stage in site.state.orphans(prepared):
        if (stage / FILE).exists() and _live_side(stage, site) == "between":
            _undo_orphan(stage, site)
        staging.discard_stage(stage, git_dirs)
    for folder in git_dirs:
        sweep_scratch(folder)
        for beside in folder.glob("gitdeploy.*.*"):  # of stages that are gone: a power cut may have brought these back
            if not (site.state.stage / beside.name.split(".")[1]).exists():
                beside.unlink(missing_ok=True)
    for name in os.listdir(site.state.backups):
        if (
            isinstance(entry := backups.read(site.state.backups, name), backups.Damaged)
            and "never finished" in entry.problem
        ):
            backups.remove(site.state.backups, name, site.repository)
    for backup in site.backups():
        site.repository.mend_ref(backups.REFS + backup.id, str(backup.snapshot["commit"]))
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
        switch.undo(moved(manifest, site.root), lambda: None)
