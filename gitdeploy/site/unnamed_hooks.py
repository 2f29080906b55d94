"""A folder that looks like hooks, and that nobody asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitdeploy.checkout.changes import FileChange
from gitdeploy.config import Config
from gitdeploy.hooks.running import FOLDER, STAGES, stage_of
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.text import listing, path_text

PROPOSED = (FOLDER, "deploy/hooks", ".gitdeploy-hooks")  # folders that `init` names, whether they are there yet or not
WAYS = tr(
    "If it holds hooks of gitdeploy's, write into deploy.yaml:  hooks: {{dir: hooks}}   If not:  hooks: {{dir: null}}"
)


def unnamed(site: Site, config: Config, coming: Iterable[FileChange] = ()) -> list[str]:
    """Files below `hooks/` that are named like hooks, where CONFIG says nothing of it: gitdeploy ran such by itself once."""
    if config.hooks.dir is not None or config.where.get("hooks.dir", "default") != "default":
        return []
    found = set(named_like_hooks(site.root))
    for change in coming:
        (found.discard if change.kind == "deleted" else found.add)(path_text(change.path))
    return sorted(name for name in found if stage_of(FOLDER, name))


def named_like_hooks(root: Path) -> list[str]:
    """Files in `hooks/` that have the name of a stage, or are in the folder of one (`migrate.d`)."""
    found = set()
    for place in (FOLDER, *(f"{FOLDER}/{stage}.d" for stage in STAGES)):
        with suppress(OSError):
            found |= {f"{place}/{name}" for name in os.listdir(root / place) if (root / place / name).is_file()}
    return sorted(name for name in found if stage_of(FOLDER, name))


def ran_before(site: Site) -> bool:
    """Whether an earlier deployment here ran hooks of a folder `hooks`."""
    database = site.read_database()
    if database is None:
        return False
    with database:
        return any(
            step["name"] in STAGES and f"{FOLDER}/" in step.get("summary", "")
            for row in database.deployments()
            for step in row.steps
        )


def not_run(names: list[str]) -> str:
    """That NAMES, of `unnamed`, aren't run, and why."""
    verb = tr("isn't run") if len(names) == 1 else tr("aren't run")
    return tr(
        "{names} {verb}: deploy.yaml doesn't name the folder {folder}.",
        names=listing(names, 5),
        verb=verb,
        folder=FOLDER,
    )
