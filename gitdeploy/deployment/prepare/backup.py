"""The backup that every deployment begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.backups import copying, encrypted, store
from gitdeploy.backups.places import INCLUDED, KEPT
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.git import BACKUP_REFS
from gitdeploy.checkout.modes import read_modes
from gitdeploy.checkout.snapshot import Snapshot, take_snapshot
from gitdeploy.databases import open_databases
from gitdeploy.deployment.live.dumps import dump_into
from gitdeploy.deployment.plan.data_release import data_release
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.deployment.prepare.submodule_states import outside_submodules, record_states
from gitdeploy.deployment.record.work import Work
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.keeping import database_files
from gitdeploy.site.second_half import waiting_data
from gitdeploy.site.submodule_refs import drop_refs
from gitdeploy.system import faultpoints, interruption, progress
from gitdeploy.system.durable import sync_file_systems
from gitdeploy.text import listing, path_text, size_text
from gitdeploy.upkeep.encrypting import identity_of


def make_backup(preparation: Preparation, reason: str, label: str = "") -> None:
    """The present state as a git ref and a folder: code, kept files, `backup.include`, dumps, the live generation."""
    work, plan = preparation.work, preparation.plan
    site = work.site
    with work.journal.step("backup") as shown:
        identity = store.new_id(
            site.state.backups, plan.origin.tag or plan.origin.version, work.database.backups_made()
        )
        work.journal.write("backup", "", {"id": identity})
        work.backup = identity
        preparation.backup = create_backup(
            work,
            plan,
            identity,
            reason,
            label,
            generation=_backup_generation(preparation),
            dumps=False,  # as late as can be: see data_late.py
        )
        shown.summary = identity
        if plan.tree.saved:
            work.journal.line(
                tr(
                    "It alone holds your local change to {names}."
                    if len(plan.tree.saved) == 1
                    else "It alone holds your local changes to {names}.",
                    names=listing([path_text(path) for path in plan.tree.saved]),
                )
            )


def decrypt(preparation: Preparation, backup: Backup) -> None:
    """BACKUP's files, where they are encrypted, stand beside that until the deployment has ended."""
    work = preparation.work
    folder = work.site.state.backups / backup.id
    parts = encrypted.parts(folder)
    if not parts:
        return
    with work.journal.step("decrypt") as shown:
        sentence = encrypted.decrypt(folder, backup, identity_of(work.site, preparation.plan.options.identity))
        if sentence:
            work.journal.line(sentence, "warning")
        shown.summary = listing([part.name for part in parts], 3)


def _backup_generation(preparation: Preparation) -> str | None:
    live = preparation.plan.venv.live if preparation.plan.venv is not None else None
    if live is None:
        return None
    if live.generation is not None:
        return live.generation
    flip = preparation.flip
    return Path(flip.adopt_as).name if flip is not None and flip.adopt_as else None


def create_backup(
    work: Work, plan: Plan, identity: str, reason: str, label: str, *, generation: str | None, dumps: bool
) -> Backup:
    """Write a backup: objects and files first, then the ref, last the manifest, which makes it count. DUMPS: databases
    are dumped into it now. Half a one is not left behind."""
    folder = work.site.state.backups / identity
    folder.mkdir(mode=0o700)
    try:
        return _fill(work, plan, folder, reason, label, generation=generation, dumps=dumps)
    except BaseException:
        with interruption.shield(), suppress(GitDeployError):
            drop_refs(work.site.repository, identity)
            store.remove(folder.parent, identity, work.site.repository)
        raise


