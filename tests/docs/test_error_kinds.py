"""docs/cli.md names each `kind` that an error of a command can have."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import gitdeploy
from gitdeploy.errors import GitDeployError

DOCS = Path(__file__).parents[2] / "docs"


def _kinds(error: type[GitDeployError]) -> set[str]:
    return {error.kind}.union(*(_kinds(each) for each in error.__subclasses__()))


def test_every_kind_of_error_is_on_the_page_for_scripts() -> None:
    for module in walk_packages(gitdeploy.__path__, "gitdeploy."):
        if not module.name.startswith(("gitdeploy.web", "gitdeploy.__main__")):  # the page's own: docs/web.md
            import_module(module.name)
    there = {
        kind
        for error in GitDeployError.__subclasses__()
        if not error.__module__.startswith("gitdeploy.web")
        for kind in _kinds(error)
    }
    told = re.search(r"An error's `kind` is a stable word: (.*?)\.\n", (DOCS / "cli.md").read_text(), re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == there - {"webhook"}  # a hook of a host asks the page only
    zh = re.search(r"错误的 `kind` 是稳定的单词：(.*?)。\n", (DOCS / "zh/cli.md").read_text())
    assert zh is not None
    assert re.findall(r"`(\w+)`", zh[1]) == re.findall(r"`(\w+)`", told[1])
