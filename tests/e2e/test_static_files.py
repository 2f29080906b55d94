"""Collected static files are those of the release that is live, on the way back too: Django copies only what is newer."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from support.sample import Sample, Tree

pytest.importorskip("django")

MANAGE = """\
import glob, os, sys
sys.path += glob.glob("venv/lib/python*/site-packages")
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
CONFIGURED = """\
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.staticfiles", "widgets"]
STATIC_URL = "/static/"
STATIC_ROOT = "collected"
STATICFILES_DIRS = ["assets"]
"""
COLLECT = f"{shlex.quote(sys.executable)} manage.py collectstatic --noinput --verbosity 0"


def tree(number: int, widgets: int, *, fails: bool = False) -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks:\n"
        f"  build: [{json.dumps(COLLECT)}]\n" + ("  post-deploy: ['exit 1']\n" if fails else ""),
        ".gitignore": "/venv\n/collected/\n__pycache__/\n",
        "manage.py": MANAGE,
        "settings.py": CONFIGURED,
        "requirements.txt": f"widgets=={widgets}.0\n",
        "assets/app.css": f"app {number}\n",
    }


@pytest.fixture
def shop(tmp_path: Path) -> Sample:
    made = Sample(tmp_path)
    for number in (1, 2):
        files = {"widgets/__init__.py": "", "widgets/static/widgets/a.css": f"widgets {number}\n",
                 "widgets/static/widgets/same.css": "same\n"}  # fmt: skip
        made.wheel("widgets", f"{number}.0", files)
    made.release("v1.0.0", tree(1, 1))
    made.release("v2.0.0", tree(2, 2))
    made.release("v3.0.0", tree(3, 2, fails=True))
    made.install("v1.0.0")
    made._run("/bin/sh", "-c", COLLECT)
    (made.app / "collected/photo-of-a-user").write_text("mine")
    return made


def collected(shop: Sample) -> tuple[str, str]:
    folder = shop.app / "collected"
    assert (folder / "photo-of-a-user").read_text() == "mine"
    return (folder / "app.css").read_text().strip(), (folder / "widgets/a.css").read_text().strip()


def test_forth_and_back_and_a_release_that_fails(shop: Sample) -> None:
    assert collected(shop) == ("app 1", "widgets 1")
    shop.gitdeploy("upgrade", "v3.0.0", code=3)  # a plain venv becomes one again
    assert collected(shop) == ("app 1", "widgets 1")
    shop.gitdeploy("upgrade", "v2.0.0")
    assert collected(shop) == ("app 2", "widgets 2")
    shop.gitdeploy("rollback", "--yes")
    assert collected(shop) == ("app 1", "widgets 1")
    shop.gitdeploy("upgrade", "v3.0.0", code=3)
    assert collected(shop) == ("app 1", "widgets 1")
    assert [each for each in shop.gitdeploy("doctor", code=None).out.splitlines() if "edited" in each] == []


def test_a_venv_that_was_made_before_the_last_collection(shop: Sample) -> None:
    shop.gitdeploy("prepare", "v2.0.0")
    for file in (shop.app / "collected").rglob("*.css"):
        file.unlink()
    shop._run("/bin/sh", "-c", COLLECT)
    shop.gitdeploy("upgrade", "v2.0.0")
    assert collected(shop) == ("app 2", "widgets 2")


def test_only_what_differs_gets_another_time_and_other_venvs_keep_theirs(shop: Sample) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    generations = {path.name: path for path in (shop.app / ".gitdeploy/venvs").iterdir() if path.is_dir()}

    def times() -> dict[tuple[str, str], int]:
        return {
            (name, file.name): file.stat().st_mtime_ns
            for name, path in generations.items()
            for file in path.rglob("static/widgets/*")
        }

    before = times()
    shop.gitdeploy("rollback", "--yes")
    (live,) = (name for name in generations if (shop.app / "venv").resolve() == generations[name])
    assert {key for key, value in times().items() if before[key] != value} == {(live, "a.css")}
