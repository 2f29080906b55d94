"""Files that say what an app needs, and that nothing installs: what `plan`, `upgrade` and `doctor` say of them.

A release of an app that is described by an `uv.lock` alone changes what it needs there. Nothing that was not installed is
reported as unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.messages import tr
from gitdeploy.text import listing, path_text
from gitdeploy.venvs import Requirements
from gitdeploy.venvs.described import LOCKS

_LOOKED_AT = (*LOCKS, "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "environment.yml")


def it_or_them(paths: Sequence[str]) -> str:
    return tr("it") if len(paths) == 1 else tr("them")


def uninstalled_here(root: Path, requirements: Requirements) -> str | None:
    """A sentence where the checkout says what the app needs, and nothing is installed of it."""
    if not requirements.nothing:
        return None
    found = list(_described(root))
    return (
        tr(
            "{found} says what the app needs, and nothing installs it."
            if len(found) == 1
            else "{found} say what the app needs, and nothing installs it.",
            found=listing(found, 3),
        )
        if found
        else None
    )


def what_installs(requirements: Requirements) -> str:
    """Why no package needs to change, as far as that was seen."""
    if requirements.nothing:
        return tr("a copy of the live one; no file says what is to be installed (venv.requirements)")
    return tr("a copy of the live one, the requirements installed into it; no package is known to change")


def way_to_install(root: Path) -> str:
    """What makes gitdeploy install what the checkout at ROOT describes."""
    return way_to(list(_described(root)))


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


def shown_names(paths: Sequence[str]) -> str:
    return tr(
        "{paths} changes" if len(paths) == 1 else "{paths} change",
        paths=listing([path_text(path) for path in paths], 3),
    )


def way_to(paths: Sequence[str]) -> str:
    best = sorted((path for path in paths if venvs.can_install(path)), key=_rank)
    if best:
        return tr("venv: {{requirements: [{best}]}} in deploy.yaml", best=best[0])
    if any(os.path.basename(path) in ("setup.py", "setup.cfg") for path in paths):
        return tr("venv: {{self: editable}} in deploy.yaml")
    return tr("let the release bring a requirements.txt")


def _rank(path: str) -> tuple[int, str]:
    name = os.path.basename(path)
    return (LOCKS.index(name) if name in LOCKS else 90 if name == "pyproject.toml" else 50, path)
