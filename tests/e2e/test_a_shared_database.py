"""Two hosts, one database: one of them dumps and migrates, the other (--migrate never) only ever takes up the new code."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from socket import gethostname

import pytest
from support.sample import Sample
from support.shared_shop import make_database, make_releases, migrated

pytestmark = pytest.mark.xdist_group("shared-database")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, Path, Path]:
    """The app on v1.0.0 on two hosts, here two checkouts: the first one's sample, the second one's checkout, the database."""
    folder = tmp_path_factory.mktemp("shared")
    sample, database = Sample(folder / "sample", venv=False), folder / "shop.sqlite3"
    make_database(database)
    make_releases(sample, database=str(database), place=str(folder), python=shlex.quote(sys.executable))
    other = folder / "other"
    shutil.copytree(sample.app, other, symlinks=True)
    return sample, other, database


def test_the_other_host_waits_for_the_migration_and_never_runs_it(hosts: tuple[Sample, Path, Path]) -> None:
    sample, other, database = hosts
    there = ["-C", str(other)]
    prepared = sample.gitdeploy(*there, "prepare", "v1.1.0", "--migrate", "never", "--json")
    assert json.loads(prepared.out)["status"] == "succeeded", "what is prepared touches nothing: it waits for nobody"

    early = sample.gitdeploy(*there, "upgrade", "v1.1.0", "--migrate", "never", code=7)
    assert "shop.0002_mood is not recorded" in early.err
    assert (other / "VERSION").read_text() == "1.0.0"

    sample.gitdeploy("upgrade", "v1.1.0")
    assert migrated(database) == (["0001_initial", "0002_mood"], [f"app@{gethostname()}"])

    request = "c0ffee" + "0" * 26
    words = [*there, "upgrade", "v1.1.0", "--migrate", "never", "--json"]
    done = json.loads(sample.gitdeploy(*words, env={"GITDEPLOY_REQUEST": request}).out)
    steps = {step["name"]: step for step in done["steps"]}
    assert steps["migrate"]["status"] == "skipped"
    assert "dump" not in steps
    assert (other / "VERSION").read_text() == "1.1.0"
    assert migrated(database)[1] == [f"app@{gethostname()}"], "the migration ran once"
    assert len((other.parent / "after").read_text().splitlines()) == 1, "and its second half"
    assert not any("prepared: staging" in line for line in done["log"]), "what was prepared was used"

    asked = json.loads(sample.gitdeploy(*there, "log", "--request", request, "--json").out)
    assert (asked["state"], asked["exit_code"], asked["deployment"]) == ("ended", 0, done["id"])
    assert asked["document"]["backup"] == done["backup"]
    (other / ".gitdeploy/requests" / f"{request}.json").unlink()  # a day later
    later = json.loads(sample.gitdeploy(*there, "log", "--request", request, "--json").out)
    assert (later["state"], later["exit_code"], later["document"]["to"]["tag"]) == ("ended", 0, "v1.1.0")
    unknown = json.loads(sample.gitdeploy(*there, "log", "--request", "0" * 32, "--json").out)
    assert unknown["state"] == "unknown"
    assert "32 hexadecimal digits" in sample.gitdeploy(*there, "log", "--request", "x", code=2).err


def test_a_failure_on_the_other_host_leaves_the_shared_data_alone(hosts: tuple[Sample, Path, Path]) -> None:
    sample, other, database = hosts
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT INTO django_migrations(app, name) VALUES ('shop', '0003_gone')")  # as the first host did
    (sample.folder.parent / f"breaks-{gethostname()}-other").touch()
    before = migrated(database)
    failed = sample.gitdeploy("-C", str(other), "upgrade", "v1.2.0", "--migrate", "never", code=3)
    assert (other / "VERSION").read_text() == "1.1.0"
    assert migrated(database) == before, failed.text
