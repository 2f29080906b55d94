"""An upgrade whose migration changes an SQLite database and that fails later: code and data go back together."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import needs
from support.sample import Program, Sample, Tree, differences

pytestmark = pytest.mark.xdist_group("data-sqlite")

SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks, timeout: 20}
service: {command: ./restart}
health: {successes: 1, interval: 0.1}
git: {keep: [.env, instance]}
backup:
  databases: ["sqlite:///instance/app.db"]
  include: [uploads, instance]
"""
MIGRATE = """#!/usr/bin/env python3
import sqlite3
db = sqlite3.connect("instance/app.db")
db.executescript('''ALTER TABLE customer RENAME COLUMN name TO full_name; CREATE TABLE invoice (i);
    INSERT INTO customer VALUES ('made by the new release');''')
"""
WRITE = """#!/usr/bin/env python3
import sqlite3
db = sqlite3.connect("instance/app.db")
db.execute("INSERT INTO customer VALUES ('made meanwhile')")
db.commit()
"""
FILES = """#!/bin/sh
echo changed by the new release >uploads/a.txt
echo new >uploads/new.txt
"""
FAIL = "#!/bin/sh\necho 'nothing works'\nexit 1\n"
NAMES = "SELECT name FROM customer ORDER BY 1"


def tree(version: str, settings: str = SETTINGS, **hooks: str) -> Tree:
    return {
        "deploy.yaml": settings,
        ".gitignore": "/instance/\n/uploads/\n/.env\n/run\n",
        "VERSION": version,
        "restart": Program("#!/bin/sh\ncat VERSION >>run\n"),
        **{f"hooks/{name.replace('_', '-')}": Program(text) for name, text in hooks.items()},
    }


class App(Sample):
    @property
    def database(self) -> Path:
        return self.app / "instance/app.db"

    def ask(self, question: str, path: Path | None = None) -> list[Any]:
        with closing(sqlite3.connect(path or self.database)) as database:
            return [row[0] for row in database.execute(question)]

    def write(self, statement: str) -> None:
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute(statement)

    def tell(self, settings: str) -> None:
        """deploy.yaml as the operator has it on this server."""
        (self.app / "deploy.yaml").write_text(settings)
        self.git("commit", "-qam", "settings")

    def is_old(self) -> None:
        assert (self.app / "VERSION").read_text() == "1.0.0"
        assert self.ask(NAMES) == ["Zoë"]
        assert self.ask("SELECT name FROM sqlite_master WHERE name = 'invoice'") == []
        leftovers = [str(path) for path in self.app.rglob("*gitdeploy-*") if ".git" not in path.parts]
        assert leftovers == []


