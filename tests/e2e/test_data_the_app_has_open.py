"""Data are what the app has open: a database that the release tracks, one file under many names, a setting that leads
elsewhere, and a dump made just before the switch."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.sample import Link, Program, Sample, Tree

SETTINGS = """\
app: {name: library}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks, timeout: 30}
service: {command: "true"}
"""
DATABASES = 'backup: {databases: ["sqlite:///library.db"]}\n'
FAIL = Program("#!/bin/sh\nexit 1\n")
MIGRATE = Program(
    "#!/usr/bin/env python3\nimport sqlite3\ndb = sqlite3.connect('library.db')\n"
    "db.execute('ALTER TABLE book ADD COLUMN year')\ndb.commit()\n"
)


def database(path: Path, *rows: str, wal: bool = False) -> bytes:
    with closing(sqlite3.connect(path)) as made, made:
        if wal:
            made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE IF NOT EXISTS book (title)")
        made.executemany("INSERT INTO book VALUES (?)", [(row,) for row in rows])
    return path.read_bytes()


def titles(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as found:
        return [row[0] for row in found.execute("SELECT title FROM book ORDER BY 1")]


def tree(version: str, folder: Path, settings: str = SETTINGS + DATABASES, **more: Any) -> Tree:
    """A release with a library of its own, another one in each version."""
    shipped = database(folder / f"shipped-{version}.db", f"of {version}")
    return {"deploy.yaml": settings, "VERSION": version, "library.db": shipped, ".gitignore": "*.db-*\n", **more}


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return Sample(tmp_path / "sample", venv=False)


def installed(sample: Sample, settings: str = SETTINGS + DATABASES) -> Path:
    """v1.0.0 with the operator's own books in the tracked library; v2.0.0 and a v3.0.0 that fails are there."""
    folder = sample.folder
    sample.release("v1.0.0", tree("1.0.0", folder, settings))
    sample.release("v2.0.0", tree("2.0.0", folder, settings))
    sample.release("v3.0.0", tree("3.0.0", folder, settings, **{"hooks/migrate": MIGRATE, "hooks/post-deploy": FAIL}))
    without = {k: v for k, v in tree("4.0.0", folder, settings).items() if k != "library.db"}
    sample.release("v4.0.0", without)
    sample.install("v1.0.0", branch="main")
    database(sample.app / "library.db", "mine")
    return sample.app / "library.db"


