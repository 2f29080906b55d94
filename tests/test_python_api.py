"""The public API: its names, that they cost nothing until they are used, and the examples of docs/python.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.sample import PROJECT, Program, Sample

import gitdeploy

PAGE = (PROJECT / "docs/python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The whole script at the top of the page."""
    path = tmp_path / "deploy.py"
    path.write_text(EXAMPLES[0])
    return path


def python(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True)


def test_each_public_name_has_its_section_and_an_example() -> None:
    names = set(gitdeploy.__all__) - {"__version__"}
    assert names == {"App", "Backup", "Options", "Plan", "Release", "Result", "errors"}
    exec("from gitdeploy import *", {})  # each can be loaded
    for name in names:
        section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert re.search(rf"^from gitdeploy import .*\b{name}\b", section, re.MULTILINE), name


def test_every_error_that_scripts_may_catch_is_on_the_page() -> None:
    tree = ast.parse((PROJECT / "gitdeploy/errors.py").read_text())
    for name in {each.name for each in tree.body if isinstance(each, ast.ClassDef)}:
        assert f"`{name}`" in PAGE, name


def test_importing_the_package_loads_nothing_of_it(tmp_path: Path) -> None:
    look = "import gitdeploy, sys; print(sorted(name for name in sys.modules if name.startswith('gitdeploy')))"
    assert python("-c", look, cwd=tmp_path).stdout == "['gitdeploy', 'gitdeploy.called']\n"


def test_a_name_that_there_is_not_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="nonsense"):
        exec("from gitdeploy import nonsense", {})


def test_the_examples_are_strictly_typed(tmp_path: Path) -> None:
    """Against the installed package: from elsewhere, so that only py.typed lets mypy read its types."""
    files = []
    for number, text in enumerate(EXAMPLES):
        files.append(tmp_path / f"example{number}.py")
        files[-1].write_text(text)
    done = python("-m", "mypy", "--strict", "--no-incremental", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    files[0].write_text("from gitdeploy import App, nonsense\n\nresult: int = App.open('.').upgrade()\n")
    done = python("-m", "mypy", "--strict", "--no-incremental", files[0], cwd=tmp_path)
    assert "[attr-defined]" in done.stdout, "a name that there is not is not a Any"
    assert "[assignment]" in done.stdout, "and what App returns isn't either"


def test_the_script_upgrades_rolls_back_and_restores(script: Path, tmp_path: Path) -> None:
    shop = Sample(tmp_path / "shop", venv=False)
    settings = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n"
    for tag in ("v1.0.0", "v1.1.0"):
        shop.release(tag, {"deploy.yaml": settings, "VERSION": tag})
    broken = Program("#!/bin/sh\nexit 9\n")
    shop.release("v1.2.0", {"deploy.yaml": settings, "VERSION": "v1.2.0", "hooks/post-deploy": broken})
    shop.install("v1.0.0")

    def deploy(*words: str, code: int) -> str:
        done = subprocess.run(
            [sys.executable, script, shop.app, *words], env=shop.environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    assert "Newer: v1.2.0, v1.1.0" in deploy("v1.1.0", code=0)
    assert (shop.app / "VERSION").read_text() == "v1.1.0"
    assert "The release failed, the old one is live again: " in deploy("v1.2.0", code=3)
    assert (shop.app / "VERSION").read_text() == "v1.1.0"
    assert "v1.9.9" in deploy("v1.9.9", code=2)
    shop.gitdeploy("rollback", "v1.0.0")
    said = deploy("--back", code=0)
    assert " 1.1.0 code" in said
    assert (shop.app / "VERSION").read_text() == "v1.1.0"
