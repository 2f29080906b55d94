"""Files that a release names and brings as symbolic links: none is followed, neither read through nor written through."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.sample import Link, Program, Sample, Tree

from gitdeploy.system.durable import write_below

SETTINGS = (
    "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\nenv_file: app.env\n"
    "venv: {constraints: [limits.txt], requirements: [requirements.txt]}\n"
)
GOOD: Tree = {
    "deploy.yaml": SETTINGS, ".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n", "limits.txt": "", "app.env": "A=1\n",
    "hooks/build": Program("#!/bin/sh\n"), "tool.sh": Program("#!/bin/sh\n"), "lib/pyproject.toml": "[project]\nname='lib'\nversion='1'\n",
}  # fmt: skip
# What the release has instead: by path, and what is said of it. OUTSIDE is a file of the same user's outside the checkout.
LINKS: dict[str, tuple[Callable[[str], Tree], str]] = {
    "requirements": (lambda outside: {"requirements.txt": Link(outside)}, "requirements.txt is a symbolic link"),
    "requirements inside": (lambda _: {"requirements.txt": Link("limits.txt")}, "requirements.txt is a symbolic link"),
    "an included file": (
        lambda outside: {"requirements.txt": "-r more.txt\n./lib\n", "more.txt": Link(outside)},
        "more.txt is a symbolic link",
    ),
    "constraints": (lambda outside: {"limits.txt": Link(outside)}, "limits.txt is a symbolic link"),
    "deploy.yaml": (lambda _: {"deploy.yaml": Link("tool.sh")}, "deploy.yaml a symbolic link"),
    "an env file": (lambda outside: {"app.env": Link(outside)}, "app.env is a symbolic link"),
    "a hook": (lambda _: {"hooks/build": Link("../tool.sh")}, "hooks/build is a symbolic link"),
    "a new hook": (lambda outside: {"hooks/migrate": Link(outside)}, "hooks/migrate is a symbolic link"),
}


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    shop = Sample(tmp_path_factory.mktemp("links"))
    (shop.folder / "precious").write_text("precious\n")
    (shop.folder / "precious").chmod(0o755)
    shop.wheel("greeting", "1.0")
    shop.release("v1.0.0", GOOD)
    for number, (make, _) in enumerate(LINKS.values(), 1):
        shop.release(f"v1.{number}.0", {**GOOD, **make(str(shop.folder / "precious"))})
    shop.install("v1.0.0")
    return shop


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_refused_in_words_and_nothing_is_written_through_it(shop_once: Sample, name: str) -> None:
    shop = shop_once
    tag, (_, words) = f"v1.{list(LINKS).index(name) + 1}.0", LINKS[name]
    before = shop.state()
    planned = shop.gitdeploy("plan", tag, code=None)
    assert words in planned.text, planned.text
    done = shop.gitdeploy("upgrade", tag, code=None)
    assert done.code != 0, done.text
    assert words in done.text, done.text
    assert (shop.folder / "precious").read_text() == "precious\n"
    assert shop.state() == before


def test_a_file_is_written_anew_below_a_folder(tmp_path: Path) -> None:
    """Whatever stands at its place, and on the way there."""
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.write_text("precious\n")
    folder.mkdir()
    (folder / "one").symlink_to(outside)
    (folder / "two").hardlink_to(outside)
    (folder / "way").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    for name in ("one", "two", "pipe", "new/er/file"):
        write_below(folder, name, b"written\n")
        assert (folder / name).read_text() == "written\n"
        assert not (folder / name).is_symlink()
    for name in ("way/outside", "../outside", "new/../../outside"):
        with pytest.raises(OSError, match=r"Not a directory|symbolic links|Invalid argument"):
            write_below(folder, name, b"written\n")
    assert outside.read_text() == "precious\n"