@pytest.fixture(scope="session")
def app_once(tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(tmp_path_factory.mktemp("data"), venv=False)
    app.release("v1.0.0", tree("1.0.0"))
    app.release("v2.0.0", tree("2.0.0", migrate=MIGRATE))
    app.release("v2.0.1", tree("2.0.1", migrate=MIGRATE, build=FILES, post_deploy=FAIL))
    app.release("v2.0.2", tree("2.0.2", migrate=WRITE, post_deploy=FAIL))
    app.release("v2.0.3", tree("2.0.3", migrate='#!/bin/sh\necho "not a database" >instance/app.db\nexit 1\n'))
    app.release("v2.0.4", tree("2.0.4", migrate="#!/bin/sh\nrm instance/app.db\nexit 1\n"))
    for policy in ("never", "always"):
        settings = SETTINGS + f"  restore_data: {policy}\n"
        app.release(f"v1.1.0+{policy}", tree("1.0.0", settings))
    app.install("v1.0.0", branch="main")
    (app.app / "instance").mkdir()
    (app.app / "uploads").mkdir()
    (app.app / "uploads/a.txt").write_text("mine\n")
    (app.app / ".env").write_text("SECRET=1\nAPP_VERSION=1.0.0\n")
    app.write("CREATE TABLE customer (name)")
    app.write("INSERT INTO customer VALUES ('Zoë')")
    app.keep()
    return app


@pytest.fixture
def app(app_once: App) -> App:
    app_once.reset()
    return app_once


def kept_dump(said: str) -> Path:
    found = re.search(r"kept: (\S+?(?:\.sqlite3|app\.db))[, ].*\(to look at it: sqlite3 ", said)
    assert found, said
    return Path(found[1])


def test_code_database_and_files_go_back_together_and_what_they_held_meanwhile_is_kept(app: App) -> None:
    said = app.gitdeploy("upgrade", "v2.0.1", code=3).text
    app.is_old()
    assert (app.app / "uploads/a.txt").read_text() == "mine\n"
    assert not (app.app / "uploads/new.txt").exists()
    assert re.search(r"Database instance/app\.db dumped: \d+\.\d kB in \d", said)
    assert "Wanted v2.0.1, failed at post-deploy" in said
    assert "instance/app.db was put back from the dump made before; what it held meanwhile (" in said
    assert app.ask("SELECT full_name FROM customer", kept_dump(said)) == ["Zoë", "made by the new release"]
    (uploads,) = re.findall(r"uploads was put back as it was; what it held meanwhile is kept: (\S+)\.", said)[:1]
    assert (Path(uploads) / "new.txt").read_text() == "new\n"
    # The running process wrote into a database that is no longer there: it was started again.
    assert (app.app / "run").read_text() == "2.0.11.0.0"


def test_rows_written_meanwhile_stay_where_the_schema_did_not_change(app: App) -> None:
    said = app.gitdeploy("upgrade", "v2.0.2", code=3).text
    assert app.ask(NAMES) == ["Zoë", "made meanwhile"]
    assert "put back" not in said


def test_always_puts_them_back_too(app: App) -> None:
    app.tell(SETTINGS + "  restore_data: always\n")
    said = app.gitdeploy("upgrade", "v2.0.2", "--discard-local-changes", code=3).text
    app.is_old()
    assert app.ask(NAMES, kept_dump(said)) == ["Zoë", "made meanwhile"]


def test_never_leaves_them_and_says_loudly_what_to_type(app: App) -> None:
    app.tell(SETTINGS + "  restore_data: never\n")
    done = app.gitdeploy("upgrade", "v2.0.1", "--discard-local-changes", code=3)
    assert (app.app / "VERSION").read_text() == "1.0.0"
    assert app.ask("SELECT full_name FROM customer") == ["Zoë", "made by the new release"]
    assert (app.app / "uploads/new.txt").exists()
    assert "The schema of instance/app.db was changed and is NOT put back (backup.restore_data: never)" in done.text
    assert "uploads changed and is NOT put back" in done.text
    (command,) = set(re.findall(r"gitdeploy (restore \S+ --with-data)", done.text))
    app.gitdeploy(*command.split(), "--yes")
    app.is_old()
    assert not (app.app / "uploads/new.txt").exists()


@pytest.mark.parametrize("tag", ["v2.0.3", "v2.0.4"])
def test_a_migration_that_destroys_or_deletes_the_database(app: App, tag: str) -> None:
    said = app.gitdeploy("upgrade", tag, code=3).text
    app.is_old()
    if tag == "v2.0.3":
        assert kept_dump(said).read_text() == "not a database\n"
    else:
        assert "nothing was there meanwhile" in said


def test_a_roll_back_by_hand_warns_that_the_schema_differs_and_brings_data_back_only_when_asked(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    app.write("INSERT INTO customer VALUES ('weeks of work')")
    (app.app / "uploads/b.txt").write_text("weeks of work\n")
    shown = app.gitdeploy("restore", "latest", "--dry-run").text
    warning = "The schema of instance/app.db has changed since backup"
    assert warning in shown
    assert warning in app.gitdeploy("rollback", "--yes").text
    assert app.ask("SELECT count(*) FROM invoice") == [0]  # the new schema, under the old code: as was asked for

    app.gitdeploy("upgrade", "v2.0.0", "--no-hooks")
    (backup, *_) = [b for b in json.loads(app.gitdeploy("backups", "--json").out) if b["version"] == "1.0.0"][::-1]
    app.gitdeploy("restore", backup["id"], "--with-data", "--yes")
    app.is_old()
    assert not (app.app / "uploads/b.txt").exists()
    # A restore can itself be restored away, data and all.
    app.gitdeploy("restore", "latest", "--with-data", "--yes")
    assert app.ask("SELECT full_name FROM customer") == ["Zoë", "made by the new release", "weeks of work"]
    assert (app.app / "uploads/b.txt").read_text() == "weeks of work\n"


def test_a_restore_with_data_that_fails_later_leaves_everything_as_it_was(app: App) -> None:
    app.gitdeploy("upgrade", "v2.0.0")
    app.write("INSERT INTO customer VALUES ('weeks of work')")
    (app.app / "uploads/b.txt").write_text("weeks of work\n")
    (app.app / ".env").write_text("SECRET=2\nAPP_VERSION=2.0.0\nNEW=1\n")
    hook = app.app / "hooks/post-restore"
    hook.write_text(FAIL)
    hook.chmod(0o755)
    said = app.gitdeploy("rollback", "--yes", "--with-data", code=3).text
    assert (app.app / "VERSION").read_text() == "2.0.0"
    assert app.ask("SELECT full_name FROM customer") == ["Zoë", "made by the new release", "weeks of work"]
    assert (app.app / "uploads/b.txt").read_text() == "weeks of work\n"
    assert (app.app / ".env").read_text() == "SECRET=2\nAPP_VERSION=2.0.0\nNEW=1\n"
    assert "moved aside" not in said
    assert "had been" not in said


# ---- killed ----

POINTS = re.compile(
    r"database |data |backup manifest|apply migrate|applied migrate|undo migrate|journal (?:data|undone)"
)


class Killer:
    """Runs gitdeploy with a fault plan."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.plan, self.list = app, folder / "plan", folder / "points"

    def run(self, action: str, *words: str, code: int | None = None) -> int:
        self.plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\n{action}\n")
        return self.app.gitdeploy(*words, code=code, env={"GITDEPLOY_FAULT_PLAN": str(self.plan)}).code

    def points(self, *words: str) -> list[str]:
        """The names of the points that a whole run passes."""
        self.list.unlink(missing_ok=True)
        self.run(f"count {self.list}", *words)
        return self.list.read_text().splitlines() if self.list.exists() else []


def chosen(points: list[str]) -> list[str]:
    """The points that have to do with data."""
    return list(dict.fromkeys(name for name in points if POINTS.match(name)))


def test_killed_anywhere_in_dump_migration_and_data_restore_recovery_ends_with_the_old_data(
    app: App, tmp_path: Path
) -> None:
    killer = Killer(app, tmp_path)
    names = chosen(killer.points("upgrade", "v2.0.1"))
    assert {"database dumped", "data begun", "data placed", "data kept", "data restored", "database beside"} <= {*names}
    for where in names:
        app.reset()
        assert killer.run(f"kill-at {where}", "upgrade", "v2.0.1") == -9
        said = app.gitdeploy("recover", code=None).text
        try:
            app.is_old()
            assert (app.app / "uploads/a.txt").read_text() == "mine\n"
            assert not (app.app / "uploads/new.txt").exists()
            if "put back from the dump" in said:
                assert app.ask("SELECT full_name FROM customer", kept_dump(said)) == ["Zoë", "made by the new release"]
        except AssertionError as error:
            raise AssertionError(f"killed at {where}:\n{said}") from error


def test_a_recovery_that_is_killed_while_it_puts_data_back_is_finished_by_the_next(app: App, tmp_path: Path) -> None:
    killer = Killer(app, tmp_path)

    def broken() -> None:
        app.reset()
        assert killer.run("kill-at data begun", "upgrade", "v2.0.1") == -9

    broken()
    recovery = killer.points("recover")
    for where in chosen(recovery):
        broken()
        assert killer.run(f"kill-at {where}", "recover") == -9
        said = app.gitdeploy("recover", code=None).text
        try:
            app.is_old()
            # Whatever was killed, the first dump of what the new release had written is not overwritten.
            assert app.ask("SELECT full_name FROM customer", kept_dump(said)) == ["Zoë", "made by the new release"]
        except AssertionError as error:
            raise AssertionError(f"killed at {where}:\n{said}") from error


# ---- room for the dumps ----


def filled(app: App, megabytes: int) -> None:
    """A database of so many megabytes; what is dumped may be as large."""
    app.write("CREATE TABLE picture (content)")
    app.write(f"INSERT INTO picture VALUES (randomblob({megabytes} * 1000000))")


@contextmanager
def disk(place: Path, size: str) -> Iterator[None]:
    """PLACE, with what it holds, on a small disk of its own."""
    needs.mounts()
    held = place.with_name(f"{place.name}-held")
    place.rename(held)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{held}/.", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()
        held.rename(place)


def refused_for_want_of_room(app: App, says: str) -> None:
    """Exit 1 before anything begins; no half dump takes what room there is."""
    before, rows = app.state(), app.ask(NAMES)
    done = app.gitdeploy("upgrade", "v2.0.0", code=1)
    assert re.search(says, done.err), done.err
    assert differences(before, app.state()) == []
    assert app.ask(NAMES) == rows
    assert list((app.app / ".gitdeploy").rglob("*.sqlite3*")) == []
    said = says.removeprefix("Error: ").partition(r"\s+")[0]
    assert re.search(said, app.gitdeploy("plan", "v2.0.0", code=1).text), "and plan says so, too"


def test_a_disk_without_room_for_the_dump_and_one_more_is_refused(app: App) -> None:
    """The second: what a roll-back would replace is kept as well."""
    filled(app, 8)
    with disk(app.app, "24m"):
        said = r"Error: Too little space on the disk of \S+/app: 1\d\.\d MB free, [23]\d\.\d MB needed\.\s+Make room\. To drop old backups: git"
        refused_for_want_of_room(app, said)


def test_a_disk_without_room_beside_the_database_is_refused(app: App) -> None:
    filled(app, 8)
    with disk(app.app / "instance", "12m"):
        refused_for_want_of_room(
            app,
            r"Too little space beside the database instance/app\.db to put a dump back: [1-5]\.\d MB free, "
            r"8\.\d MB needed\.\s+Make room there, or do without: backup: \{restore_data: never\}",
        )
        app.tell(SETTINGS + "  restore_data: never\n")
        assert "beside the database" not in app.gitdeploy("plan", "v2.0.0", code=None).text


# ---- data that can't be put back ----


def test_data_that_can_not_be_put_back_are_left_as_they_are_where_deploy_yaml_says_so(app: App, tmp_path: Path) -> None:
    """The line that the message has for deploy.yaml, written there; then the command that it names."""
    killer = Killer(app, tmp_path)
    assert killer.run("kill-at data begun", "upgrade", "v2.0.1") == -9
    needs.immutable(app.database)
    try:
        said = app.gitdeploy("recover", code=4).err
        way = re.search(r"To leave the data as they are: backup: \{(.*)\} in deploy.yaml, then: gitdeploy (.*)", said)
        assert way is not None, said
        file = app.app / "deploy.yaml"
        file.write_text(f"{file.read_text()}  {way[1]}\n")
        app.gitdeploy(*way[2].split())
        assert (app.app / "VERSION").read_text() == "1.0.0"
        assert app.gitdeploy("recover").out.startswith("Nothing to recover")
    finally:
        subprocess.run(["chattr", "-i", str(app.database)], check=True)
