"""Where a release's own files send an installer for packages, whichever form that has: told before anything is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdeploy.config import VenvConfig
from gitdeploy.venvs.requirements import Requirements, read_requirements

EVIL = "http://evil.example/foo-1.0-py3-none-any.whl"
PROJECT = "[project]\nname = 'shop'\nversion = '1'\n"
PYLOCK = "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'foo'\nversion = '1.0'\n"

# what is in the release; what is named in requirements.txt (or is the file itself); whether it is told
BRINGS = {
    "a package by its address": {"requirements.txt": f"foo @ {EVIL}\n"},
    "an address alone": {"requirements.txt": f"{EVIL}\n"},
    "git": {"requirements.txt": "foo @ git+https://evil.example/foo.git@main\n"},
    "git over ssh": {"requirements.txt": "git+ssh://git@evil.example/foo.git\n"},
    "an editable one from git": {"requirements.txt": "-e git+https://evil.example/foo.git#egg=foo\n"},
    "in an included file": {"requirements.txt": "-r more.txt\n", "more.txt": f"foo @ {EVIL}\n"},
    "in constraints": {"requirements.txt": "-c limits.txt\nfoo\n", "limits.txt": f"foo @ {EVIL}\n"},
    "an address that a variable ends": {"requirements.txt": "foo @ https://pypi.org/${NAME}/foo.whl\n"},
    "public, but not over https": {"requirements.txt": "foo @ http://pypi.org/foo.whl\n"},
    "tool.uv.sources by url": {"requirements.txt": ".\n", "pyproject.toml": f"{PROJECT}[tool.uv.sources]\nfoo = {{url = '{EVIL}'}}\n"},
    "tool.uv.sources from git": {"requirements.txt": "-e .\n", "pyproject.toml": f"{PROJECT}[tool.uv.sources]\nfoo = [{{git = 'https://evil.example/x'}}]\n"},
    "tool.uv.index": {
        "requirements.txt": ".\n",
        "pyproject.toml": f"{PROJECT}[tool.uv.sources]\nfoo = {{index = 'e'}}\n[[tool.uv.index]]\nname = 'e'\nurl = 'http://evil.example/simple'\n",
    },
    "tool.uv's older settings": {"requirements.txt": ".\n", "pyproject.toml": f"{PROJECT}[tool.uv]\nextra-index-url = ['https://evil.example/simple']\n"},
    "a project's own dependency": {"requirements.txt": "./lib\n", "lib/pyproject.toml": f"{PROJECT}dependencies = ['foo @ {EVIL}']\n"},
    "what its build wants": {"requirements.txt": ".\n", "pyproject.toml": f"{PROJECT}[build-system]\nrequires = ['foo @ {EVIL}']\n"},
    "setup.cfg": {"requirements.txt": ".\n", "setup.cfg": f"[options]\ninstall_requires =\n  foo @ {EVIL}\n"},
    "poetry's": {"requirements.txt": ".\n", "pyproject.toml": "[tool.poetry.dependencies]\nfoo = {git = 'https://evil.example/foo'}\n"},
    "a project that another one takes": {
        "requirements.txt": ".\n",
        "pyproject.toml": f"{PROJECT}[tool.uv.sources]\nlib = {{path = 'lib'}}\n",
        "lib/pyproject.toml": f"{PROJECT}dependencies = ['foo @ {EVIL}']\n",
    },
    "pyproject.toml itself": {"pyproject.toml": f"{PROJECT}dependencies = ['foo']\n[[tool.uv.index]]\nurl = 'http://evil.example/simple'\n"},
    "pylock.toml": {"pylock.toml": f"{PYLOCK}wheels = [{{url = '{EVIL}', hashes = {{sha256 = 'a'}}}}]\n"},
    "pylock.toml from git": {"pylock.toml": PYLOCK.replace("version = '1.0'\n", "", 2) + "vcs = {type = 'git', url = 'https://evil.example/x'}\n"},
}  # fmt: skip
FINE = {
    "names": {"requirements.txt": "foo==1.0\nbar[x]>=2 ; python_version > '3'\n"},
    "a package by its public address": {"requirements.txt": "foo @ https://files.pythonhosted.org/foo-1.0.whl\n"},
    "files of the release": {"requirements.txt": "./lib\nwheels/x.whl\n", "lib/pyproject.toml": PROJECT, "wheels/x.whl": "x"},
    "pylock.toml with files of this machine": {"pylock.toml": f"{PYLOCK}wheels = [{{url = 'file:///srv/foo.whl', hashes = {{sha256 = 'a'}}}}]\n"},
    "its own parts": {"requirements.txt": ".\n", "pyproject.toml": f"{PROJECT}[tool.uv.sources]\nlib = {{workspace = true}}\n"},
    "the index of this server": {"requirements.txt": "foo @ https://index.ours.example/foo.whl\n"},
    "a host that is allowed": {"requirements.txt": "foo @ git+ssh://git@github.ours.example/a/foo.git\n"},
    "the public index, named": {"requirements.txt": ".\n", "pyproject.toml": f"{PROJECT}[[tool.uv.index]]\nurl = 'https://pypi.org/simple'\n"},
}  # fmt: skip


class Files(dict[str, str]):
    def __call__(self) -> None: ...

    def read(self, path: str) -> bytes | None:
        return self[path].encode() if path in self else None

    def export(self, folder: Path, paths: object) -> None: ...


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX", "ours=https://user:pass@index.ours.example/simple")


def read(files: dict[str, str]) -> Requirements:
    named = next(name for name in ("requirements.txt", "pyproject.toml", "pylock.toml") if name in files)
    config = VenvConfig(requirements=(named,), allow_sources=("github.ours.example",))
    found = read_requirements(Files(files), config, None)
    assert found.problems == ()
    return found


@pytest.mark.parametrize("name", BRINGS)
def test_what_comes_from_elsewhere_is_told(name: str) -> None:
    assert read(BRINGS[name]).origins != ()


@pytest.mark.parametrize("name", FINE)
def test_what_this_server_trusts_is_not(name: str) -> None:
    assert read(FINE[name]).origins == ()


@pytest.mark.parametrize(
    "line",
    [
        "foo @ https://x/${A_KEY}/foo.whl",
        "--index-url https://${A_KEY}@x/",
        "--config-settings a=${A_KEY}",
        "-r ${A_KEY}",
    ],
)
def test_every_variable_that_a_line_asks_for_is_known(line: str) -> None:
    found = read_requirements(
        Files({"requirements.txt": f"{line}\n"}), VenvConfig(requirements=("requirements.txt",)), None
    )
    assert found.variables == ("A_KEY",)
