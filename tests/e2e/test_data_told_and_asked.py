"""What was written meanwhile is told and kept when data go back, and nobody's data are replaced unasked."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.sample import Program, Sample, Tree

from gitdeploy import App
from gitdeploy.web.page.document import Parts, Visitor

SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks, timeout: 30}
service: {command: "true"}
backup: {databases: ["sqlite:///shop.db"], include: [uploads], keep: 9}
"""
MIGRATE = """#!/usr/bin/env python3
import sqlite3
db = sqlite3.connect("shop.db")
if "paid" not in [row[1] for row in db.execute("PRAGMA table_info(orders)")]:
    db.execute("ALTER TABLE orders ADD COLUMN paid DEFAULT 0")
db.commit()
"""
ORDER = """#!/usr/bin/env python3
import sqlite3
db = sqlite3.connect("shop.db")
db.execute("INSERT INTO orders (what) VALUES ('a book')")
db.execute("INSERT INTO orders (what) VALUES ('a pen')")
db.execute("UPDATE customer SET name = 'Ann B.' WHERE name = 'Ann'")
db.commit()
open("uploads/scan", "w").write("a scan")
"""
FAIL = "#!/bin/sh\nexit 1\n"


def tree(version: str, **hooks: str) -> Tree:
    found = {f"hooks/{name.replace('_', '-')}": Program(text) for name, text in hooks.items()}
    return {"deploy.yaml": SETTINGS, "VERSION": version, ".gitignore": "shop.db*\nuploads/\n.env\n", **found}


class Shop(Sample):
    @property
    def database(self) -> Path:
        return self.app / "shop.db"

    def ask(self, question: str, path: Path | None = None) -> list[object]:
        with closing(sqlite3.connect(path or self.database)) as found:
            return [row[0] for row in found.execute(question)]

    def order(self, what: str) -> None:
        with closing(sqlite3.connect(self.database)) as found, found:
            found.execute("INSERT INTO orders (what) VALUES (?)", (what,))

    def backups(self) -> list[dict[str, str]]:
        return list(json.loads(self.gitdeploy("backups", "--json").out))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "shop", venv=False)
    shop.release("v1.0.0", tree("1"))
    shop.release("v2.0.0", tree("2", migrate=MIGRATE))
    shop.release("v2.1.0", tree("2.1", migrate=MIGRATE, post_deploy=ORDER + "raise SystemExit(1)\n"))
    shop.release("v2.2.0", tree("2.2", migrate=MIGRATE, post_deploy=FAIL))
    shop.release("v2.3.0", tree("2.3", migrate="#!/bin/sh\necho 'no database' >shop.db\nexit 1\n"))
    shop.install("v1.0.0", branch="main")
    (shop.app / "uploads").mkdir()
    (shop.app / "uploads/one").write_text("one")
    with closing(sqlite3.connect(shop.database)) as made, made:
        made.execute("CREATE TABLE orders (what)")
        made.execute("CREATE TABLE customer (name)")
        made.executemany("INSERT INTO customer VALUES (?)", [("Ann",), ("Bob",)])
    return shop


# ---- told ----


def test_an_order_of_the_time_between_is_told_counted_and_kept(shop: Shop) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=2)
    done = shop.gitdeploy("upgrade", "v2.1.0", "--json", code=3)
    document = json.loads(done.out)
    assert "nothing was lost" not in done.text
    assert "what was written meanwhile into uploads, shop.db is no longer live, but kept." in document["message"]
    assert "Written into it between" in document["message"]
    assert "2 rows in orders, 1 row in customer (those of the migration among them)" in document["message"]
    assert "1 file" in document["message"]
    by_name = {entry["name"]: entry for entry in document["replaced"]}
    assert by_name.keys() == {"shop.db", "uploads"}
    entry = by_name["shop.db"]
    assert entry["rows"] == {"orders": 2, "customer": 1}
    assert entry["told"] is True
    assert by_name["uploads"]["files"] == 1
    since, until = (datetime.fromisoformat(entry[name]) for name in ("since", "until"))
    assert begun <= since <= until <= datetime.now(UTC)
    keep = datetime.fromisoformat(entry["keep_until"])
    assert timedelta(days=29) < keep - until < timedelta(days=31)
    assert shop.ask("SELECT what FROM orders ORDER BY 1", Path(entry["file"])) == ["a book", "a pen"]
    assert shop.ask("SELECT what FROM orders") == []
    log = shop.gitdeploy("log", "1").text
    assert "2 rows in orders" in log
    assert "nothing was lost" not in log
    page = Parts(App.open(shop.app), Visitor("")).now()
    assert "Nothing was lost" not in page
    assert "3 rows that were written since then are no longer live" in page
    assert "1 file that was changed since then is no longer live" in page
    assert f"A copy is in backup {entry['backup']}, kept until" in page


