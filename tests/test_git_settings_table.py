"""The table of git's settings: every one that git knows has a row, and the docs say what the code says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import program
from gitdeploy.checkout.settings import DANGEROUS_FAULTS, ELSEWHERE, FETCHING, HARMLESS_FAULTS, SETTINGS, Setting

DOCS = Path(__file__).parents[1] / "docs/git-settings.md"


def row_of(name: str) -> Setting | None:
    """The row that counts for a setting: its own, else the first whose pattern fits."""
    lower = name.lower()
    own = next((row for row in SETTINGS if row.name.lower() == lower), None)
    return own or next((row for row in SETTINGS if fnmatchcase(lower, row.name.lower())), None)


def known_to_git() -> Iterator[str]:
    lines = subprocess.run([program(), "help", "--config"], capture_output=True, text=True, check=True).stdout
    for line in lines.splitlines():
        if re.fullmatch(r"[a-zA-Z0-9]+\.\S+", line):
            yield re.sub(r"<[^>]*>", "x", line)


def test_every_setting_that_git_knows_has_a_row() -> None:
    without = [
        name
        for name in known_to_git()
        if row_of(name) is None and not any(fnmatchcase(name.lower(), each.lower()) for each in ELSEWHERE)
    ]
    assert without == []
    assert len(list(known_to_git())) > 500


def test_no_row_is_there_twice() -> None:
    names = [row.name.lower() for row in SETTINGS]
    assert sorted(names) == sorted(set(names))


def test_the_docs_have_the_table() -> None:
    text = DOCS.read_text()
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(row.name, row.way, row.text) for row in SETTINGS]
    for fault in (*HARMLESS_FAULTS, *DANGEROUS_FAULTS):
        assert f"`{fault}`" in text


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.pinned is not None], ids=lambda row: row.name)
def test_what_is_pinned_holds_whatever_is_set(tmp_path: Path, row: Setting) -> None:
    subprocess.run([program(), "init", "-q", tmp_path], check=True)
    subprocess.run([program(), "-C", tmp_path, "config", row.name, "no such value"], check=True)
    repository = Repository.open(tmp_path)
    words = [*repository.command(repository.git_dir, tmp_path), "config", "--get", row.name]
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": os.defpath})
    assert done.stdout == f"{row.pinned}\n"
    assert row.way in ("neutralised", "refused")


def test_the_severities_of_a_fetch_are_ones_that_git_knows() -> None:
    known = {name.split(".", 1)[1] for name in known_to_git() if name.startswith("fsck.")}
    assert {word.split("=")[0].removeprefix("fetch.fsck.") for word in FETCHING} <= known
