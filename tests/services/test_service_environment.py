"""The environment that a service has, read from where its manager has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gitdeploy.services import supervisor as supervisors
from gitdeploy.services.environment import _listed, _pairs, environment_file, environment_of, of_the_app
from gitdeploy.services.supervisor import Supervisor

FILES = {
    "A=1\n": {"A": "1"},
    "# no\n; no\n\nA=1": {"A": "1"},
    "A = 1 # part of it\n": {"A": "1 # part of it"},
    'A="two words"\nB=\'$x "y"\'\n': {"A": "two words", "B": '$x "y"'},
    'A="say \\"hi\\""\n': {"A": 'say "hi"'},
    "A=one \\\ntwo\nB=2\n": {"A": "one two", "B": "2"},
    'A="first\nsecond"\nB=2\n': {"A": "first\nsecond", "B": "2"},
    "export A=1\n": {"A": "1"},
    "URL=postgresql://u:p%40@h/db?x=1&y=2\n": {"URL": "postgresql://u:p%40@h/db?x=1&y=2"},
    "nonsense\n": {},
}


@pytest.mark.parametrize("text", FILES)
def test_an_environment_file_is_read_as_systemd_reads_it(text: str) -> None:
    assert environment_file(text) == FILES[text]


@pytest.mark.skipif(not shutil.which("systemd-run"), reason="not here: no systemd")
@pytest.mark.parametrize("text", FILES)
def test_and_systemd_agrees(text: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(text)
    words = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        f"--property=EnvironmentFile={file}",
        "env",
        "-0",
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not here: no systemd runs")
    found = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if "=" in pair)
    for name, value in FILES[text].items():
        assert found.get(name) == value


def test_what_systemctl_shows_of_a_units_own_environment() -> None:
    assert _pairs('A=1 "B=two words" C=x=y') == {"A": "1", "B": "two words", "C": "x=y"}


def test_supervisors_list() -> None:
    assert _listed("A=\"1\",B='two, words',C=3") == {"A": "1", "B": "two, words", "C": "3"}


def test_supervisors_own_and_the_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "supervisord.conf"
    conf.write_text('[supervisord]\nenvironment=DB="of all",LEVEL="1"\n[include]\nfiles = conf.d/*.conf\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/shop.conf").write_text('[program:shop]\ncommand=x\nenvironment=DB="shop",HOME="/x"\n')
    monkeypatch.setattr(supervisors, "_CONFIGS", (str(conf),))
    told = environment_of([Supervisor("shop", tmp_path, tmp_path.stat().st_uid)])
    assert told.values == {"DB": "shop", "LEVEL": "1"}


def test_what_belongs_to_a_login_or_a_manager_is_left_out() -> None:
    found = of_the_app(
        {"DATABASE_URL": "x", "PATH": "x", "HOME": "x", "NOTIFY_SOCKET": "x", "GITDEPLOY_WEB_TOKEN": "x", "a b": "x"}
    )
    assert found == {"DATABASE_URL": "x"}