def _fill(
    work: Work, plan: Plan, folder: Path, reason: str, label: str, *, generation: str | None, dumps: bool
) -> Backup:
    site, config, identity = work.site, work.site.config, folder.name
    databases = open_databases(config.backup.databases, site.root, app_environment(site))
    leave = database_files(databases, site.root, (*config.git.keep, *config.backup.include))
    also = [path for path in plan.tree.saved if path not in plan.local.changed()]
    own = outside_submodules(site.repository, also)
    snapshot = take_snapshot(
        site.repository,
        plan.local.without(leave, site.root),
        own,
        f"gitdeploy backup {identity}\n\n{reason}\n",
    )
    submodules = record_states(site.repository, plan.local, plan.checkout, also, identity)
    with progress.of(tr("copying files"), "bytes", plan.copies.new, about=True):
        kept, not_copied = _copy_kept(work, folder, leave)
        included = copying.copy_for_backup(
            site.root, copying.matching_paths(site.root, config.backup.include), folder / INCLUDED, leave
        )
    dumped = dump_into(databases, folder, work.journal) if dumps else []
    site.repository.update_ref(BACKUP_REFS + identity, snapshot.commit)
    faultpoints.point("backup ref")
    live = plan.venv.live if plan.venv is not None else None
    modes = read_modes(site.root, [*plan.local.tracked, *_tracked_inside(plan), *_saved(site.root, plan, snapshot)])
    backup = Backup(
        id=identity,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        app=site.name,
        version=plan.origin.version,
        tag=plan.origin.tag,
        commit=plan.local.head,
        branch=plan.local.branch,
        reason=reason,
        label=label,
        snapshot=snapshot,
        submodules=submodules,
        all_submodules=True,
        generation=generation,
        venv=_venv_identity(live),
        kept=kept,
        kept_data=[os.fsdecode(path) for path in plan.tree.kept_data],
        included=included,
        not_copied=not_copied,
        dumps=[dump.as_dict() for dump in dumped],
        modes={os.fsdecode(path): recorded for path, recorded in modes.odd.items()},
        usual_modes={f"{mode:o}": permissions for mode, permissions in modes.usual.items()},
        data_release=data_release(work.database, plan.origin) if databases else None,
        second_halves=waiting_data(work.database) if databases else None,
    )
    sync_file_systems(site.repository.git_dir, folder)
    store.write(site.state.backups, backup)
    return backup


def _copy_kept(work: Work, folder: Path, leave: frozenset[Path]) -> tuple[list[str], list[str]]:
    """Copy the content of keep paths into the backup in FOLDER; (those copied, those too large for it)."""
    site = work.site
    small: list[str] = []
    large: list[str] = []
    for path in copying.matching_paths(site.root, site.config.git.keep):
        (small if copying.content_size(site.root, [path]) <= store.KEPT_LIMIT else large).append(path)
    for path in large:
        size = size_text(copying.content_size(site.root, [path]))
        work.journal.line(
            tr("{path} ({size}) stays where it is and is not copied into the backup; to have it copied: " "backup.include.", path=path_text(path), size=size), "warning"
        )  # fmt: skip
    return copying.copy_for_backup(site.root, small, folder / KEPT, leave), large


def _tracked_inside(plan: Plan) -> Iterator[tuple[bytes, int]]:
    """Tracked files of the submodules that the plan changes: path, git's mode."""
    for part in plan.checkout.submodules:
        if part.local is not None and part.held is not None:
            yield from ((part.held.outside(path), mode) for path, mode in part.local.tracked)


def _saved(root: Path, plan: Plan, snapshot: Snapshot) -> Iterator[tuple[bytes, int]]:
    """Files that SNAPSHOT holds though git doesn't track them any more, or never did: path, git's mode."""
    own = {*snapshot.untracked, *plan.local.changed()} - {path for path, _ in plan.local.tracked}
    for path in sorted(own):
        with suppress(OSError):
            yield path, 0o100755 if os.lstat(os.fsencode(root) + b"/" + path).st_mode & 0o100 else 0o100644


def _venv_identity(live: venvs.LiveVenv | None) -> str | None:
    """What finds a plain venv again after it was adopted as a generation: its folder's inode."""
    if live is None:
        return None
    with suppress(OSError):
        return str(live.real.stat().st_ino)
    return None
