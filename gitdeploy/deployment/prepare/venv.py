"""The new venv, built beside the live one."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.deployment.plan.target_files import TargetFiles
from gitdeploy.deployment.plan.took import reused
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.messages import joined, tr
from gitdeploy.text import count
from gitdeploy.versions import CodeState


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


def _free_generation(folder: Path, release: CodeState, ending: str = "") -> str:
    """A name by time and version that no generation has."""
    version = re.sub(r"[^A-Za-z0-9._-]+", "-", release.version or release.commit[:10])
    base = tr("{now}-{version}{ending}", now=f"{datetime.now(UTC):%Y%m%d-%H%M%S}", version=version, ending=ending)
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
            shown.status, shown.summary = "skipped", tr("prepared before")
            return
        if plan.venv.reuse is not None:
            shown.status = "skipped" if plan.venv.unchanged else "running"
            same = tr("no requirements to install") if plan.venv.requirements.nothing else tr("requirements unchanged")
            shown.summary = same if plan.venv.unchanged else reused(plan.venv.reuse)
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
        parts.append(tr("{changed} more", changed=len(changes.changed) - 3))
    if changes.added:
        parts.append(count(len(changes.added), "new package"))
    if changes.removed:
        parts.append(tr("{count} removed", count=count(len(changes.removed), "package")))
    return joined(", ", parts) or tr("no package changed")
