"""Each recipe can be read, says only what deploy.yaml can have, and recognises its own application alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitdeploy.config.kinds import settings_of
from gitdeploy.config.model import SECTIONS
from gitdeploy.site.site import Site
from gitdeploy.upkeep.drafting import draft
from gitdeploy.upkeep.drafting.recipes import FOLDER, Recipe, read, recipes

FILES = sorted(FOLDER.glob("*.yaml"))


def skeleton(root: Path, recipe: Recipe) -> None:
    """A checkout that has no more than what RECIPE is recognised by."""
    root.mkdir(parents=True)
    for name in recipe.files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for name, text in recipe.contains.items():
        (root / name).write_text(text)
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    for words in (
        ["add", "-A"],
        ["commit", "-q", "-m", "x"],
        ["remote", "add", "origin", "https://git.example.com/x.git"],
    ):
        subprocess.run([*git, *words], check=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_is_recognised_and_its_lines_stand_in_the_draft(tmp_path: Path, file: Path) -> None:
    recipe = read(file)
    for line in recipe.lines:
        section, _, key = line.key.partition(".")
        assert key in settings_of(SECTIONS[section]), line.key
    assert recipe.files
    assert recipe.home.startswith("https://")
    skeleton(tmp_path / "x", recipe)
    made = draft(Site.open(tmp_path / "x"))
    assert made.recipe == recipe.name
    assert recipe.home in made.text
    needed = [
        str(path)
        for line in recipe.lines
        if line.key == "venv.requirements"
        for path in line.value
        if str(path) not in recipe.files
    ]
    assert not any(one.key == "venv.requirements" and set(one.value) & set(needed) for one in made.lines), (
        "none is there"
    )
    always = [line for line in recipe.lines if not (line.when or line.beside or line.key == "venv.requirements")]
    for line in always:
        assert any(one.key == line.key and one.value == line.value for one in made.lines), made.text


def test_no_recipe_takes_anothers_application() -> None:
    found = recipes()
    assert len({recipe.name for recipe in found}) == len(found)
    for one in found:
        others = [
            other.name
            for other in found
            if other is not one and set(other.files) <= set(one.files) and not other.contains
        ]
        assert others == [], one.name


def test_the_docs_name_every_recipe() -> None:
    page = (Path(__file__).parents[2] / "docs/init.md").read_text()
    assert [recipe.name for recipe in recipes() if recipe.name not in page.replace("\n", " ")] == []
