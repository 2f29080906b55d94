"""What a package names for type checkers is what it loads when it is used.

A command of the tests is forked from a process that has loaded everything, so that a name which is missing here would be found
there all the same, and only a user would meet the `AttributeError`.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import gitdeploy

_ROOT = Path(gitdeploy.__file__).parent


def _lazy() -> dict[str, list[str]]:
    """Names for type checkers only, by package; of those packages that load something lazily."""
    found = {}
    for place in sorted(_ROOT.glob("**/__init__.py")):
        tree = ast.parse(place.read_text())
        names = [
            alias.asname or alias.name
            for test in tree.body
            if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
            for statement in test.body
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
        ]
        package = ".".join(("gitdeploy", *place.parent.relative_to(_ROOT).parts))
        if "__getattr__" in place.read_text():
            found[package] = names
    return found


@pytest.mark.parametrize("package", _lazy())
def test_every_name_for_type_checkers_is_loaded_when_it_is_used(package: str) -> None:
    names = _lazy()[package]
    assert names
    load = import_module(package).__getattr__
    for name in names:
        if not (_ROOT.joinpath(*package.split(".")[1:]) / f"{name}.py").is_file() or package != "gitdeploy":
            assert load(name) is not None, f"{package}.{name}"


def test_every_package_that_loads_lazily_is_looked_at() -> None:
    assert {"gitdeploy", "gitdeploy.backups", "gitdeploy.venvs", "gitdeploy.checkout.objects"} <= _lazy().keys()
