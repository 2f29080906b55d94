"""What whoever carries on relies on: CONTRIBUTING, the hooks at a commit, the changelog, links between pages."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.sample import PROJECT

import gitdeploy
from gitdeploy.sources import Source

LONGEST_SUBJECT = 72
PAGES = sorted(
    path
    for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), PROJECT / "tests/README.md")
    if path.is_file()
)


def tools_of_lint() -> set[str]:
    """What `make lint` starts from its venv."""
    recipe = (PROJECT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    return set(re.findall(r"^\t\$\(BIN\)/(.+)$", recipe, re.MULTILINE))


def test_the_hooks_at_a_commit_are_the_tools_of_make_lint() -> None:
    config = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local", "nothing is downloaded"
    hooks = repository["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].removeprefix(".venv/bin/") for hook in hooks} == tools_of_lint()
    assert not any(hook["pass_filenames"] for hook in hooks), "the same files as make lint"
    for hook in hooks:
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert os.access(Path(sys.prefix) / "bin" / Path(program).name, os.X_OK), program


def test_every_member_of_a_source_is_in_its_contract() -> None:
    table = (PROJECT / "docs/sources.md").read_text().partition("### The contract, method by method")[2]
    members = {name for name in vars(Source) if not name.startswith("_")} | set(inspect.get_annotations(Source))
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == members | {"__init__"}
    for name in members:
        member = inspect.getattr_static(Source, name, None)
        if callable(member) or isinstance(member, staticmethod):
            words = [word for word in inspect.signature(getattr(Source, name)).parameters if word != "self"]
            assert f"| `{name}({', '.join(words)})` |" in table, name


def test_the_make_targets_and_scripts_that_contributing_names_are_there() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:\S+=\S+ )?make (\w+)", text)) <= targets
    for path in re.findall(r"`((?:gitdeploy|tests|docs|\.ci)/[\w./-]*)", text):
        assert (PROJECT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, part = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if part:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert part in names, f"{page.name}: {target}"


def test_the_module_paths_that_pages_name_are_there() -> None:
    """docs/architecture.md names files by their room, without the package's name."""
    below = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "gitdeploy").rglob("*.py")}
    for path in re.findall(r"`([a-z_/]+/\w+\.py)`", (PROJECT / "docs/architecture.md").read_text()):
        there = (PROJECT / path).exists() or any(file.endswith(f"/{path}") for file in below)
        assert there, f"docs/architecture.md: {path}"
    for page in PAGES:
        for path in re.findall(r"`(gitdeploy/[\w/]+\.py)`", page.read_text()):
            assert (PROJECT / path).exists(), f"{page.name}: {path}"
        for name in re.findall(r"`(gitdeploy(?:\.\w+)+)`", page.read_text()):
            assert is_there(name), f"{page.name}: {name}"


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one, or in the collection for Ansible."""
    parts = name.split(".")
    if parts[:2] == ["gitdeploy", "fleet"] and len(parts) == 3:
        collection = PROJECT / "ansible_collections/gitdeploy/fleet"
        places = (f"plugins/modules/{parts[2]}.py", f"roles/{parts[2]}", f"playbooks/{parts[2]}.yml")
        if any((collection / place).exists() for place in places):
            return True
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def test_the_changelog_has_this_version_grouped() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings, "no version"
    versions = [heading.split()[0] for heading in headings]
    assert gitdeploy.__version__ in versions
    for line in text.splitlines():
        assert len(line) <= 120, line
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        body = re.split(r"^### .+$", section, flags=re.MULTILINE)
        assert "- " not in body[0], "each line stands in a group"
        assert len(body) > 1


def test_the_newest_commit_has_a_short_subject() -> None:
    done = subprocess.run(["git", "log", "-1", "--format=%s"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not here: a clone with its history")
    assert len(done.stdout.strip()) < LONGEST_SUBJECT


MOST_LINES = 460
MOST_LINES_OF_A_FUNCTION = 66  # a sentence with its values takes several


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    for path in (PROJECT / "gitdeploy").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < MOST_LINES_OF_A_FUNCTION, f"{path.name}: {node.name}"
