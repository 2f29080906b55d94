"""`make demo` and `make test` look for what they need before they make anything, and say the one line to type."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import needs
from support.sample import PROJECT

TOOLS = ("sh", "id", "basename", "sort", "head", "cut")
GIT = "echo git version {}"
PYTHON = "case $2 in *version_info[*) echo {version};; *version_info*) exit {old};; *ensurepip*) exit {venv};; esac"


def machine(folder: Path, programs: dict[str, str]) -> str:
    """A PATH with TOOLS and PROGRAMS alone."""
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def python(*, version: str = "3.11", old: bool = False, venv: bool = True) -> str:
    return PYTHON.format(version=version, old=int(old), venv=int(not venv))


GOOD = {"git": GIT.format("2.39.5"), "python3": python()}
SUDO = "" if os.geteuid() == 0 else "sudo "


def apt(packages: str) -> str:
    return f"Missing: {packages}. Type:\n  {SUDO}apt-get update && {SUDO}apt-get install {packages}\n"


@pytest.mark.parametrize(
    ("programs", "named", "said"),
    [
        (GOOD, "python3", ""),
        ({"git": GIT.format("2.25"), "python3": python()}, "python3", ""),
        ({"python3": python()}, "python3", apt("git")),
        ({"git": GOOD["git"]}, "python3", apt("python3-venv")),
        ({"python3": python(venv=False)}, "python3", apt("git python3-venv")),
        ({**GOOD, "python3.12": python(venv=False)}, "python3.12", apt("python3.12-venv")),
        (GOOD, "python3.12", "There is no python3.12 here.\n"),
        ({**GOOD, "git": GIT.format("2.20.1")}, "python3", "gitdeploy needs git 2.25 or newer; this is 2.20.1."),
        ({**GOOD, "git": GIT.format("2.9.5")}, "python3", "gitdeploy needs git 2.25 or newer; this is 2.9.5."),
        ({**GOOD, "python3": python(version="3.9", old=True)}, "python3", "gitdeploy needs Python 3.11 or newer; python3 is 3.9. Debian"),
        (
            {**GOOD, "python3": python(version="3.9", old=True), "python3.12": python()},
            "python3",
            "gitdeploy needs Python 3.11 or newer; python3 is 3.9. This machine has another:\n  make test PYTHON=python3.12\n",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_the_line_to_type(
    tmp_path: Path, programs: dict[str, str], named: str, said: str
) -> None:
    environment = {"PATH": machine(tmp_path, programs), "MAKECMDGOALS": "test"}
    done = subprocess.run(
        [PROJECT / ".ci/needed", named, "/elsewhere"], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.stderr.startswith(said)
    assert (done.stderr == "", done.returncode) == (said == "", int(said != ""))


def test_a_folder_that_cannot_be_written_to() -> None:
    as_somebody: list[str] = []
    if os.geteuid() == 0:
        if why := needs.lacks_another_user():
            pytest.skip(why)
        as_somebody = [needs.program("setpriv"), f"--reuid={needs.NOBODY}", f"--regid={needs.NOBODY}", "--clear-groups"]
    with tempfile.TemporaryDirectory() as folder:
        path = machine(Path(folder), GOOD)
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [*as_somebody, "/bin/sh", "-s", "python3", ".venv"],
            input=(PROJECT / ".ci/needed").read_text(),
            cwd=folder,
            env={"PATH": path},
            capture_output=True,
            text=True,
        )
        Path(folder).chmod(0o755)
    assert "can't be written to" in done.stderr
    assert 'make demo VENV="$HOME/gitdeploy-venv"' in done.stderr
