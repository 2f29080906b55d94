"""Files that say what an app needs, and that nothing installs: what `plan`, `upgrade` and `doctor` say of them.

A release of an app that is described by an `uv.lock` alone changes what it needs there. Nothing that was not installed is
reported as unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.checkout.changes import TreePlan
from gitdeploy.checkout.git import Repository
from gitdeploy.deployment.plan_venv import VenvPlan
from gitdeploy.text import listing, path_text
from gitdeploy.venvs import Requirements
from gitdeploy.venvs.described import LOCKS

_LOOKED_AT = (*LOCKS, "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "environment.yml")


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
        return [f"{_names(saying)} in this release, and the app has no venv that gitdeploy installs into (venv.path)."]
    if nothing:
        return [f"{_names(saying)} in this release. Nothing installs {_it(saying)}: {_way(saying)}"]
    sources = listing([path_text(path) for path in venv.requirements.sources], 3)
    return [f"{_names(saying)} in this release, and what is installed doesn't: {sources}."]


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


def _it(paths: Sequence[str]) -> str:
    return "it" if len(paths) == 1 else "them"


def uninstalled_here(root: Path, requirements: Requirements) -> str | None:
    """A sentence where the checkout says what the app needs, and nothing is installed of it."""
    if not requirements.nothing:
        return None
    found = list(_described(root))
    return (
        f"{listing(found, 3)} {'says' if len(found) == 1 else 'say'} what the app needs, and nothing installs it."
        if found
        else None
    )


def what_installs(venv: VenvPlan) -> str:
    """Why no package needs to change, as far as that was seen."""
    if venv.requirements.nothing:
        return "a copy of the live one; no file says what is to be installed (venv.requirements)"
    return "a copy of the live one, the requirements installed into it; no package is known to change"


def way_to_install(root: Path) -> str:
    """What makes gitdeploy install what the checkout at ROOT describes."""
    return _way(list(_described(root)))


def best_described(root: Path) -> str | None:
    """The file of the checkout at ROOT that says best what the app needs, of those that can be installed from."""
    found = sorted((path for path in _described(root) if venvs.can_install(path)), key=_rank)
    return found[0] if found else None


def _described(root: Path) -> Iterator[str]:
    for name in _LOOKED_AT:
        if (root / name).is_file():
            yield name
    for folder in (root, root / "requirements"):
        for file in sorted(folder.glob("*.txt")):
            name = str(file.relative_to(root))
            if venvs.says_needs(name):
                yield name


def _names(paths: Sequence[str]) -> str:
    return f"{listing([path_text(path) for path in paths], 3)} {'changes' if len(paths) == 1 else 'change'}"


def _way(paths: Sequence[str]) -> str:
    best = sorted((path for path in paths if venvs.can_install(path)), key=_rank)
    if best:
        return f"venv: {{requirements: [{best[0]}]}} in deploy.yaml"
    if any(os.path.basename(path) in ("setup.py", "setup.cfg") for path in paths):
        return "venv: {self: editable} in deploy.yaml"
    return "let the release bring a requirements.txt"


def _rank(path: str) -> tuple[int, str]:
    name = os.path.basename(path)
    return (LOCKS.index(name) if name in LOCKS else 90 if name == "pyproject.toml" else 50, path)
