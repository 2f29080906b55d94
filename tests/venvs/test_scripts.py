"""Scripts, path files and kernels of a clone name the clone, whatever they named before."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitdeploy.venvs.scripts import first_line, rewrite, strays

LIVE = "/srv/app/venv"
OLD = "/srv/app/.gitdeploy/venvs/g1"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    made = tmp_path / ".gitdeploy/venvs/g2"
    (made / "bin").mkdir(parents=True)
    (made / "lib/python3.11/site-packages").mkdir(parents=True)
    (made / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {LIVE}\nprompt = {LIVE}\n")
    return made


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"#!{LIVE}/bin/python\nx\n", "#!NEW/bin/python\nx\n"),
        (f"#!{OLD}/bin/python3.11 -I\nx\n", "#!NEW/bin/python3.11 -I\nx\n"),
        ("#!/elsewhere/.gitdeploy/venvs/g9/bin/python\n", "#!NEW/bin/python\n"),
        (f"#!/bin/sh\n'''exec' \"{LIVE}/bin/python\" \"$0\" \"$@\"\n' '''\nx\n", "#!NEW/bin/python\nx\n"),
        (f"#!/bin/sh\n'''exec' {LIVE}/bin/python -E \"$0\" \"$@\"\n' '''\nx\n", "#!NEW/bin/python -E\nx\n"),
        (f"#!{LIVE}/bin/python\r\nx\r\n", "#!NEW/bin/python\nx\r\n"),
        ("#!/usr/bin/python3\nx\n", "#!/usr/bin/python3\nx\n"),
        (f"VIRTUAL_ENV='{LIVE}'\nPATH={LIVE}/bin:$PATH\n", "VIRTUAL_ENV='NEW'\nPATH=NEW/bin:$PATH\n"),
        (f"x={LIVE}-old y={LIVE}2 z=a{LIVE}.bak\n", f"x={LIVE}-old y={LIVE}2 z=a{LIVE}.bak\n"),
        (f"#!{LIVE}/bin/python\n{OLD}\n", "#!NEW/bin/python\nNEW\n"),
    ],
)
def test_a_script_names_its_own_venv(venv: Path, before: str, after: str) -> None:
    script = venv / "bin/tool"
    script.write_bytes(before.encode())
    script.chmod(0o750)
    rewrite(venv, [LIVE, OLD], Path(LIVE))
    wanted = after.replace("NEW", str(venv))
    if wanted.startswith(f"#!{venv}"):  # too long a line for some kernels: handed over to by the shell
        line, _, rest = wanted.partition("\n")
        python, _, arguments = line[2:].partition(" ")
        wanted = os.fsdecode(first_line(python, arguments)) + rest
    assert script.read_bytes().decode() == wanted
    assert script.stat().st_mode & 0o777 == 0o750
    assert strays(venv, [LIVE, OLD]) == []


def test_programs_links_and_large_files_are_left_alone(venv: Path) -> None:
    (venv / "bin/program").write_bytes(b"\x7fELF\0" + LIVE.encode())
    (venv / "bin/large").write_bytes(b"#" * (1 << 20) + LIVE.encode())
    (venv / "bin/python").symlink_to(f"{LIVE}/bin/python")
    rewrite(venv, [LIVE], Path(LIVE))
    assert (venv / "bin/program").read_bytes().endswith(LIVE.encode())
    assert (venv / "bin/large").read_bytes().endswith(LIVE.encode())
    assert os.readlink(venv / "bin/python") == f"{LIVE}/bin/python"


def test_path_files_and_kernels_and_settings(venv: Path) -> None:
    site = venv / "lib/python3.11/site-packages"
    (site / "own.pth").write_text(f"{LIVE}/src/own\n../../../../elsewhere\nimport x\n")
    (site / "a.egg-link").write_text(f"{LIVE}/src/a\n.")
    kernel = venv / "share/jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": [f"{LIVE}/bin/python", "-m", "x"], "env": {"V": LIVE}, "n": 1}))
    broken = venv / "share/jupyter/kernels/broken/kernel.json"
    broken.parent.mkdir()
    broken.write_text("{")
    rewrite(venv, [LIVE], Path(LIVE))
    assert (site / "own.pth").read_text() == f"{venv}/src/own\n/srv/app/elsewhere\nimport x\n"
    assert (site / "a.egg-link").read_text() == f"{venv}/src/a\n."
    assert json.loads(kernel.read_text()) == {
        "argv": [f"{venv}/bin/python", "-m", "x"],
        "env": {"V": str(venv)},
        "n": 1,
    }
    assert broken.read_text() == "{"
    lines = (venv / "pyvenv.cfg").read_text().splitlines()
    assert lines == ["home = /usr/bin", f"command = /usr/bin/python3 -m venv {venv}", f"prompt = {LIVE}"]


def test_scripts_that_would_work_on_another_venv_are_found(venv: Path) -> None:
    (venv / "bin/good").write_text(f"#!{venv}/bin/python\n")
    (venv / "bin/bad").write_text(f"#!{LIVE}/bin/python\n")
    (venv / "bin/worse").write_text(f"#!/bin/sh\n'''exec' '{LIVE}/bin/python' \"$0\" \"$@\"\n' '''\n")
    (venv / "bin/other").write_text("#!/usr/bin/env python\n")
    assert strays(venv, [LIVE, str(venv)]) == ["bad", "worse"]


@pytest.mark.parametrize("name", ["plain", "with blank", "it's", 'a"b', "x" * 120, "名字", "a$b", "a`b", "a\\b"])
def test_the_first_line_starts_that_interpreter_in_whatever_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\necho started\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    script = tmp_path / "script"
    script.write_bytes(first_line(str(python)) + b"import sys\nprint(sys.argv[1:])\n")
    script.chmod(0o755)
    if shutil.which("dash") is None and name != "plain":
        pytest.skip("needs dash (Debian package dash)")
    done = subprocess.run([script, "a b", "c"], capture_output=True, text=True)
    assert done.stdout.endswith("['a b', 'c']\n"), done.stderr
    assert "started" in done.stdout