def test_nothing_was_lost_is_said_where_it_is_so(shop: Shop) -> None:
    done = shop.gitdeploy("upgrade", "v2.2.0", code=3)
    assert "nothing was lost" in done.text
    assert "Nothing but the migration was written into it" in done.text
    shop.order("later")
    assert "paid" not in str(shop.ask("SELECT sql FROM sqlite_master WHERE name = 'orders'"))


def test_where_it_cannot_be_told_nothing_is_claimed(shop: Shop) -> None:
    done = shop.gitdeploy("upgrade", "v2.3.0", code=3)
    assert "nothing was lost" not in done.text
    assert "can't be told" in done.text


def test_nor_where_a_database_is_known_to_nobody(shop: Shop) -> None:
    (shop.app / "deploy.yaml").write_text(
        SETTINGS.replace('databases: ["sqlite:///shop.db"], include: [uploads]', "databases: []")
    )
    done = shop.gitdeploy("upgrade", "v2.1.0", "--discard-local-changes", code=3)
    assert "nothing was lost" not in done.text
    assert "its data were not put back" in done.text


def test_the_copy_outlives_backup_keep_and_goes_after_its_own_time(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.1.0", code=3)
    (kept,) = [b["id"] for b in shop.backups()]
    for number in range(4):
        shop.gitdeploy("upgrade", "v2.2.0" if number % 2 else "v2.1.0", code=3)
        shop.gitdeploy("backup")
    shop.gitdeploy("prune", "--keep", "1")
    assert kept in [b["id"] for b in shop.backups()]
    marker = shop.app / ".gitdeploy/backups" / kept / "replaced-at"
    marker.write_text((datetime.now(UTC) - timedelta(days=31)).isoformat() + "\n")
    shop.gitdeploy("prune", "--keep", "1")
    assert kept not in [b["id"] for b in shop.backups()]


def test_plan_and_doctor_say_when_writes_could_be_lost_and_stop_when_they_cannot(shop: Shop) -> None:
    sentence = "A migration will run while the app accepts writes."
    assert sentence in shop.gitdeploy("plan", "v2.0.0").text
    assert sentence not in shop.gitdeploy("plan", "v2.0.0", "--no-hooks").text
    shop.gitdeploy("upgrade", "v2.0.0")
    assert sentence in shop.gitdeploy("doctor", code=None).text.replace("\n", " ")
    # The hint, followed.
    (shop.app / "deploy.yaml").write_text(SETTINGS + "maintenance: {file: run/maintenance}\n")
    assert sentence not in shop.gitdeploy("doctor", code=None).text
    assert sentence not in shop.gitdeploy("plan", "v2.1.0", code=None).text


# ---- asked ----


def answer(shop: Shop, words: list[str], reply: str) -> tuple[int, str]:
    """Run gitdeploy on a terminal, and answer its question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shop.app)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "gitdeploy", *words],
            {**shop.environment, "TERM": "xterm", "COLUMNS": "250"},
        )
    said, answered, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                block = os.read(terminal, 65536)
            except OSError:
                break
            if not block:
                break
            said += block
            if b"[y/N]" in said and not answered:
                os.write(terminal, reply.encode() + b"\n")
                answered = True
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode("utf-8", "replace")


@pytest.mark.parametrize("command", ["restore", "rollback", "rollback VERSION"])
def test_data_are_never_replaced_unasked(shop: Shop, command: str) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.order("after the upgrade")
    (shop.app / "uploads/two").write_text("two")
    words = {
        "restore": ["restore", shop.backups()[0]["id"], "--with-data"],
        "rollback": ["rollback", "--with-data"],
        "rollback VERSION": ["rollback", "v1.0.0", "--with-data"],
    }[command]
    off = shop.gitdeploy(*words, code=2).text
    assert "--yes" in off
    code, said = answer(shop, words, "n")
    assert code == 1
    for part in (
        "shop.db holds",
        "3 rows in 2 tables now, and goes back to",
        "uploads holds 6 B, 1 file otherwise than the backup now",
        "ago",
        "goes into a backup first",
        "replace these data now: shop.db, uploads?",
    ):
        assert part in said, part
    assert shop.ask("SELECT what FROM orders") == ["after the upgrade"]
    code, said = answer(shop, words, "y")
    assert code == 0, said
    assert shop.ask("SELECT what FROM orders") == []
    assert not (shop.app / "uploads/two").exists()


def test_what_was_written_is_told_by_hand_too_and_the_undo_line_brings_it_back(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.order("after the upgrade")
    (shop.app / "uploads/two").write_text("two")
    done = shop.gitdeploy("rollback", "--with-data", "--yes")
    assert "1 row in orders" in done.text
    assert "shop.db: 1 row since" in done.text
    (undo,) = set(re.findall(r"Undo: gitdeploy (restore \S+ --with-data)   \(backup", done.text))
    shop.gitdeploy(*undo.split(), "--yes")
    assert shop.ask("SELECT what FROM orders") == ["after the upgrade"]
    assert (shop.app / "uploads/two").read_text() == "two"
    assert (shop.app / "VERSION").read_text() == "2"


def test_dry_run_and_json_name_what_would_be_replaced(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    (shop.app / "uploads/two").write_text("two")
    identity = shop.backups()[0]["id"]
    said = shop.gitdeploy("restore", identity, "--with-data", "--dry-run").text
    assert "data replaced   shop.db holds" in said
    document = json.loads(shop.gitdeploy("restore", identity, "--with-data", "--dry-run", "--json").out)
    assert [(entry["name"], entry["kind"]) for entry in document["data"]] == [
        ("shop.db", "database"),
        ("uploads", "path"),
    ]
    assert json.loads(shop.gitdeploy("restore", identity, "--dry-run", "--json").out)["data"] == []


def test_a_dump_that_no_setting_matches_is_refused_before_anything_is_touched(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.order("mine")
    identity = shop.backups()[0]["id"]
    (shop.app / "deploy.yaml").write_text(SETTINGS.replace("shop.db", "other.db"))
    with closing(sqlite3.connect(shop.app / "other.db")) as made, made:
        made.execute("CREATE TABLE t (i)")
    before = shop.state(), (shop.app / "other.db").read_bytes()
    said = shop.gitdeploy("restore", identity, "--with-data", "--yes", code=7).text
    assert f"Backup {identity} holds a dump of shop.db, and backup.databases names no such database" in said
    assert (shop.state(), (shop.app / "other.db").read_bytes()) == before
    # Its hint.
    shop.gitdeploy("restore", identity)
    assert (shop.app / "VERSION").read_text() == "1"
    assert shop.ask("SELECT what FROM orders") == ["mine"]


# ---- whose data a backup holds ----


def test_a_rollback_by_hand_compares_included_files(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    (shop.app / "uploads/two").write_text("two")
    said = shop.gitdeploy("rollback", "--yes").text
    assert "Kept as it is now, different in the backup (backup.include): uploads (1 file)" in said
    assert (shop.app / "uploads/two").exists()


def test_a_rollback_to_a_version_takes_a_backup_whose_data_are_that_versions(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    good = shop.backups()[0]["id"]
    shop.order("on v2")
    shop.gitdeploy("rollback", "--yes")  # v1's code, v2's data
    shop.gitdeploy("upgrade", "v2.0.0")
    mixed = shop.backups()[0]["id"]
    assert mixed != good
    assert "data of v2.0.0" in shop.gitdeploy("backups").text
    shown = shop.gitdeploy("restore", mixed, "--dry-run").text
    assert f"The data in backup {mixed} are of v2.0.0: its code may not work with them." in shown
    shop.gitdeploy("rollback", "v1.0.0", "--with-data", "--yes")
    assert "paid" not in str(shop.ask("SELECT sql FROM sqlite_master WHERE name = 'orders'"))
    assert shop.ask("SELECT what FROM orders") == []

    shop.gitdeploy("restore", "latest", "--with-data", "--yes")  # back to v2 and what was ordered there
    assert shop.ask("SELECT what FROM orders") == ["on v2"]
    for backup in shop.backups():
        if backup["version"] == "1.0.0" and backup["id"] != mixed:
            shutil.rmtree(shop.app / ".gitdeploy/backups" / backup["id"])
    refused = shop.gitdeploy("rollback", "v1.0.0", "--with-data", "--yes", code=7).text
    assert f"Backup {mixed} holds the code of v1.0.0 with data of v2.0.0" in refused
    (choice,) = re.findall(r"all the same: gitdeploy (restore \S+ --with-data)", refused)
    shop.gitdeploy(*choice.split(), "--yes")
    assert (shop.app / "VERSION").read_text() == "1"
    assert shop.ask("SELECT what FROM orders") == ["on v2"]
