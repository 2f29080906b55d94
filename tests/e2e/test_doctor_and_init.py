"""`doctor`: what is wrong, and what to do. `init`: a deploy.yaml drafted from what the checkout shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.conftest import Shop
from support.sample import Sample, differences

from gitdeploy import config as configuration

pytestmark = pytest.mark.xdist_group(__name__)


def findings(shop: Shop, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
    """about -> (level, message and hint) of the worst finding each."""
    rows = json.loads(shop.gitdeploy("doctor", "--json", *words, code=code).out)
    order = ["ok", "mended", "warning", "problem"]
    found: dict[str, tuple[str, str]] = {}
    for row in sorted(rows, key=lambda row: order.index(row["level"])):
        found[row["about"]] = (row["level"], f"{row['message']} {row['hint']}")
    return found


def test_a_healthy_app(shop: Shop) -> None:
    before = shop.state()
    found = findings(shop)
    assert {about: level for about, (level, _) in found.items() if level == "problem"} == {}
    assert found["git"][0] == found["venv"][0] == found["source"][0] == found["backups"][0] == "ok"
    assert "v2.1.0" in found["source"][1]
    assert found["health"] == (
        "warning", "No health check: a release that starts and fails stays live. health: in deploy.yaml",
    )  # fmt: skip
    assert "Nothing blocks an upgrade." in shop.gitdeploy("doctor").out
    assert differences(before, shop.state()) == []


def test_everything_broken_is_named_with_what_to_do(shop: Shop) -> None:
    os.unlink(shop.app / "venv/bin/python")
    os.symlink("/usr/bin/python9.9", shop.app / "venv/bin/python")
    manifest = next((shop.app / ".gitdeploy/backups").iterdir()) / "manifest.json"
    manifest.write_text("{")
    shop.git("remote", "set-url", "origin", "https://127.0.0.1:9/x.git")
    hook = shop.app / "hooks/post-deploy"
    hook.parent.mkdir()
    hook.write_text("no interpreter line")
    objects = [path for path in (shop.app / ".git/objects").glob("??/*") if path.is_file()]
    spare = shop.app / ".git/objects/ab"
    spare.mkdir(exist_ok=True)
    (spare / ("c" * 38)).touch()
    (shop.app / ".git/index.lock").touch()
    found = findings(shop, code=1)
    for about, words in {
        "venv": "needs the interpreter /usr/bin/python9.9, which is gone",
        "backups": manifest.parent.name,
        "source": "127.0.0.1:9",
        "hooks": "post-deploy",
        "objects": "Delete them: gitdeploy doctor --repair",
    }.items():
        assert found[about][0] == "problem", (about, found)
        assert words in found[about][1], (about, found[about])
    assert "this removes it: gitdeploy recover" in found["git"][1]
    repaired = findings(shop, "--repair", code=1)
    assert repaired["objects"][0] == "mended"
    assert not (spare / ("c" * 38)).exists()
    assert not (shop.app / ".git/index.lock").exists()
    assert all(path.exists() for path in objects)


def test_a_damaged_state_and_an_interrupted_deployment_are_repaired(shop: Shop) -> None:
    for ending in ("-wal", "-shm"):
        (shop.app / f".gitdeploy/state.db{ending}").unlink(missing_ok=True)
    (shop.app / ".gitdeploy/state.db").write_bytes(b"garbage" * 1000)
    shutil.rmtree(shop.app / ".gitdeploy/reserve")
    assert findings(shop, code=1)["state"][0] == "problem"
    assert findings(shop, "--repair")["backups"][0] == "ok"
    assert (shop.app / ".gitdeploy/reserve/block").stat().st_size == 1 << 20
    shop.gitdeploy("upgrade", "v2.0.0")


@pytest.fixture
def unknown(tmp_path: Path) -> Sample:
    """A Django-like app that has no deploy.yaml yet."""
    sample = Sample(tmp_path, venv=False)
    sample.release(
        "v1.0.0",
        {
            "manage.py": "from django import x\n", "requirements.txt": "", "config.ini": "x", "中文.db": "SQLite format 3\0",
            "instance/readme": "", ".gitignore": "instance/app.db\n",
        },
    )  # fmt: skip
    sample.install("v1.0.0")
    (sample.app / "instance/app.db").write_text("")
    (sample.app / "config.ini").write_text("of this server")
    (sample.app / "venv/bin").mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", sample.app / "venv"], check=True)
    (site,) = sample.app.glob("venv/lib/python*/site-packages")
    (site / "django-5.2.dist-info").mkdir()
    (site / "django-5.2.dist-info/METADATA").write_text("Name: django\n")
    sample.git("remote", "set-url", "origin", "git@github.com:scaleflower/otrs-web.git")
    return sample


def test_init_drafts_what_it_finds(unknown: Sample) -> None:
    shown = unknown.gitdeploy("init", "--print").out
    assert not (unknown.app / "deploy.yaml").exists()
    assert not (unknown.app / ".gitdeploy").exists()
    done = unknown.gitdeploy("init", "--json")
    file = unknown.app / "deploy.yaml"
    assert file.read_text() == shown
    config = configuration.load(unknown.app)
    assert (config.source.type, config.source.repo, config.source.tags) == ("github", "scaleflower/otrs-web", "v*")
    assert set(config.git.keep) == {".env", "config.ini", "中文.db"}
    assert [database.url for database in config.backup.databases] == ["sqlite:///中文.db", "sqlite:///instance/app.db"]
    assert config.hooks.migrate == ("python manage.py migrate --noinput",)
    tried = {each["about"]: each for each in json.loads(done.out)["tried"]}
    assert (tried["hooks"]["holds"], tried["database"]["holds"], tried["plan"]["holds"]) == (True, True, False)
    assert tried["plan"]["hint"], "the host can't be reached here, and what to do is said"
    assert (unknown.app / ".gitdeploy").is_dir()
    assert "/.gitdeploy/" in (unknown.app / ".git/info/exclude").read_text()


def test_init_says_what_it_tried_and_never_to_commit_on_the_server(unknown: Sample) -> None:
    unknown.git("remote", "set-url", "origin", str(unknown.remote))
    (unknown.app / "instance/app.db").unlink()
    done = unknown.gitdeploy("init")
    assert "ok      plan" in done.text
    assert "settings to decide, commented in the file: " in done.text
    assert "stays as it is with every upgrade" in done.text
    assert "commit it where the app is developed, not here" in done.text
    unknown.gitdeploy("doctor")
    unknown.git("add", "deploy.yaml")
    assert "Commit the change where the app is developed, not here." in unknown.gitdeploy("init", "--force").text


def test_init_never_overwrites_unasked(unknown: Sample) -> None:
    (unknown.app / "deploy.yaml").write_text("app: {name: mine}\n")
    done = unknown.gitdeploy("init", code=2)
    assert "is there already" in done.err
    assert (unknown.app / "deploy.yaml").read_text() == "app: {name: mine}\n"
    unknown.gitdeploy("init", "--force")
    assert "name: mine" in (unknown.app / "deploy.yaml").read_text()
