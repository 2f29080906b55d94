"""Venvs that are built in another way than most, and what is left when backups and the journal go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.conftest import Shop
from e2e.test_ready_and_remembered import without_network
from support.sample import Sample, differences

pytestmark = pytest.mark.xdist_group(__name__)

# The whole of a build backend (PEP 517, PEP 660), beside the project that it builds: nothing is fetched for it.
BACKEND = """\
import os, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "myapp-1-py3-none-any.whl"
    info = "myapp-1.dist-info"
    files = {
        "__editable__.myapp.pth": os.path.join(os.getcwd(), "src") + "\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: myapp\\nVersion: 1\\nRequires-Dist: greeting>=2\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: here\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"]))
    return name
"""
PROJECT = """\
[project]
name = "myapp"
version = "1"
dependencies = ["greeting>=2"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    made = Sample(tmp_path)
    for version in ("1.0", "2.0"):
        made.wheel("greeting", version)
    made.release("v1.0.0", {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n", "requirements.txt": "greeting==1.0\n"})
    return made


def test_the_app_itself_is_installed_editable_and_runs_from_the_checkout(sample: Sample) -> None:
    files = {"deploy.yaml": SETTINGS, ".gitignore": "/venv\n", "requirements.txt": "-e .\n"}
    project = {"pyproject.toml": PROJECT, "backend.py": BACKEND}
    sample.release("v2.0.0", {**files, **project, "src/myapp.py": "import greeting\nVERSION = 2\n"})
    sample.release("v2.1.0", {**files, **project, "src/myapp.py": "import greeting\nVERSION = 2.1\n"})
    sample.install("v1.0.0")
    before = sample.state()
    sample.gitdeploy("upgrade", "v2.0.0")
    assert sample.packages() == ["greeting==2.0", "myapp==1"]
    ask = [str(sample.app / "venv/bin/python"), "-I", "-c", "import myapp; print(myapp.__file__, myapp.VERSION)"]
    assert subprocess.check_output(ask, text=True).split() == [str(sample.app / "src/myapp.py"), "2"]
    venv = (sample.app / "venv").resolve()
    sample.gitdeploy("upgrade", "v2.1.0")
    assert subprocess.check_output(ask, text=True).split() == [str(sample.app / "src/myapp.py"), "2.1"]
    assert (sample.app / "venv").resolve() == venv, "what describes the project is the same, and so is the venv"
    sample.gitdeploy("restore", json.loads(sample.gitdeploy("backups", "--json").out)[-1]["id"])
    assert differences(before["files"], sample.state()["files"]) == []
    assert sample.packages() == ["greeting==1.0"]


def test_pip_where_pip_is_wanted(sample: Sample) -> None:
    settings = SETTINGS + "venv: {installer: pip}\n"
    sample.release("v2.0.0", {"deploy.yaml": settings, ".gitignore": "/venv\n", "requirements.txt": "greeting==2.0\n"})
    sample.release("v3.0.0", {"deploy.yaml": settings, ".gitignore": "/venv\n", "requirements.txt": "nowhere==1\n"})
    sample.venv = False
    sample.install("v1.0.0")
    sample.venv = True
    subprocess.run([sys.executable, "-m", "venv", sample.app / "venv"], check=True)
    pip = [str(sample.app / "venv/bin/python"), "-m", "pip", "install", "-q", "-r", "requirements.txt"]
    subprocess.run(pip, cwd=sample.app, env=sample.environment, check=True)
    before = sample.packages()
    done = sample.gitdeploy("upgrade", "v2.0.0")
    assert "build: greeting 1.0 -> 2.0" in done.err
    (said,) = (sample.app / "venv").glob("lib/python*/site-packages/greeting-2.0.dist-info/INSTALLER")
    assert said.read_text().strip() == "pip"
    failed = sample.gitdeploy("upgrade", "v3.0.0", code=1)
    assert "No matching distribution found for nowhere==1" in failed.err
    sample.gitdeploy("rollback", "--yes")
    assert sample.packages() == before


def test_prune_keeps_the_newest_the_labelled_the_live_and_the_last_good_one(shop: Shop) -> None:
    def kept() -> list[tuple[str, str]]:
        return [(row["version"], row["label"]) for row in json.loads(shop.gitdeploy("backups", "--json").out)]

    for tag in ("v2.0.0", "v2.1.0"):
        shop.gitdeploy("upgrade", tag)
    broken = shop.app / ".git/broken-hooks"
    broken.write_text(SETTINGS + "hooks: {post-deploy: ['exit 9']}\n")
    for _ in range(2):
        shop.gitdeploy("--config", str(broken), "upgrade", "v2.0.0", "--allow-downgrade", code=3)
    before = shop.state()
    assert kept() == [("2.1.0", ""), ("2.1.0", ""), ("2.0.0", ""), ("1.0.0", ""), ("1.0.0", "first")]
    dry = json.loads(shop.gitdeploy("prune", "--keep", "1", "--dry-run", "--json").out)
    assert len(kept()) == 5, "a dry run drops nothing"
    done = json.loads(shop.gitdeploy("prune", "--keep", "1", "--json").out)
    assert done["backups"] == dry["backups"]
    assert [entry for entry in kept() if entry[0] != "2.1.0"] == [("2.0.0", ""), ("1.0.0", "first")], (
        "two failures since push no good one out"
    )
    assert differences(before, shop.state()) == []
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "VERSION").read_text() == "2.0.0"
    shop.gitdeploy("restore", "refs/gitdeploy/backups/" + json.loads(shop.gitdeploy("backups", "--json").out)[-1]["id"])
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    assert "greeting==1.0" in shop.packages()


def test_a_backup_alone_is_enough_without_network_journal_and_installer(shop: Shop, tmp_path: Path) -> None:
    before = shop.state()
    shop.gitdeploy("upgrade", "v2.0.0")
    backup = json.loads(shop.gitdeploy("backups", "--json").out)[0]["id"]
    for file in (shop.app / ".gitdeploy").glob("state.db*"):
        file.unlink()
    shop.remote.rename(tmp_path / "gone")
    nothing = {"PIP_FIND_LINKS": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "no-cache")}
    shop.gitdeploy("restore", backup, env=nothing, before=without_network(shop))
    assert differences(before, shop.state()) == []
