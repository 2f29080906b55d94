"""Migrations in two halves: what the old release can live with before the release is final, the rest afterwards."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.receivers import http_receiver
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("two-halves")

HOOKS = Path(__file__).resolve().parents[2] / "hooks"
SETTINGS = """\
app: {{name: shop}}
source: {{type: git}}
venv: {{path: null}}
backup: {{databases: ["sqlite:///run/app.db"]}}
hooks: {{dir: hooks, contract: {contract}}}
service: {{command: "true"}}
health: {{command: ./health.py, successes: 1, timeout: 1, interval: 0.05}}
notify: ["${{RECEIVER}}"]
"""
# Reads the columns that this release's code reads, as the app would.
HEALTH = """\
#!/usr/bin/env python3
import sqlite3, sys
try:
    sqlite3.connect("run/app.db").execute("SELECT " + open("COLUMNS").read() + " FROM customer").fetchall()
except sqlite3.Error as error:
    sys.exit(str(error))
"""
# Runs its statements; a person buys something meanwhile; then what run/then says happens to it in that stage.
HOOK = """\
#!/usr/bin/env python3
import os, pathlib, signal, sqlite3, sys
stage, then = os.environ["GITDEPLOY_STAGE"], pathlib.Path("run/then")
database = sqlite3.connect("run/app.db")
for statement in {statements!r}:
    try:
        database.execute(statement)
    except sqlite3.Error as error:
        sys.exit(str(error))
database.execute("INSERT INTO customer (id) VALUES (NULL)")
database.commit()
if then.exists() and then.read_text() == f"fail {{stage}}":
    sys.exit(f"{{stage}} failed")
if then.exists() and then.read_text() in (f"kill {{stage}}", f"^C {{stage}}"):
    os.kill(os.getppid(), signal.SIGKILL if then.read_text()[0] == "k" else signal.SIGINT)
    then.unlink()
    signal.pause()