WAYS: dict[str, list[tuple[str, ...]]] = {
    "plain": [("upgrade", "v2.0.0")],
    "discard": [("upgrade", "v2.0.0", "--discard-local-changes")],
    "merge": [("upgrade", "v2.0.0", "--merge-local-changes")],
    "back": [("upgrade", "v2.0.0"), ("rollback", "--yes")],
    "restored": [("upgrade", "v2.0.0", "--discard-local-changes"), ("restore", "latest")],
    "prepared": [("prepare", "v2.0.0"), ("upgrade", "v2.0.0")],
    "dropped by the release": [("upgrade", "v4.0.0", "--discard-local-changes")],
    "dropped and back": [("upgrade", "v4.0.0"), ("rollback", "--yes")],
    "downgrade": [("upgrade", "v2.0.0"), ("upgrade", "v1.0.0", "--allow-downgrade", "--discard-local-changes")],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_settling_local_changes_puts_the_releases_own_database_live(sample: Sample, way: str) -> None:
    file = installed(sample)
    before = titles(file)
    assert "mine" in before
    for words in WAYS[way]:
        sample.gitdeploy(*words)
    assert titles(file) == before


@pytest.mark.parametrize("policy", ["", "--discard-local-changes", "--merge-local-changes"])
def test_nor_does_an_upgrade_that_fails(sample: Sample, policy: str) -> None:
    file = installed(sample)
    before = titles(file)
    sample.gitdeploy("upgrade", "v3.0.0", *filter(None, [policy]), code=3)
    assert (sample.app / "VERSION").read_text() == "1.0.0"
    assert titles(file) == before
    with closing(sqlite3.connect(file)) as found:
        assert len(found.execute("SELECT * FROM book").fetchone()) == 1


def test_a_database_that_only_the_releases_own_settings_name_is_not_replaced(sample: Sample) -> None:
    sample.release("v1.0.0", {"deploy.yaml": SETTINGS, "VERSION": "1.0.0"})
    sample.release("v2.0.0", tree("2.0.0", sample.folder))
    sample.install("v1.0.0", branch="main")
    file = sample.app / "library.db"
    database(file, "mine")
    said = sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes", code=7).text
    assert "library.db, which its deploy.yaml names as the app's database" in said
    assert titles(file) == ["mine"]
    # The hint that it gives, followed.
    line = said.partition("Keep yours, in deploy.yaml:  ")[2].splitlines()[0]
    (sample.app / "deploy.yaml").write_text(f"{SETTINGS}{line}\n")
    sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    assert titles(file) == ["mine"]


def test_a_link_on_the_way_to_the_database_is_not_replaced_either(sample: Sample, tmp_path: Path) -> None:
    settings = SETTINGS + 'backup: {databases: ["sqlite:///data/library.db"]}\n'
    place = tmp_path / "elsewhere"
    place.mkdir()
    sample.release("v1.0.0", {"deploy.yaml": settings, "data": Link(str(place))})
    shipped = database(tmp_path / "shipped.db", "shipped")
    sample.release("v2.0.0", {"deploy.yaml": settings, "data/library.db": shipped})
    sample.install("v1.0.0", branch="main")
    database(place / "library.db", "mine")
    said = sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes", code=7).text
    assert "through which the app's database data/library.db is reached" in said
    assert titles(sample.app / "data/library.db") == ["mine"]


# ---- one file, many names ----


def dumps_of(sample: Sample) -> list[str]:
    newest = max((sample.app / ".gitdeploy/backups").iterdir())
    return [dump["name"] for dump in json.loads((newest / "manifest.json").read_text())["dumps"]]


def spellings(app: Path) -> dict[str, str]:
    os.symlink("library.db", app / "linked.db")
    (app / "instance").mkdir()
    database(app / "instance/flask.db", "flask")
    return {
        "sqlite:///library.db": "library.db",
        "sqlite:///./instance/../library.db": "library.db",
        f"sqlite:///{app}/library.db": "library.db",
        "sqlite:///linked.db": "library.db",
        "sqlite+aiosqlite:///library.db?timeout=3": "library.db",
        "sqlite:///file:library.db?mode=rw&uri=true": "library.db",
        f"sqlite:///file:{app}/library.db?uri=true": "library.db",
        f"sqlite:///file://{app}/library.db?uri=true": "library.db",
        "sqlite:///flask.db": "instance/flask.db",
        "sqlite:///instance/flask.db": "instance/flask.db",
    }


def test_one_file_under_many_names_is_dumped_once_and_put_back_once(sample: Sample) -> None:
    file = installed(sample)
    names = spellings(sample.app)
    urls = "".join(f"    - {json.dumps(url)}\n" for url in names)
    settings = SETTINGS + f"backup:\n  restore_data: always\n  databases:\n{urls}"
    (sample.app / "deploy.yaml").write_text(settings)
    before = titles(file)
    said = sample.gitdeploy("upgrade", "v3.0.0", "--discard-local-changes", code=3).text
    assert dumps_of(sample) == ["library.db", "instance/flask.db"]
    assert said.count("library.db was put back") == 1
    assert titles(file) == before
    assert (sample.app / "linked.db").is_symlink()


@pytest.mark.parametrize("number", range(8))
def test_a_dump_is_found_again_whatever_the_file_is_called_by_then(sample: Sample, number: int) -> None:
    file = installed(sample)
    other = [url for url, name in spellings(sample.app).items() if name == "library.db"][number]
    sample.gitdeploy("upgrade", "v2.0.0")
    before = titles(file)
    database(file, "later")
    (sample.app / "deploy.yaml").write_text(SETTINGS + f"backup: {{databases: [{json.dumps(other)}]}}\n")
    sample.gitdeploy("rollback", "--yes", "--with-data")
    assert titles(file) == before


@contextmanager
def bound(source: Path, place: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("a bind mount needs root")
    subprocess.run(["mount", "--bind", str(source), str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_through_a_bind_mount_it_is_the_same_file(sample: Sample, tmp_path: Path) -> None:
    file = installed(sample)
    place = tmp_path / "mounted"
    place.mkdir()
    with bound(sample.app, place):
        text = (
            f'backup: {{restore_data: always, databases: ["sqlite:///library.db", "sqlite:///{place}/library.db"]}}\n'
        )
        (sample.app / "deploy.yaml").write_text(SETTINGS + text)
        before = titles(file)
        sample.gitdeploy("upgrade", "v3.0.0", "--discard-local-changes", code=3)
        assert dumps_of(sample) == ["library.db"]
        assert titles(file) == before


def test_a_file_that_is_itself_a_mount_is_put_back_too(sample: Sample, tmp_path: Path) -> None:
    settings = SETTINGS + 'backup: {databases: ["sqlite:///store.db"]}\n'
    migrate = str(MIGRATE.text).replace("library.db", "store.db")
    more = {"hooks/migrate": Program(migrate), "hooks/post-deploy": FAIL}
    sample.release("v1.0.0", {"deploy.yaml": settings, ".gitignore": "store.db*\n"})
    sample.release("v2.0.0", {"deploy.yaml": settings, ".gitignore": "store.db*\n", **more})
    sample.install("v1.0.0", branch="main")
    real, file = tmp_path / "real.db", sample.app / "store.db"
    database(real, "mine")
    file.touch()
    with bound(real, file):
        sample.gitdeploy("upgrade", "v2.0.0", code=3)
        with closing(sqlite3.connect(file)) as found:
            assert found.execute("SELECT * FROM book").fetchall() == [("mine",)]


def test_a_database_in_memory_is_refused_in_words(sample: Sample) -> None:
    installed(sample)
    (sample.app / "deploy.yaml").write_text(SETTINGS + 'backup: {databases: ["sqlite:///:memory:"]}\n')
    assert "is a database in memory" in sample.gitdeploy("plan", "v2.0.0", code=None).text


# ---- what the app has open ----

APP = """\
import sqlite3, sys, time
held = [sqlite3.connect(name) for name in sys.argv[1:]]
for each in held:
    each.execute("SELECT * FROM sqlite_master").fetchall()
    each.execute("PRAGMA user_version").fetchall()
print("up", flush=True)
time.sleep(60)
"""


@contextmanager
def running(app: Path, *files: str) -> Iterator[subprocess.Popen[str]]:
    """The app's process, with FILES open."""
    process = subprocess.Popen(
        [sys.executable, "-c", APP, *files], cwd=app, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said_of(sample: Sample) -> tuple[str, str]:
    """What plan and doctor say."""
    return (
        sample.gitdeploy("plan", "v2.0.0", code=None).text.replace("\n", " "),
        sample.gitdeploy("doctor", code=None).text.replace("\n", " "),
    )


def ready(sample: Sample, settings: str, wal: bool = False) -> None:
    ignored = {".gitignore": "*.db*\n"}
    sample.release("v1.0.0", {"deploy.yaml": SETTINGS + settings, **ignored})
    sample.release("v2.0.0", {"deploy.yaml": SETTINGS + settings, "new": "", **ignored})
    sample.install("v1.0.0", branch="main")
    database(sample.app / "real.db", "mine", wal=wal)


@pytest.mark.parametrize("wal", [False, True])
def test_a_database_that_is_open_and_named_nowhere(sample: Sample, wal: bool) -> None:
    ready(sample, "", wal)
    with running(sample.app, "real.db"):
        for said in said_of(sample):
            assert (
                "The app has real.db open, and backup.databases names no database: nothing of it is backed up." in said
            )
            assert "name it there: sqlite:///real.db" in said


def test_another_file_than_the_app_has_open(sample: Sample) -> None:
    ready(sample, 'backup: {databases: ["sqlite:///wrong.db"]}\n')
    (sample.app / "wrong.db").touch()
    with running(sample.app, "real.db"):
        for said in said_of(sample):
            assert "The database wrong.db is an empty file" in said
            assert "backup.databases names wrong.db, but the app has real.db open: nothing of it is backed up." in said


def test_what_is_right_is_not_talked_about(sample: Sample) -> None:
    ready(sample, f'backup: {{databases: ["sqlite:///{sample.app}/real.db"]}}\n')
    with running(sample.app, "real.db"):
        for said in said_of(sample):
            assert "backed up" not in said
            assert "empty file" not in said


def test_a_file_that_was_deleted_under_the_app(sample: Sample) -> None:
    ready(sample, 'backup: {databases: ["sqlite:///real.db"]}\n')
    with running(sample.app, "real.db"):
        (sample.app / "real.db").unlink()
        database(sample.app / "real.db", "another")
        for said in said_of(sample):
            assert "real.db no more: the file was deleted or replaced" in said


def test_a_variable_names_a_database_and_nothing_is_backed_up(sample: Sample) -> None:
    ready(sample, "")
    (sample.app / ".env").write_text("DATABASE_URL=sqlite:///real.db\n")
    for said in said_of(sample):
        assert "DATABASE_URL is set, and backup.databases names no database" in said


def test_an_open_database_that_the_release_tracks_is_kept_although_nothing_names_it(sample: Sample) -> None:
    file = installed(sample, SETTINGS)
    before = titles(file)
    with running(sample.app, "library.db"):
        sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    assert titles(file) == before


# ---- the dump is made late ----


def test_what_is_written_while_the_venv_is_built_and_hooks_run_is_in_the_dump(sample: Sample) -> None:
    """pre-deploy runs after the venv was built: what is written there stands for a customer's order."""
    settings = SETTINGS + 'backup: {databases: ["sqlite:///store.db"], include: [uploads]}\n'
    order = Program(
        "#!/bin/sh\nset -e\nprintf 'an order' >uploads/order; rm uploads/gone\n"
        "python3 -c \"import sqlite3; d = sqlite3.connect('store.db'); d.execute('INSERT INTO book VALUES (1)'); d.commit()\"\n"
    )
    tree: Tree = {"deploy.yaml": settings, ".gitignore": "store.db*\nuploads/\n", "hooks/pre-deploy": order}
    migrate = Program(
        MIGRATE.text.replace("library.db", "store.db") + "open('uploads/order', 'w').write('new release')\n"
    )
    sample.release("v1.0.0", tree)
    sample.release("v2.0.0", {**tree, "hooks/migrate": migrate, "hooks/post-deploy": FAIL})
    sample.install("v1.0.0", branch="main")
    database(sample.app / "store.db", "mine")
    (sample.app / "uploads").mkdir()
    for name in ("gone", "stays"):
        (sample.app / "uploads" / name).write_text(name)
    time.sleep(0.2)
    sample.gitdeploy("upgrade", "v2.0.0", code=3)
    with closing(sqlite3.connect(sample.app / "store.db")) as found:
        assert found.execute("SELECT * FROM book").fetchall() == [("mine",), (1,)]
    assert (sample.app / "uploads/order").read_text() == "an order"
    assert sorted(os.listdir(sample.app / "uploads")) == ["order", "stays"]
    place = next((sample.app / ".gitdeploy/backups").iterdir())
    assert sorted(os.listdir(place / "include/uploads")) == ["order", "stays"]
    assert not (place / "include.new").exists()


def test_a_dump_that_fails_late_has_touched_nothing(sample: Sample) -> None:
    settings = SETTINGS + 'backup: {databases: ["sqlite:///store.db"]}\n'
    spoil = Program("#!/bin/sh\nprintf 'no database at all, but long enough to be looked at' >store.db\n")
    tree: Tree = {"deploy.yaml": settings, ".gitignore": "store.db*\n", "hooks/pre-deploy": spoil}
    sample.release("v1.0.0", tree)
    sample.release("v2.0.0", {**tree, "new": ""})
    sample.install("v1.0.0", branch="main")
    database(sample.app / "store.db", "mine")
    said = sample.gitdeploy("upgrade", "v2.0.0", code=1).text
    assert "store.db can't be dumped" in said
    assert "nothing live was touched" in said
    assert not (sample.app / "new").exists()
    assert list((sample.app / ".gitdeploy/backups").iterdir()) == []
