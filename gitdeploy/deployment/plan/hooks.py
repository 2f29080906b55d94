"""Hooks in a plan: what the target brings and deletes of them, and a folder that looks like hooks but wasn't asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from gitdeploy.checkout.changes import LINK, FileChange, Problem, TreePlan
from gitdeploy.config import Config
from gitdeploy.hooks.running import Hook, linked, not_executable, stage_of
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.site.unnamed_hooks import WAYS, not_run, ran_before, unnamed
from gitdeploy.text import path_text


def changes(root: Path, folder: str | None, tree: TreePlan) -> dict[str, str]:
    """Path of each hook in FOLDER that the target brings, changes or deletes -> added, changed, deleted."""
    return {name: change.kind for name, change in _changed(root, folder, tree)}


def as_they_will_be(
    hooks: Mapping[str, tuple[Hook, ...]],
    root: Path,
    folder: str | None,
    tree: TreePlan,
) -> dict[str, tuple[Hook, ...]]:
    """HOOKS as the target has them in the stages after the switch: what it brings is there, what it deletes is not."""
    changed = dict(_changed(root, folder, tree))
    then: dict[str, tuple[Hook, ...]] = {}
    for stage, found in hooks.items():
        if stage.startswith("pre-"):
            then[stage] = found  # they run before the switch, as they are on disk now
            continue
        coming = [
            Hook(stage, name, (), problem=_problem(name, change.mode))
            for name, change in sorted(changed.items())
            if change.kind == "added" and stage_of(str(folder), name) == stage
        ]
        gone = {name for name, change in changed.items() if change.kind == "deleted"}
        stay = [
            replace(hook, problem=wrong)
            if hook.name in changed and (wrong := _problem(hook.name, changed[hook.name].mode)) is not None
            else hook
            for hook in found
            if hook.name not in gone
        ]
        then[stage] = (*stay, *coming)
    return then


def _problem(name: str, mode: int) -> str | None:
    return linked(name) if mode == LINK else None if mode & 0o111 else not_executable(name)


def _changed(root: Path, folder: str | None, tree: TreePlan) -> Iterator[tuple[str, FileChange]]:
    """(path below FOLDER, change) of each hook that changes, also where FOLDER is a link or in a submodule."""
    if folder is None:
        return
    real = os.path.relpath(os.path.realpath(root / folder), os.path.realpath(root))
    places = dict.fromkeys((folder, real))
    for change in tree.changes:
        path = path_text(change.path)
        for place in places:
            if stage_of(place, path):
                yield folder + path.removeprefix(place), change
                break


# ---- a folder that nobody asked for ----


def not_asked_for(site: Site, action: str, after: Config, tree: TreePlan) -> tuple[list[Problem], list[str]]:
    """Problems and warnings about what looks like hooks and won't be run. Where such hooks did run here, an upgrade without
    them would lose a migration or a build: it is refused. The way back never is."""
    names = unnamed(site, after, tree.changes)
    if not names:
        return [], []
    if action == "upgrade" and ran_before(site):
        return [
            Problem(
                tr("{not_run} Earlier deployments here ran such hooks.", not_run=not_run(names)), WAYS, refused=True
            )
        ], []
    return [], [tr("{not_run} {ways}", not_run=not_run(names), ways=WAYS)]
