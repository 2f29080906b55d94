"""Recipes: what is known of well-known applications, one YAML file each. CONTRIBUTING.md has their form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.upkeep.drafting.lines import Line

FOLDER = Path(__file__).parent
_GAP = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")


class RecipeLine(Struct, frozen=True, forbid_unknown_fields=True):
    """One setting. why: the comment behind it; ask: the question with which it stands commented; when: a variable that the
    app's environment must have; beside: a path that the checkout must have. `${NAME}` and `${NAME:-default}` in the value are
    filled in from the app's environment."""

    key: str
    value: Any
    why: str = ""
    ask: str = ""
    when: str = ""
    beside: str = ""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """One application. files: tracked ones by which it is known, all of them; contains: a file to the text that must be in
    it. settings: Python files that hold its settings. health: paths that answer 200 where it is healthy. tried: the releases
    that the recipe was tried with. notes: sentences at the top of the draft."""

    name: str
    home: str
    files: tuple[str, ...]
    tried: tuple[str, ...]
    lines: tuple[RecipeLine, ...] = ()
    contains: Mapping[str, str] = {}
    settings: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def fits(self, root: Path, names: frozenset[str]) -> bool:
        """Whether the checkout at ROOT with the tracked files NAMES is this application's."""
        if not names.issuperset(self.files):
            return False
        try:
            return all(text in (root / name).read_text("utf-8", "replace") for name, text in self.contains.items())
        except OSError:
            return False

    def drafted(self, root: Path, environment: Mapping[str, str]) -> list[Line]:
        """Its lines where the app at ROOT has ENVIRONMENT; of several for one key the first that holds, and each that asks."""
        found: list[Line] = []
        for line in self.lines:
            if (line.when and line.when not in environment) or (line.beside and not (root / line.beside).exists()):
                continue
            if line.key == "venv.requirements" and not all((root / str(path)).exists() for path in line.value):
                continue  # a release that says otherwise what it needs: what is found counts
            if not line.ask and any(other.key == line.key and other.sure for other in found):
                continue
            found.append(
                Line(
                    line.key,
                    _filled(line.value, environment),
                    line.why or tr("as {name} has it", name=self.name),
                    line.ask,
                )
            )
        return found


def recipes() -> list[Recipe]:
    """All of them, by name of the file."""
    return [read(file) for file in sorted(FOLDER.glob("*.yaml"))]


def read(file: Path) -> Recipe:
    """The recipe in FILE. Raises `msgspec.ValidationError`, `yaml.YAMLError`."""
    import yaml

    return msgspec.convert(yaml.safe_load(file.read_text("utf-8")), Recipe)


def recipe_for(root: Path, names: Sequence[str]) -> Recipe | None:
    """The recipe of the application whose checkout is at ROOT; None where none is known."""
    tracked = frozenset(names)
    return next((recipe for recipe in recipes() if recipe.fits(root, tracked)), None)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _GAP.sub(lambda gap: environment.get(gap[1]) or gap[2] or "", value)
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    return {name: _filled(each, environment) for name, each in value.items()} if isinstance(value, dict) else value
