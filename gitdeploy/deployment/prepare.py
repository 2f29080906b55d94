"""Everything above the line: fetch, preflight, backup, the new venv, the stage. Nothing live is touched here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from gitdeploy import backups, faultpoints, interruption, venvs
from gitdeploy.backups import Backup
from gitdeploy.checkout import stage as staging
from gitdeploy.checkout import switch
from gitdeploy.checkout.changes import FileChange
from gitdeploy.checkout.durable import sync_file_systems
from gitdeploy.checkout.git import BACKUP_REFS, NO_ACCESS, Access
from gitdeploy.checkout.lfs import uses_lfs
from gitdeploy.checkout.manifest import Manifest
from gitdeploy.checkout.modes import Modes, read_modes
from gitdeploy.checkout.modules import module_folders
from gitdeploy.checkout.remote import access_by
from gitdeploy.checkout.snapshot import Snapshot, take_snapshot
from gitdeploy.checkout.times import Newest
from gitdeploy.config import Config
from gitdeploy.databases import open_databases
from gitdeploy.deployment.app_environment import app_environment
from gitdeploy.deployment.built_files import built_changes
from gitdeploy.deployment.data import INCLUDED, KEPT, dump_into
from gitdeploy.deployment.data_release import data_release
from gitdeploy.deployment.database_files import database_files
from gitdeploy.deployment.live import CHANGED_FILES, Live, LiveRecord
from gitdeploy.deployment.plan import Plan, TargetFiles
from gitdeploy.deployment.session import Work
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.deployment.steps import run_stage
from gitdeploy.deployment.submodule_states import drop_refs, outside_submodules, record_states
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError
from gitdeploy.text import count, listing, path_text, size_text
from gitdeploy.venvs.flip import Flip


class Preparation(Struct):
    """What has been made ready so far; `discard` throws it away."""

    work: Work
    plan: Plan
    stage: str
    backup: Backup | None = None
    snapshot: Snapshot | None = None
    generation: str | None = None  # that will be live
    built: str | None = None  # that this deployment made
    flip: Flip | None = None
    manifest: Manifest | None = None
    with_data: bool = False  # a restore that exchanges the data too
    reused: str | None = None  # the name of the prepared stage that this comes from
    made_refs: list[tuple[Any, str]] = field(default_factory=list)

    def discard(self) -> None:
        """Back to nothing: the stage, the half-made generation and the backup of a state that is still live."""
        site = self.work.site
        discard_leftovers(site, self.stage, self.built, self.backup.id if self.backup else None)


def discard_leftovers(site: Any, stage: str, built: str | None, backup: str | None) -> None:
    """Throw away what a deployment had prepared before it touched anything live."""
    git_dirs = {site.repository.git_dir, *module_folders(site.repository)}
    with suppress(GitDeployError):
        if (manifest := Manifest.read(site.state.stage / stage)) is not None:
            switch.release_locks(manifest)
            git_dirs |= {control.source for control in manifest.controls}
    staging.discard_stage(site.state.stage / stage, git_dirs)
    if built is not None:
        venvs.Builder(site.root, site.state.path, site.config.venv).discard(built)
    if backup is not None:
        drop_refs(site.repository, backup)
        backups.remove(site.state.backups, backup, site.repository)


# ---- policy ----


def refuse_problems(plan: Plan) -> None:
    """Raise all problems of a plan at once: by policy (exit 7) where one is, else exit 1."""
    if not plan.problems:
        return
    first, *rest = plan.problems
    kind = PolicyError if any(problem.refused for problem in plan.problems) else DeploymentFailed
    details = [text for p in rest for text in (p.message, *([f"  {p.hint}"] if p.hint else []))]
    raise kind(first.message, first.hint, details=tuple(details))


def free_stage_name(folder: Path, deployment: int) -> str:
    """A name for this deployment's stage that nothing has, even where state.db was lost and numbers start again."""
    number = 0
    while os.path.lexists(folder / (name := f"{deployment:06d}" + (f"-{number}" if number else ""))):
        number += 1
    return name


# ---- the steps ----