"""
EXPAND, CONTRACT = ["ALTER TABLE customer ADD COLUMN fullname TEXT"], ["ALTER TABLE customer DROP COLUMN name"]


def release(columns: str, first: Sequence[str] = (), second: Sequence[str] = (), *, contract: str = "now") -> Tree:
    return {
        "deploy.yaml": SETTINGS.format(contract=contract),
        ".gitignore": "/run/\n",
        "COLUMNS": columns,
        "health.py": Program(HEALTH),
        **({"hooks/migrate": Program(HOOK.format(statements=list(first)))} if first else {}),
        **({"hooks/migrate-after": Program(HOOK.format(statements=list(second)))} if second else {}),
    }


class Shop(Sample):
    def then(self, what: str) -> None:
        (self.app / "run/then").write_text(what)

    @property
    def columns(self) -> set[str]:
        with closing(sqlite3.connect(self.app / "run/app.db")) as database:
            return {row[1] for row in database.execute("PRAGMA table_info(customer)")} - {"id"}

    @property
    def customers(self) -> int:
        with closing(sqlite3.connect(self.app / "run/app.db")) as database:
            (found,) = database.execute("SELECT count(*) FROM customer").fetchone()
        return int(found)

    @property
    def live(self) -> str:
        return (self.app / "COLUMNS").read_text()

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.gitdeploy(*words, "--json", code=code).out)


@pytest.fixture(scope="module")
def shop_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("halves"), venv=False, extra_environment={"RECEIVER": "json://127.0.0.1:1/"})
    shop.release("v1.0", release("name"))
    shop.release("v2.0", release("fullname", EXPAND, CONTRACT))
    shop.release("v2.1", release("fullname", EXPAND, CONTRACT, contract="later"))
    shop.release("v3.0", release("fullname", ["CREATE TABLE visit (id)"]))
    lies = release("missing", [CONTRACT[0], *EXPAND], CONTRACT)  # the old code can't live with it
    shop.release("v4.0", {**lies, "hooks/build": Program(HOOK.format(statements=[]))})
    shop.install("v1.0", branch="main")
    (shop.app / "run").mkdir()
    with closing(sqlite3.connect(shop.app / "run/app.db")) as database, database:
        database.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)")
    shop.keep(remote=True)
    return shop


@pytest.fixture
def shop(shop_once: Shop) -> Shop:
    shop_once.reset()
    return shop_once


def test_the_first_half_before_the_health_check_the_second_once_it_is_final(shop: Shop) -> None:
    plan = shop.gitdeploy("plan", "v2.0").out
    assert "migrate-after   hooks/migrate-after (new)\n" in plan
    assert "rollback        needs no data until the second half of the migrations has run (at the end of" in plan
    assert "A migration will run while the app accepts writes" not in plan
    result = shop.json("upgrade", "v2.0")
    assert (shop.live, shop.columns) == ("fullname", {"fullname"})
    names = [step["name"] for step in result["steps"]]
    assert names.index("migrate") < names.index("health") < names.index("migrate-after")
    assert "Undo: gitdeploy rollback --with-data" in result["message"]
    assert shop.json("status")["second_half"] is None
    assert "no second half of its migrations waits" in shop.gitdeploy("contract").text
    shop.gitdeploy("rollback", "--with-data", "--yes")
    assert (shop.live, shop.columns) == ("name", {"name"})


def test_a_failure_in_the_first_half_leaves_the_data_as_they_are(shop: Shop) -> None:
    shop.then("fail migrate")
    said = shop.gitdeploy("upgrade", "v2.0", code=3).err
    assert "shop runs v1.0 again" in said
    assert "nothing was lost" in said
    assert "The first half of v2.0's migrations stays in the database" in said
    assert (shop.live, shop.columns) == ("name", {"name", "fullname"})
    assert shop.customers == 1, "what was written meanwhile is live"
    assert shop.json("log")[0]["status"] == "rolled_back"


def test_what_a_release_says_of_its_first_half_is_not_believed_where_the_old_code_does_not_work(shop: Shop) -> None:
    said = shop.gitdeploy("upgrade", "v4.0", code=3).text
    assert "v1.0 does not work with what the first half of the migrations has changed" in said
    assert "run/app.db was put back from the dump made before" in said
    assert (shop.live, shop.columns) == ("name", {"name"})

    shop.then("fail build")
    shop.gitdeploy("upgrade", "v4.0", code=3)
    assert "health" not in [step["name"] for step in shop.json("log")[0]["steps"]], "nothing was migrated"


@pytest.mark.parametrize(
    ("words", "columns"),
    [((), {"name", "fullname"}), (("--boot",), {"name"}), (("--no-health",), {"name"})],
    ids=["the old release is asked", "at boot", "it is not asked"],
)
def test_what_it_says_counts_where_the_old_release_is_asked(
    shop: Shop, words: Sequence[str], columns: set[str]
) -> None:
    shop.then("kill migrate")
    shop.gitdeploy("upgrade", "v2.0", code=-9)
    shop.gitdeploy("recover", *words)
    assert (shop.live, shop.columns) == ("name", columns)


def test_a_failure_in_the_second_half_leaves_the_new_release_live_and_is_said(shop: Shop) -> None:
    shop.then("fail migrate-after")
    with http_receiver() as receiver:
        failed = shop.gitdeploy("upgrade", "v2.0", code=4, env={"RECEIVER": receiver.url})
    assert "shop runs v2.0. The second half of v2.0's migrations failed: hooks/migrate-after failed" in failed.err
    assert "then: gitdeploy contract" in failed.err
    (told,) = receiver.got
    assert told["type"] == "failure"
    assert "shop runs v2.0. The second half of v2.0's migrations failed" in told["message"]
    assert shop.live == "fullname"
    (row,) = shop.json("log")
    assert (row["status"], row["error"]["kind"], row["error"]["exit_code"]) == ("succeeded", "second_half_failed", 4)
    assert "Undo: gitdeploy rollback --with-data" in shop.gitdeploy("log", str(row["id"])).out, (
        "some of it may have run"
    )
    status = shop.json("status")
    assert (status["second_half"]["why"], status["second_half"]["command"]) == ("failed", "gitdeploy contract")
    assert "To run it: gitdeploy contract" in shop.gitdeploy("status").out

    shop.then("")
    again = shop.gitdeploy("contract", code=4).err  # its statement was committed before: it fails once more
    assert "no such column" in again
    assert [row["action"] for row in shop.json("log")] == ["contract", "backup", "upgrade"]
    assert shop.json("status")["second_half"]["why"] == "failed"

    locked = shop.gitdeploy("upgrade", "v3.0", code=4).err
    (way,) = re.findall(r"If v3\.0 fixes it, install it: gitdeploy (.*)", locked)
    assert "its own migrations must do what is left of it" in shop.gitdeploy(*way.split()).text
    assert (shop.json("log")[0]["to"]["tag"], shop.json("status")["second_half"]) == ("v3.0", None)


def test_later_it_runs_by_hand_or_before_the_next_upgrade(shop: Shop) -> None:
    result = shop.json("upgrade", "v2.1")
    assert "The second half of v2.1's migrations waits. To run it: gitdeploy contract" in result["message"]
    assert shop.columns == {"name", "fullname"}
    assert shop.json("status")["second_half"]["why"] == "later"
    assert any("The upgrade runs it first" in text for text in shop.json("plan", "v3.0")["warnings"])
    shop.json("upgrade", "v2.1")
    assert shop.columns == {"name", "fullname"}, "nothing to upgrade to, nothing to run"
    (shop.app / "COLUMNS").write_text("mine")
    for tag, code in (("v3.0", 7), ("v9.9", 2), ("v1.0", 7)):  # a change here, a release that isn't, one that is older
        shop.gitdeploy("upgrade", tag, code=code)
    assert shop.columns == {"name", "fullname"}, "an upgrade that is refused has run it"
    shop.git("checkout", "-q", "COLUMNS")
    shop.gitdeploy("upgrade", "v3.0")
    assert shop.columns == {"fullname"}
    rows = [(row["action"], row["status"]) for row in reversed(shop.json("log"))]
    assert rows[-3:] == [("backup", "succeeded"), ("contract", "succeeded"), ("upgrade", "succeeded")]
    assert shop.json("status")["second_half"] is None


def test_it_waits_wherever_the_data_go_that_have_not_been_through_it(shop: Shop) -> None:
    shop.json("upgrade", "v2.1")
    shop.then("fail migrate-after")
    shop.gitdeploy("contract", code=4)
    shop.then("")
    assert shop.columns == {"fullname"}
    before = shop.json("log")[1]["backup"]  # with the data of before
    said = shop.gitdeploy("restore", before, "--with-data", "--yes").text
    assert "The second half of v2.1's migrations waits. To run it: gitdeploy contract" in said
    assert (shop.columns, shop.json("status")["second_half"]["why"]) == ({"name", "fullname"}, "later")

    shop.gitdeploy("restore", before)  # the code alone, which is what is live
    shop.gitdeploy("rollback", "v1.0")
    assert "no second half" in shop.gitdeploy("contract").text
    shop.gitdeploy("rollback", "v2.1")
    assert shop.json("status")["second_half"]["why"] == "later"
    assert "has run" in shop.gitdeploy("contract").text
    assert (shop.columns, shop.json("status")["second_half"]) == ({"fullname"}, None)


@pytest.mark.parametrize(
    ("there", "back"),
    [(("v2.1",), ("upgrade", "v1.0", "--allow-downgrade")), (("v2.0", "--no-restart"), ("rollback", "--yes"))],
    ids=["contract: later", "the old code may still run"],
)
def test_without_it_going_back_by_hand_needs_no_data(shop: Shop, there: Sequence[str], back: Sequence[str]) -> None:
    assert shop.json("plan", *there)["contract"] == "later"
    shop.gitdeploy("upgrade", *there)
    assert (shop.live, shop.json("status")["second_half"]["why"]) == ("fullname", "later")
    shop.gitdeploy(*back)
    assert (shop.live, shop.columns) == ("name", {"name", "fullname"})
    assert shop.json("status")["second_half"] is None
    assert "no second half" in shop.gitdeploy("contract").text


def test_interrupted_in_the_second_half_it_waits_and_is_not_retried_by_itself(shop: Shop) -> None:
    shop.then("^C migrate-after")
    said = shop.gitdeploy("upgrade", "v2.0", code=130).err
    assert "shop runs v2.0. The second half of v2.0's migrations failed: Interrupted" in said
    assert shop.live == "fullname"
    assert "won't be retried automatically" in shop.gitdeploy("upgrade", "--yes", code=7).err
    assert shop.live == "fullname"


def test_killed_in_the_second_half_it_is_known_that_it_was(shop: Shop) -> None:
    shop.then("kill migrate-after")
    shop.gitdeploy("upgrade", "v2.0", code=-9)
    interruption = shop.json("status")["interruption"]
    assert (interruption["step"], interruption["recovery"]) == ("migrate-after", "finish")
    said = shop.gitdeploy("recover").text
    assert "The second half of v2.0's migrations was interrupted; how far it came is not known." in said
    assert shop.live == "fullname"
    assert shop.json("status")["second_half"]["why"] == "interrupted"

    with closing(sqlite3.connect(shop.app / "run/app.db")) as database, database:
        database.execute("ALTER TABLE customer ADD COLUMN name TEXT")  # as if it had come no further
    shop.then("kill migrate-after")
    shop.gitdeploy("contract", code=-9)
    assert shop.json("status")["interruption"]["action"] == "contract"
    assert "was interrupted; how far it came" in shop.gitdeploy("recover").text
    with closing(sqlite3.connect(shop.app / "run/app.db")) as database, database:
        database.execute("ALTER TABLE customer ADD COLUMN name TEXT")
    assert "The second half of v2.0's migrations has run." in shop.gitdeploy("contract").text
    assert (shop.columns, shop.json("status")["second_half"]) == ({"fullname"}, None)


# ---- with the ready hooks, and the migrations' own records ----

DJANGO: Tree = {
    "manage.py": (
        "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    ),
    "settings.py": (
        "SECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = ['shop']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'run/app.db'}}\n"
    ),
    "shop/__init__.py": "",
    "shop/models.py": "",
    "shop/migrations/__init__.py": "",
}
ALEMBIC: Tree = {
    "alembic.ini": "[alembic]\nscript_location = migrations\n",
    "migrations/script.py.mako": "",
    "migrations/env.py": (
        "from alembic import context\nfrom sqlalchemy import create_engine\n"
        "with create_engine('sqlite:///run/app.db').begin() as connection:\n"
        "    context.configure(connection=connection)\n    context.run_migrations()\n"
    ),
}
STATEMENTS = [  # the first release's, and the two halves of the second
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)", EXPAND[0], CONTRACT[0],
]  # fmt: skip


def django_files(number: int, statement: str) -> Tree:
    names = ["0001_first", "0002_fullname", "0003_no_name"]
    needs = f"[('shop', {names[number - 1]!r})]" if number else "[]"
    mark = "    contract = True\n" if number == 2 else ""
    return {
        f"shop/migrations/{names[number]}.py": (
            f"from django.db import migrations\nclass Migration(migrations.Migration):\n{mark}    dependencies = {needs}\n"
            f"    operations = [migrations.RunSQL({statement!r})]\n"
        )
    }


def alembic_files(number: int, statement: str) -> Tree:
    name, below, label, needs = [
        ("a1", None, None, None), ("e1", "a1", ("expand",), None), ("c1", "a1", ("contract",), "e1")
    ][number]  # fmt: skip
    return {
        f"migrations/versions/{name}.py": (
            f"from alembic import op\nrevision = {name!r}\ndown_revision = {below!r}\nbranch_labels = {label!r}\n"
            f"depends_on = {needs!r}\ndef upgrade(): op.execute({statement!r})\n"
        )
    }


@pytest.mark.parametrize(
    ("framework", "base", "files", "first", "second"),
    [
        ("django", DJANGO, django_files, "manage.py migrate -v0", "shop.0003_no_name"),
        ("alembic", ALEMBIC, alembic_files, "-m alembic upgrade head", "c1 "),
    ],
    ids=["django", "alembic"],
)
def test_a_real_app_with_the_ready_hook(
    tmp_path: Path, framework: str, base: Tree, files: Any, first: str, second: str
) -> None:
    pytest.importorskip(framework)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shop = Shop(tmp_path, venv=False, extra_environment={"RECEIVER": "json://127.0.0.1:1/", "PATH": path})
    hook = Program((HOOKS / f"{framework}-two-halves").read_text())
    both = {"hooks/migrate.d/50-it": hook, "hooks/migrate-after.d/50-it": hook}
    new = {k: v for number in (0, 1, 2) for k, v in files(number, STATEMENTS[number]).items()}
    failing = {"hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")}
    shop.release("v1.0", {**release("name"), **base, **files(0, STATEMENTS[0])})
    shop.release("v2.0", {**release("fullname"), **base, **new, **both, **failing})
    shop.release("v2.1", {**release("fullname", contract="later"), **base, **new, **both})
    shop.install("v1.0", branch="main")
    (shop.app / "run").mkdir()
    subprocess.run([sys.executable, *first.split()], cwd=shop.app, check=True)
    assert f"second half: {second}" in shop.gitdeploy("plan", "v2.1").out
    shop.gitdeploy("upgrade", "v2.0", code=3)
    assert (shop.live, shop.columns) == ("name", {"name", "fullname"}), "no data were put back"
    shop.gitdeploy("upgrade", "v2.1")
    (shop.app / "hooks/migrate-after.d/50-it").write_text("#!/bin/sh\n")
    ended_well = shop.gitdeploy("contract", code=4).err
    assert f"The migrate hooks ended well, but {second.strip()} is not recorded in run/app.db" in ended_well
    shop.git("checkout", "-q", "hooks")
    result = shop.json("contract")
    assert (shop.live, shop.columns, result["status"]) == ("fullname", {"fullname"}, "succeeded")
