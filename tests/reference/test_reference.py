"""docs/reference and the man pages are what the code says."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from reference.make import DOCS, MAN, commands, documents


def test_the_reference_is_what_the_code_says() -> None:
    made = documents()
    stale = [path.name for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    assert not stale, "run: make reference"
    left = [path.name for folder in (DOCS, MAN) for path in folder.iterdir() if path not in made]
    assert not left, "run: make reference"


def test_every_command_says_what_it_does_and_has_an_example_or_subcommands() -> None:
    for name, command in commands():
        assert command.help, name


def test_man_reads_the_pages_without_a_word() -> None:
    groff = shutil.which("groff") or pytest.skip("not here: groff")
    pages = [str(path) for path in sorted(MAN.glob("*.1"))]
    done = subprocess.run([groff, "-man", "-Tutf8", "-wall", "-z", *pages], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
