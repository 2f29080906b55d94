"""The release's files, staged beside the live ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.checkout import stage as staging
from gitdeploy.checkout import stage_parts
from gitdeploy.checkout.changes import FileChange
from gitdeploy.checkout.facts import NO_ACCESS, Access
from gitdeploy.checkout.lfs import uses_lfs
from gitdeploy.checkout.modes import Modes
from gitdeploy.checkout.remote_access import access_by
from gitdeploy.checkout.times import Newest
from gitdeploy.deployment.live.live import CHANGED_FILES
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.prepare.built_files import built_changes
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.messages import tr
from gitdeploy.site.remotes import fetch_places
from gitdeploy.site.site import Site
from gitdeploy.system import progress
from gitdeploy.text import count


def free_stage_name(folder: Path, deployment: int) -> str:
    """A name for this deployment's stage that nothing has, even where state.db was lost and numbers start again."""
    number = 0
    while os.path.lexists(folder / (name := f"{deployment:06d}" + (f"-{number}" if number else ""))):
        number += 1
    return name


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
        with progress.of(tr("laying out the files"), "files", sum(len(part.changes) for part in parts)):
            preparation.manifest = staging.stage_switch(
                preparation.stage,
                site.root,
                folder,
                saved,
                parts,
                folders=plan.tree.folders,
                emptied=plan.tree.emptied,
                newest=newest.read(),
            )
        newest.keep(preparation.manifest.newest)
        shown.summary = count(len(preparation.manifest.items), "file")


def _parts(site: Site, plan: Plan, modes: Modes, built: Sequence[FileChange]) -> list[stage_parts.Part]:
    """The share of each repository in the switch, the checkout's own first."""
    parts = [
        stage_parts.Part(
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
                stage_parts.Part(
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
    if not uses_lfs(site.repository, plan.goal.tree, plan.changes):
        return NO_ACCESS
    remote, credentials = fetch_places(site)[0]
    access = access_by(credentials)
    named = (f"remote.lfsdefault={remote}",) if ":" not in remote and "/" not in remote else ()
    return Access((*access.options, *named), access.environment)
