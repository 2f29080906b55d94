"""Files that say what the app needs, that a release changes, and that nothing installs."""

from __future__ import annotations

import os

from gitdeploy import venvs
from gitdeploy.checkout.changes import TreePlan
from gitdeploy.checkout.git import Repository
from gitdeploy.deployment.plan.venv import VenvPlan
from gitdeploy.messages import tr
from gitdeploy.site.dependencies import it_or_them, shown_names, way_to
from gitdeploy.text import listing, path_text


def not_installed(repository: Repository, trees: tuple[str, str], tree: TreePlan, venv: VenvPlan | None) -> list[str]:
    """Sentences on files that change in a release and say what the app needs, where no change of them is installed.
    TREES: of what is live, and of the release."""
    changed = [os.fsdecode(change.path) for change in tree.changes if change.kind != "deleted" and not change.owner]
    saying = [path for path in changed if venvs.says_needs(path)]
    if not saying:
        return []
    nothing = venv is None or venv.requirements.nothing
    if venv is not None and (venv.requirements.itself or any(path in venv.requirements.files for path in saying)):
        return []
    # A project file changes with each version; what it says of packages changes seldom.
    saying = [path for path in saying if _says_otherwise(repository, trees, path, unsure=nothing)]
    if not saying:
        return []
    if venv is None:
        return [
            tr(
                "{shown_names} in this release, and the app has no venv that gitdeploy installs into (venv.path).",
                shown_names=shown_names(saying),
            )
        ]
    if nothing:
        return [
            tr(
                "{shown_names} in this release. Nothing installs {it_or_them}: {way_to}",
                shown_names=shown_names(saying),
                it_or_them=it_or_them(saying),
                way_to=way_to(saying),
            )
        ]
    sources = listing([path_text(path) for path in venv.requirements.sources], 3)
    return [
        tr(
            "{shown_names} in this release, and what is installed doesn't: {sources}.",
            shown_names=shown_names(saying),
            sources=sources,
        )
    ]


def _says_otherwise(repository: Repository, trees: tuple[str, str], path: str, *, unsure: bool) -> bool:
    """Whether PATH says something else of packages in the second of TREES than in the first; UNSURE: what counts for
    files that are programs."""
    name = os.path.basename(path)
    if name in ("setup.py", "setup.cfg"):
        return unsure
    if name != "pyproject.toml":
        return True
    import tomllib

    said = []
    for tree in trees:
        try:
            read = tomllib.loads((repository.read_blob(tree, path) or b"").decode("utf-8", "replace"))
        except tomllib.TOMLDecodeError:
            return True
        about, poetry = read.get("project", {}), read.get("tool", {}).get("poetry", {})
        said.append(
            [read.get("dependency-groups"), poetry.get("dependencies"), poetry.get("group")]
            + [about.get(key) for key in ("dependencies", "optional-dependencies", "requires-python", "dynamic")]
        )
    return said[0] != said[1]