def make_backup(preparation: Preparation, reason: str, label: str = "") -> None:
    """The present state as a git ref and a folder: code, kept files, `backup.include`, dumps, the live generation."""
    work, plan = preparation.work, preparation.plan
    site = work.site
    with work.journal.step("backup") as shown:
        identity = backups.new_id(site.state.backups, plan.origin.tag or plan.origin.version)
        work.journal.write("backup", "", {"id": identity})
        work.backup = identity
        preparation.backup, preparation.snapshot = create_backup(
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
                f"It alone holds your local {'change' if len(plan.tree.saved) == 1 else 'changes'} to "
                f"{listing([path_text(path) for path in plan.tree.saved])}."
            )


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
) -> tuple[Backup, Snapshot]:
    """Write a backup: objects and files first, then the ref, last the manifest, which makes it count. DUMPS: databases
    are dumped into it now."""
    site, config = work.site, work.site.config
    folder = site.state.backups / identity
    folder.mkdir(mode=0o700)
    databases = open_databases(config.backup.databases, site.root, app_environment(site))
    leave = database_files(databases, site.root, (*config.git.keep, *config.backup.include))
    also = [path for path in plan.tree.saved if path not in plan.local.changed()]
    own = outside_submodules(site.repository, also)
    snapshot = take_snapshot(
        site.repository, plan.local.without(leave, site.root), own, f"gitdeploy backup {identity}\n\n{reason}\n"
    )
    submodules = record_states(site.repository, plan.local, plan.checkout, also, identity, _encoded)
    kept: list[str] = []
    not_copied: list[str] = []
    for path in backups.matching_paths(site.root, config.git.keep):
        (kept if backups.content_size(site.root, [path]) <= backups.KEPT_LIMIT else not_copied).append(path)
    kept = backups.copy_paths(site.root, kept, folder / KEPT, leave)
    for path in not_copied:
        size = size_text(backups.content_size(site.root, [path]))
        work.journal.line(
            f"{path_text(path)} ({size}) stays where it is and is not copied into the backup; "
            "to have it copied: backup.include.", "warning"
        )  # fmt: skip
    included = backups.copy_paths(
        site.root, backups.matching_paths(site.root, config.backup.include), folder / INCLUDED, leave
    )
    dumped = dump_into(databases, folder, work.journal) if dumps else []
    site.repository.update_ref(BACKUP_REFS + identity, snapshot.commit)
    faultpoints.point("backup ref")
    live = plan.venv.live if plan.venv is not None else None
    modes = read_modes(site.root, [*plan.local.tracked, *_tracked_inside(plan)])
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
        snapshot=_encoded(snapshot),
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
    )
    sync_file_systems(site.repository.git_dir, folder)
    backups.write(site.state.backups, backup)
    return backup, snapshot


def _tracked_inside(plan: Plan) -> Iterator[tuple[bytes, int]]:
    """Tracked files of the submodules that the plan changes: path, git's mode."""
    for part in plan.checkout.submodules:
        if part.local is not None and part.held is not None:
            yield from ((part.held.outside(path), mode) for path, mode in part.local.tracked)


def _venv_identity(live: venvs.LiveVenv | None) -> str | None:
    """What finds a plain venv again after it was adopted as a generation: its folder's inode."""
    if live is None:
        return None
    with suppress(OSError):
        return str(live.real.stat().st_ino)
    return None


def _encoded(snapshot: Snapshot) -> dict[str, Any]:
    data = asdict(snapshot)
    for name in ("exact", "untracked", "hidden"):
        data[name] = [os.fsdecode(path) for path in data[name]]
    return data


def name_generation(preparation: Preparation) -> None:
    """Decide which generation will be live, and by which flip; nothing is made yet."""
    plan, site = preparation.plan, preparation.work.site
    if plan.venv is None:
        return
    if plan.venv.reuse is not None:
        preparation.generation = plan.venv.reuse
    else:
        preparation.generation = _free_generation(site.state.venvs, plan.target)
    preparation.flip = venvs.plan_flip(
        plan.venv.live,
        preparation.generation,
        site.state.venvs,
        adopted=_free_generation(site.state.venvs, plan.origin, "-adopted"),
    )


def _free_generation(folder: Path, release: Release3, ending: str = "") -> str:
    """A name by time and version that no generation has."""
    version = re.sub(r"[^A-Za-z0-9._-]+", "-", release.version or release.commit[:10])
    base = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{version}{ending}"
    name, number = base, 1
    while os.path.lexists(folder / name):
        number += 1
        name = f"{base}-{number}"
    return name


def build_venv(preparation: Preparation) -> None:
    """The new generation, off to the side; the live venv is never touched."""
    plan, work = preparation.plan, preparation.work
    site = work.site
    if plan.venv is None or preparation.generation is None:
        return
    with work.journal.step("build") as shown:
        if preparation.reused is not None:
            shown.status, shown.summary = "skipped", "prepared before"
            return
        if plan.venv.reuse is not None:
            shown.status = "skipped" if plan.venv.unchanged else "running"
            same = "no requirements to install" if plan.venv.requirements.nothing else "requirements unchanged"
            shown.summary = same if plan.venv.unchanged else f"venv {plan.venv.reuse}"
            return
        preparation.built = preparation.generation
        work.journal.write("build", "", {"generation": preparation.generation})
        builder = venvs.Builder(site.root, site.state.path, plan.after.venv)
        built = builder.build(
            preparation.generation,
            plan.venv.live,
            plan.venv.requirements,
            TargetFiles(site.repository, site.root, plan.goal, plan.checkout),
            on_line=work.journal.output,
            on_progress=lambda text: work.journal.progress("build", text),
            rebuild=plan.venv.rebuild,
        )
        for warning in built.warnings:
            work.journal.line(warning, "warning")
        shown.summary = changes_text(built.changes)


