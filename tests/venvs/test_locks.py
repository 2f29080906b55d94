"""Lock and project files as requirement lines: what each format says, and what it leaves open is refused in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gitdeploy.config import VenvConfig
from gitdeploy.venvs.live import LiveVenv
from gitdeploy.venvs.requirements import Requirements, read_requirements

CONFIG = VenvConfig(path="venv")
HASH = "sha256:" + "0" * 64
PROJECT = """\
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.8"
dependencies = ["flask>=2", "old==1; python_version < '3.9'", "new==1; python_version >= '3.9'"]
[project.optional-dependencies]
pg = ["psycopg==3.1"]
mail = ["mailer"]
all = ["shop[pg,mail]"]
[dependency-groups]
base = ["common==1"]
prod = ["gunicorn==21", {include-group = "base"}]
dev = ["pytest"]
"""
UV = """\
version = 1
requires-python = ">=3.8"

[[package]]
name = "shop"
version = "1.0"
source = { virtual = "." }
dependencies = [{ name = "flask" }, { name = "new", marker = "python_full_version >= '3.9'" }]
[package.optional-dependencies]
pg = [{ name = "psycopg" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
prod = [{ name = "gunicorn" }]
[package.metadata]
requires-dist = [{ name = "flask" }]

""" + "\n".join(
    f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "https://pypi.org/simple" }}\n'
    f'wheels = [{{ url = "https://x/{name}-{version}-py3-none-any.whl", hash = "{HASH}" }}]\n'
    for name, version in (("flask", "3.0"), ("new", "1"), ("psycopg", "3.1"), ("pytest", "8"), ("gunicorn", "21"))
)
POETRY = f"""\
[[package]]
name = "flask"
version = "3.0"
groups = ["main", "dev"]
markers = {{main = "python_version >= '3.8'"}}
files = [{{file = "flask-3.0.whl", hash = "{HASH}"}}]
[[package]]
name = "psycopg"
version = "3.1"
optional = true
groups = ["main"]
markers = "extra == \\"pg\\""
files = [{{file = "psycopg-3.1.whl", hash = "{HASH}"}}]
[[package]]
name = "pytest"
version = "8"
groups = ["dev"]
files = [{{file = "pytest-8.whl", hash = "{HASH}"}}]
[extras]
pg = ["psycopg"]
[metadata]
lock-version = "2.1"
python-versions = ">=3.8,<4"
"""
PDM = f"""\
[metadata]
groups = ["default", "dev"]
strategy = ["inherit_metadata"]
lock_version = "4.5.0"
[[metadata.targets]]
requires_python = ">=3.8"
[[package]]
name = "flask"
version = "3.0"
groups = ["default"]
marker = "python_version >= \\"3.8\\""
files = [{{file = "flask-3.0.whl", hash = "{HASH}"}}]
[[package]]
name = "pytest"
version = "8"
groups = ["dev"]
files = [{{file = "pytest-8.whl", hash = "{HASH}"}}]
"""
PIPFILE = f"""\
{{"_meta": {{"requires": {{"python_version": "3.11"}}, "sources": [{{"url": "https://pypi.org/simple"}}]}},
 "default": {{"flask": {{"version": "==3.0", "hashes": ["{HASH}"], "markers": "python_version >= '3.8'"}}}},
 "develop": {{"pytest": {{"version": "==8", "hashes": ["{HASH}"]}}}}}}
"""


@dataclass(frozen=True)
class Files:
    """A release as far as its requirements go."""

    files: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        found = self.files.get(path)
        return found.encode() if found is not None else None

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        raise AssertionError("reading writes nothing")


def read(name: str, text: str, **settings: Any) -> Requirements:
    config = replace(CONFIG, requirements=(name,), **settings)
    live = LiveVenv(Path("/app/venv"), Path("/app/venv"), None, "3.11.7", None)
    return read_requirements(Files({"pyproject.toml": PROJECT, name: text}), config, live)


@pytest.mark.parametrize(
    ("name", "text", "settings", "pins", "unpinned"),
    [
        ("pyproject.toml", PROJECT, {}, {"new": "1"}, {"flask": ">=2"}),
        ("pyproject.toml", PROJECT, {"extras": ("pg",)}, {"new": "1", "psycopg": "3.1"}, {"flask": ">=2"}),
        ("pyproject.toml", PROJECT, {"extras": ("all",)}, {"new": "1", "psycopg": "3.1"}, {"flask": ">=2", "mailer": ""}),
        ("pyproject.toml", PROJECT, {"groups": ("prod",)}, {"new": "1", "gunicorn": "21", "common": "1"}, {"flask": ">=2"}),
        ("uv.lock", UV, {}, {"flask": "3.0", "new": "1"}, {}),
        ("uv.lock", UV, {"extras": ("pg",)}, {"flask": "3.0", "new": "1", "psycopg": "3.1"}, {}),
        ("uv.lock", UV, {"groups": ("prod",)}, {"flask": "3.0", "new": "1", "gunicorn": "21"}, {}),
        ("poetry.lock", POETRY, {}, {"flask": "3.0"}, {}),
        ("poetry.lock", POETRY, {"extras": ("pg",)}, {"flask": "3.0", "psycopg": "3.1"}, {}),
        ("poetry.lock", POETRY, {"groups": ("dev",)}, {"flask": "3.0", "pytest": "8"}, {}),
        ("pdm.lock", PDM, {}, {"flask": "3.0"}, {}),
        ("pdm.lock", PDM, {"groups": ("dev",)}, {"flask": "3.0", "pytest": "8"}, {}),
        ("Pipfile.lock", PIPFILE, {}, {"flask": "3.0"}, {}),
        ("Pipfile.lock", PIPFILE, {"groups": ("develop",)}, {"flask": "3.0", "pytest": "8"}, {}),
    ],
)  # fmt: skip
def test_what_is_installed_of_it(
    name: str, text: str, settings: dict[str, Any], pins: dict[str, str], unpinned: dict[str, str]
) -> None:
    project = PROJECT
    if name == "uv.lock":  # the project that this lock is of
        project = project.replace('all = ["shop[pg,mail]"]', "").replace("mail =", "#").replace("base =", "#")
    found = read(name, text, **settings)
    assert found.problems == ()
    assert dict(found.pins) == pins
    assert dict(found.unpinned) == unpinned
    assert found.hashed is (name != "pyproject.toml"), "a lock's hashes are required of all"
    assert found.sources == (name,)
    assert found.roots == (f".gitdeploy-{name}.txt",)


@pytest.mark.parametrize(
    ("name", "text", "settings", "says"),
    [
        ("poetry.lock", '[metadata]\nlock-version = "2.0"\n', {}, "poetry.lock was written by Poetry 1, and"),
        ("poetry.lock", POETRY, {"groups": ("nope",)}, "poetry.lock has no group nope (venv.groups)."),
        ("pdm.lock", "[metadata]\n", {}, "pdm.lock doesn't say which packages are for development;"),
        ("Pipfile.lock", '{"default": {"a": {"git": "https://x"}}}', {}, "Pipfile.lock takes a from elsewhere than an index"),
        ("Pipfile.lock", "[]", {}, "Pipfile.lock can't be read:"),
        ("Pipfile", "", {}, "Pipfile says no versions; Pipfile.lock does:"),
        ("environment.yml", "", {}, "environment.yml is conda's, and gitdeploy installs with uv and pip only."),
        ("setup.py", "", {}, "setup.py can't be named in venv.requirements; the app itself is installed by:"),
        ("pyproject.toml", "[project", {}, "pyproject.toml can't be read:"),
        ("pyproject.toml", PROJECT, {"extras": ("nope",)}, "pyproject.toml has no extra nope (venv.extras)."),
        ("pyproject.toml", PROJECT.replace('["common==1"]', '[{include-group = "prod"}]'), {"groups": ("prod",)}, "pyproject.toml has a group that includes itself: prod."),
        ("uv.lock", "version = 99\n", {}, "uv.lock can't be exported by uv:"),
        ("sub/uv.lock", UV, {}, "sub/uv.lock lies beside no pyproject.toml, which it belongs to."),
        ("pyproject.toml", PROJECT.replace(">=3.8", ">=3.12"), {}, "pyproject.toml is for Python >=3.12, and the venv has 3.11.7;"),
        ("pylock.toml", 'requires-python = ">=3.13"\n', {}, "pylock.toml is for Python >=3.13, and the venv has 3.11.7;"),
        ("pylock.toml", "", {"installer": "pip"}, "pylock.toml can only be installed from with uv, and venv.installer is pip."),
    ],
)  # fmt: skip
def test_what_cannot_be_installed_is_said(name: str, text: str, settings: dict[str, Any], says: str) -> None:
    (problem,) = read(name, text, **settings).problems
    assert problem.startswith(says)


def test_a_change_for_development_alone_leaves_the_venv_as_it_is() -> None:
    other = UV.replace('name = "pytest"\nversion = "8"', 'name = "pytest"\nversion = "9"').replace(
        "pytest-8", "pytest-9"
    )
    assert read("uv.lock", other).key == read("uv.lock", UV).key
    assert (
        read("uv.lock", UV.replace('"3.0"', '"3.1"').replace("flask-3.0", "flask-3.1")).key != read("uv.lock", UV).key
    )


def test_an_index_of_the_locks_own_is_a_package_source_of_the_release() -> None:
    foreign = UV.replace("https://pypi.org/simple", "https://packages.example/simple", 1)
    assert read("uv.lock", foreign).index_options == ("--extra-index-url https://packages.example/simple",)
    assert read("uv.lock", UV).index_options == ()
