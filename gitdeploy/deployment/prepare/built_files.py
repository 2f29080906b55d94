"""Files that builds wrote into the release's folders go live and come back with their venv generation.

They are no files of the release: git ignores them, or knows nothing of them. So the switch gets them as further changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gitdeploy.checkout.changes import FileChange, look
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.text import path_text
from gitdeploy.venvs.built import BUILT, built_files, note_live


def built_changes(site: Site, plan: Plan, generation: str | None) -> list[FileChange]:
    """What the switch to GENERATION does to files that builds wrote. What is live of them now is kept with the live one.

    Raises `DeploymentFailed` where such a file can't be put in its place.
    """
    if plan.venv is None or generation is None:
        return []
    old, new = plan.venv.live.real, site.state.venvs / generation
    if old == new or not old.is_dir():
        return []
    return list(_changes(site, plan, old, new))


def _changes(site: Site, plan: Plan, old: Path, new: Path) -> Iterator[FileChange]:
    wanted, had = built_files(new), built_files(old)
    planned = {os.fsdecode(change.path) for change in plan.tree.changes}
    for path in sorted({*wanted, *had}):
        if path in planned or _is_tracked(plan, os.fsencode(path)):
            continue  # the release's own
        live = site.root / path
        parent = live.parent
        if os.path.realpath(parent) != os.path.join(os.path.realpath(site.root), os.path.dirname(path)).rstrip("/"):
            raise DeploymentFailed(
                tr(
                    "A build writes {path}, and its folder is a link in the checkout: it can't go live.",
                    path=path_text(path),
                ),
                tr("Put a folder in the link's place, or install the app without -e."),
            )
        there = live.is_file() and not live.is_symlink()
        if os.path.lexists(live) and not there:
            raise DeploymentFailed(
                tr("A build writes {path}, and there is no file in its place but something else.", path=path_text(path))
            )
        if path not in wanted:
            if there and live.read_bytes() == (old / BUILT / path).read_bytes():
                yield FileChange(os.fsencode(path), "deleted", seen=look(os.fsencode(live)))
            continue
        place = new / BUILT / path
        data = place.read_bytes()
        note_live(old, site.root, path)
        if there and live.read_bytes() == data:
            continue
        mode = 0o100755 if os.access(place, os.X_OK) else 0o100644
        yield FileChange(
            os.fsencode(path),
            "changed" if there else "added",
            mode,
            content=data,
            seen=look(os.fsencode(live)) if there else None,
        )


def _is_tracked(plan: Plan, path: bytes) -> bool:
    """Whether the release, or the submodule that PATH lies in, has it."""
    prefix = max((one for one in plan.checkout.owners if not one or path.startswith(one + b"/")), key=len)
    owner = plan.checkout.owners[prefix]
    tree = owner.target.index_tree if owner.target is not None else plan.goal.index_tree
    return owner.repository.read_blob(tree, os.fsdecode(owner.inside(path))) is not None
