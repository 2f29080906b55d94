"""`config edit`: what is saved, what isn't, and what becomes of what was written."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.sample import Done, Sample
from support.waiting import wait_until

SETTINGS = "# mine\napp: {name: shop}\nsource: {type: git}\nvenv: {path: null}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Sample:
    made = Sample(tmp_path, venv=False)
    made.release("v1.0.0", {".gitignore": "/deploy.yaml\n", "a": "1\n"})
    made.install("v1.0.0", branch="main")
    (made.app / "deploy.yaml").write_text(SETTINGS)
    (made.app / "deploy.yaml").chmod(0o640)
    return made


@pytest.fixture
def edit(shop: Sample) -> Callable[..., Done]:
    """Edit with a shell script as the editor, whose $1 is the file."""

    def run(script: str, *words: str, code: int = 0) -> Done:
        editor = shop.folder / "editor"
        editor.write_text(f"#!/bin/sh\nset -e\n{script}\n")
        editor.chmod(0o755)
        return shop.gitdeploy("config", "edit", *words, code=code, env={"VISUAL": str(editor)})

    return run


def test_what_can_be_read_is_saved_with_what_it_changes(shop: Sample, edit: Callable[..., Done]) -> None:
    said = edit('echo "check: {upgrade: patch}" >>"$1"').out
    assert 'check.upgrade: "never" -> "patch"' in said
    file = shop.app / "deploy.yaml"
    assert file.read_text() == SETTINGS + "check: {upgrade: patch}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "Nothing was changed." in edit("true").out


def test_what_cannot_be_read_is_not_saved_and_not_lost(shop: Sample, edit: Callable[..., Done]) -> None:
    refused = edit('echo "chek: {upgrade: patch}" >>"$1"', code=2).err
    assert "line 5" in refused
    assert "Did you mean `check`?" in refused
    assert (shop.app / "deploy.yaml").read_text() == SETTINGS
    kept = re.search(r"What you wrote is in (\S+)", refused)
    assert kept is not None
    assert "chek" in Path(kept[1]).read_text()


def test_a_file_that_cannot_be_read_now_can_be_mended(shop: Sample, edit: Callable[..., Done]) -> None:
    (shop.app / "deploy.yaml").write_text("app: [\n")
    shop.gitdeploy("status", code=2)
    edit('echo "app: {name: mended}" >"$1"')
    assert "mended" in shop.gitdeploy("status").out


def test_nobodys_change_is_overwritten(shop: Sample, edit: Callable[..., Done]) -> None:
    file = shop.app / "deploy.yaml"
    refused = edit(f'echo "check: {{upgrade: patch}}" >>"$1"; echo "# theirs" >>"{file}"', code=1).err
    assert "changed by somebody else meanwhile" in refused
    assert "What you wrote is in" in refused
    assert file.read_text() == SETTINGS + "# theirs\n"


def test_without_a_terminal_an_editor_must_be_named(shop: Sample, edit: Callable[..., Done]) -> None:
    """The system's own would wait for keys that nobody presses."""
    refused = shop.gitdeploy("config", "edit", code=2, env={"VISUAL": "", "EDITOR": ""}).err
    assert "This is not a terminal, and neither VISUAL nor EDITOR names an editor" in refused
    assert "EDITOR=/path/of/a/script gitdeploy config edit" in refused
    assert "Nothing was changed." in edit("true").out


def test_one_editor_at_a_time(shop: Sample, edit: Callable[..., Done]) -> None:
    """The second is refused at once; a deployment is not kept waiting by an open editor."""
    slow = shop.folder / "slow"
    slow.write_text(f'#!/bin/sh\ntouch "{shop.folder}/open"\nwhile [ -e "{shop.folder}/open" ]; do sleep 0.1; done\n')
    slow.chmod(0o755)
    first = shop.start("config", "edit", env={"VISUAL": str(slow)})
    wait_until((shop.folder / "open").exists)
    assert "Somebody else edits deploy.yaml" in edit("true", code=5).err
    shop.gitdeploy("backup")
    (shop.folder / "open").unlink()
    assert first.wait(30) == 0
    if first.stdout is not None:
        first.stdout.close()


def test_a_link_is_not_followed_and_the_example_can_be_read(shop: Sample, edit: Callable[..., Done]) -> None:
    file = shop.app / "deploy.yaml"
    file.rename(shop.folder / "elsewhere.yaml")
    file.symlink_to(shop.folder / "elsewhere.yaml")
    assert "is a link" in edit("true", code=2).err
    file.unlink()
    file.write_text(shop.gitdeploy("config", "example").out)
    assert "shop" not in shop.gitdeploy("config", "show", "--json").err