def changes_text(changes: venvs.Changes) -> str:
    """`APScheduler 3.10.1 -> 3.10.4, 1 new package`."""
    parts = [f"{name} {old} -> {new}" for name, (old, new) in list(changes.changed.items())[:3]]
    if len(changes.changed) > 3:
        parts.append(f"{len(changes.changed) - 3} more")
    if changes.added:
        parts.append(count(len(changes.added), "new package"))
    if changes.removed:
        parts.append(f"{count(len(changes.removed), 'package')} removed")
    return ", ".join(parts) or "no package changed"


def stage_files(preparation: Preparation, modes: Modes | None = None) -> None:
    """Every file that the switch will put in place, written and durable beside the live tree."""
    plan, work = preparation.plan, preparation.work
    site = work.site
    with work.journal.step("stage") as shown:
        folder = site.state.stage / preparation.stage
        folder.mkdir(mode=0o700, exist_ok=True)
        saved = (site.state.backups / preparation.backup.id if preparation.backup else folder) / "saved"
        parts = _parts(site, plan, modes or Modes(), built_changes(site, plan, preparation.generation))
        changed = b"".join(
            os.fsencode(path) + b"\0" for kind in ("added", "changed", "deleted") for path in plan.files(kind)
        )
        (folder / CHANGED_FILES).write_bytes(changed)
        newest = Newest(site.state.newest)
        preparation.manifest = staging.stage_switch(
            preparation.stage,
            site.root,
            folder,
            saved,
            parts,
            folders=plan.tree.folders,
            emptied=plan.tree.emptied,
            newest=newest.read(),
            progress=lambda done, total: work.journal.progress(
                "stage", f"{done} of {total} files", done / max(total, 1)
            ),
        )
        newest.keep(preparation.manifest.newest)
        shown.summary = count(len(preparation.manifest.items), "file")


def _parts(site: Site, plan: Plan, modes: Modes, built: Sequence[FileChange]) -> list[staging.Part]:
    """The share of each repository in the switch, the checkout's own first."""
    parts = [
        staging.Part(
            site.repository,
            [*plan.checkout.of_owner(b""), *built],
            plan.goal,
            (site.repository.git_dir / "HEAD").read_text(),
            modes=modes,
            hidden=plan.local.hidden,
            access=_lfs_access(site, plan),
            settings=plan.checkout.settings,
        )
    ]
    for part in plan.checkout.submodules:
        if part.goal is not None:
            inside = part.path + b"/"
            odd = {path[len(inside) :]: m for path, m in modes.odd.items() if path.startswith(inside)}
            parts.append(
                staging.Part(
                    part.objects,
                    plan.checkout.of_owner(part.path),
                    part.goal,
                    part.head,
                    part.path,
                    part.source if part.created else None,
                    modes=Modes(odd, modes.usual),
                    hidden=part.local.hidden if part.local is not None else (),
                    settings=part.settings,
                )
            )
    return parts


def _lfs_access(site: Site, plan: Plan) -> Access:
    """What git-lfs proves itself by where the release keeps files there: what git itself does at the remote's host."""
    from gitdeploy.deployment.release import fetch_places

    if not uses_lfs(site.repository, plan.goal.tree, plan.changes):
        return NO_ACCESS
    remote, credentials = fetch_places(site)[0]
    access = access_by(credentials)
    named = (f"remote.lfsdefault={remote}",) if ":" not in remote and "/" not in remote else ()
    return Access((*access.options, *named), access.environment)


def into_live(preparation: Preparation, *, data_from: str | None = None) -> Live:
    """Everything is ready: the record for a later process, and what the live steps share."""
    plan, work = preparation.plan, preparation.work
    assert preparation.manifest is not None
    record = LiveRecord(
        action=plan.action,
        stage=preparation.stage,
        backup=preparation.backup.id if preparation.backup else None,
        origin=plan.origin,
        target=plan.target,
        before=_text(plan.before),
        after=_text(plan.after),
        flip=preparation.flip.as_dict() if preparation.flip is not None else None,
        built=preparation.built,
        kept_data=[os.fsdecode(path) for path in plan.tree.kept_data],
        data_from=data_from,
        restart=plan.options.restart,
        hooks=plan.options.hooks,
        automatic=work.session.caller.automatic,
        performer=work.session.caller.performer,
        unhealthy=plan.unhealthy,
    )
    work.journal.write("plan", "", record.as_dict())
    return Live(
        work.site,
        work.journal,
        record,
        preparation.manifest,
        preparation.flip,
        plan.before,
        plan.after,
        plan.services,
        packages=plan.venv.found if plan.venv is not None and preparation.built is not None else None,
    )


def _text(config: Config) -> str:
    return (config.text or b"").decode("utf-8", "surrogateescape")


def run_early_hooks(live: Live, stage: str) -> None:
    """Hooks that run while the old code is still live; a failure stops the deployment with nothing touched."""
    if not live.record.hooks:
        return
    from gitdeploy.hooks import find_hooks

    if not find_hooks(live.site.root, live.before.hooks, stage):
        return
    with live.journal.step(stage) as shown:
        interruption.check()
        shown.summary = run_stage(live, live.before, stage)
