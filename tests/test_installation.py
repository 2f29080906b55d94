"""This installation: where it came from, how it is extended, upgraded and removed; and never by a name that isn't ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gitdeploy.system.installation import Installation

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project, in a folder with a blank, with its wheel in dist/."""
    folder = tmp_path_factory.mktemp("from") / "git deploy"
    folder.mkdir()
    for name in ("gitdeploy", "hooks", "pyproject.toml", "README.md", "LICENSE", "deploy.yaml.example"):
        subprocess.run(["cp", "-r", PROJECT / name, folder], check=True)
    git = ["git", "-c", "init.defaultBranch=main", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=folder, check=True, capture_output=True
    )
    return folder


def environment(folder: Path, *, pip: bool) -> Path:
    """An environment that sees the packages of this one behind its own; its Python."""
    subprocess.run([sys.executable, "-m", "venv", *([] if pip else ["--without-pip"]), str(folder)], check=True)
    (own,) = folder.glob("lib/python*/site-packages")
    others = sysconfig.get_path("purelib")
    # Last, and without the project itself or a pip where there is none of its own.
    (own / "zz.pth").write_text(f"import sys; sys.path.append({others!r})\n")
    return folder / "bin/python"


def install(python: Path, *words: str) -> None:
    subprocess.run(
        [
            "uv",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--offline",
            "--python",
            str(python),
            *words,
        ],
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )


def told(python: Path) -> dict[str, object]:
    done = subprocess.run(
        [str(python), "-m", "gitdeploy", "--json", "self"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def typed(command: str) -> None:
    """Type COMMAND as it is printed."""
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["wheel", "folder", "git"])
def test_it_says_where_it_is_from_and_the_command_for_a_newer_one_works(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (wheel,) = (source / "dist").glob("*.whl")
    words = {
        "wheel": [str(wheel)],
        "folder": [str(source)],
        "git": [f"git+file://{str(source).replace(' ', '%20')}"],
    }[way]
    python = environment(tmp_path / "a venv", pip=True)
    install(python, *words)
    found = told(python)
    where = {"wheel": str(wheel), "git": words[-1]}.get(way, str(source))
    assert found["source"] == where
    assert found["editable"] is False
    assert found["kept_by"] == "pip"
    assert found["extras"] == {"web": True, "notify": True, "fleet": True}
    command = str(found["upgrade"])
    assert shlex.quote(str(python)) in command
    if way == "folder":
        assert command.startswith(f"git -C {shlex.quote(str(source))} pull && ")
        command = command.partition(" && ")[2]  # nowhere to pull from
    monkeypatch.setenv("PIP_NO_DEPS", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # that switches isolation off
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    typed(command)
    assert told(python)["source"] == where
    typed(f"{found['remove']} -y")


@pytest.mark.parametrize(
    ("marker", "kind", "start"),
    [
        ("uv-receipt.toml", "uv tool", "uv pip install --python "),
        ("pipx_metadata.json", "pipx", "pipx inject gitdeploy "),
        ("nothing", "pip", f"{sys.executable} -m pip install "),
    ],
)
def test_it_is_extended_by_what_keeps_it(tmp_path: Path, marker: str, kind: str, start: str) -> None:
    (tmp_path / marker).touch()
    found = Installation(str(tmp_path))
    assert found.kind == kind
    assert found.extend("notify").startswith(start)
    assert found.extend("notify").endswith("'apprise>=1.8'")
    assert found.needed("web") == sorted(found.needed("web"))
    assert found.needed("nothing") == []


def test_one_from_a_git_host_is_upgraded_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"url": "https://li:secret@git.example.com/ops/gitdeploy", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    found = Installation(str(tmp_path))
    monkeypatch.setattr(found, "_origin", there)
    assert "secret" not in json.dumps(found.as_dict())
    assert "'gitdeploy[web,notify,fleet] @ git+https://" in (found.upgrade or "")
    monkeypatch.setattr(found, "_origin", {})
    assert found.source is None
    assert found.upgrade is None


NAMED = re.compile(
    r"(?:pip|uv|pipx|inject)\b[^\n|;&\u3000-\uffef]*\b(?:install|add|inject|upgrade)\b[^\n|;&\u3000-\uffef]*?(?<![/.\w-])['\"]?gitdeploy(?:\[|==|['\"\s]|$)"
)
"""An installer that is asked for our name: on the public index that is somebody else's."""


def test_nothing_that_we_say_asks_an_index_for_our_name() -> None:
    assert NAMED.search("pip install 'gitdeploy[web]'")
    assert NAMED.search("/opt/gitdeploy/bin/pip install --upgrade gitdeploy")
    assert not NAMED.search("/opt/gitdeploy/bin/pip install ./gitdeploy")
    places = [*(PROJECT / "gitdeploy").rglob("*.py"), *(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*.md")]
    places += [
        place for place in (PROJECT / "ansible_collections").rglob("*") if place.suffix in (".md", ".py", ".yml")
    ]
    places += [*(PROJECT / "hooks").iterdir(), PROJECT / "deploy.yaml.example"]
    own = PROJECT / "gitdeploy/system/installation.py"  # `pipx inject gitdeploy`: what is there already
    found = [
        f"{place.name}: {match[0]}" for place in places if place != own for match in NAMED.finditer(place.read_text())
    ]
    assert found == []
