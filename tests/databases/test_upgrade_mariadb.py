"""A whole upgrade with a real MariaDB, which can't take a table's change back by itself: a migration that fails in the
middle is undone from the dump; a good one stays, and goes back on request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.databases import PASSWORD, Server, files_with, left_behind
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("mariadb")
LITERAL = "'" + PASSWORD.replace("\\", "\\\\").replace("'", "''") + "'"
MIGRATE = """#!/bin/sh
set -eu
exec mariadb --defaults-file=run/client shop_store <<'END'
{statements}
END
"""
HALF = "ALTER TABLE customer DROP COLUMN mood; INSERT INTO customer VALUES ('made meanwhile');"
QUESTION = "SELECT name, mood FROM customer ORDER BY 1"
SCHEMAS = "SHOW DATABASES LIKE 'shop%'"


def tree(version: str, statements: str) -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: null}\nhooks: {dir: hooks}\n"
        "backup: {databases: [{env: DATABASE_URL}]}\n",
        ".gitignore": "/.env\n/run/\n",
        "VERSION": version,
        "hooks/migrate": Program(MIGRATE.format(statements=statements)),
    }


@pytest.fixture
def app(mariadb: Server, tmp_path: Path) -> Iterator[Sample]:
    mariadb.ask(
        "CREATE DATABASE shop_store CHARACTER SET utf8mb4;"
        f"CREATE USER store@localhost IDENTIFIED BY {LITERAL};"
        "GRANT ALL ON shop_store.* TO store@localhost; GRANT ALL ON `shop\\_store\\_gitdeploy\\_%`.* TO store@localhost;"
        "USE shop_store; CREATE TABLE customer (name varchar(80), mood varchar(80));"
        "INSERT INTO customer VALUES ('Zoë', 'glad')"
    )
    app = Sample(tmp_path / "sample", venv=False)
    app.release("v1.0.0", tree("1.0.0", "SELECT 1;"))
    app.release("v2.0.0", tree("2.0.0", f"{HALF} ALTER TABLE customer ADD COLUMN name int;"))
    app.release("v3.0.0", tree("3.0.0", HALF))
    app.install("v1.0.0", branch="main")
    url = f"mysql+pymysql://store:{quote(PASSWORD)}@localhost/shop_store?unix_socket={mariadb.socket}"
    (app.app / ".env").write_text(f"DATABASE_URL='{url}'\n")
    (app.app / "run").mkdir()
    secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    client = f'[client]\nuser=store\nsocket={mariadb.socket}\npassword="{secret}"\n'
    (app.app / "run/client").write_text(client)
    yield app
    for name in mariadb.ask(SCHEMAS).splitlines():
        mariadb.ask(f"DROP DATABASE {name}")
    mariadb.ask("DROP USER store@localhost")


def is_old(app: Sample, mariadb: Server) -> None:
    assert (app.app / "VERSION").read_text() == "1.0.0"
    assert mariadb.ask(QUESTION, "shop_store") == "Zoë\tglad"
    assert mariadb.ask(SCHEMAS) == "shop_store"


def kept(said: str) -> str:
    """The rows that the failed release had made, as they were kept."""
    found = re.search(r"kept: (\S+?\.mysql)[, ].*\(to look at it: mysql AN_EMPTY_DATABASE < ", said)
    assert found, said
    return (Path(found[1]) / "tables.sql").read_text()


def test_a_migration_that_fails_halfway_is_undone_also_when_killed_on_the_way(
    app: Sample, mariadb: Server, tmp_path: Path
) -> None:
    said = app.gitdeploy("upgrade", "v2.0.0", code=3).text
    is_old(app, mariadb)
    assert re.search(r"Database mysql://\S+/shop_store dumped: \S+ kB in ", said)
    assert (
        "Wanted v2.0.0, failed at migrate: hooks/migrate failed (exit code 1): ERROR 1060 (42S21) at line 1: "
        "Duplicate column name 'name'. shop runs v1.0.0 again; what was written meanwhile into mysql://localhost/shop_store "
        "is no longer live, but kept. mysql://localhost/shop_store was put back from the dump made before; what it held meanwhile ("
    ) in " ".join(said.split())
    assert "made meanwhile" in kept(said)
    assert PASSWORD not in said
    assert files_with(app.app / ".gitdeploy", PASSWORD) == []

    plan, temporary = tmp_path / "plan", tmp_path / "temp"
    temporary.mkdir()
    for name in ("data kept", "database beside", "database swapped"):
        plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\nkill-at {name}\n")
        env = {"GITDEPLOY_FAULT_PLAN": str(plan), "TMPDIR": str(temporary)}
        app.gitdeploy("upgrade", "v2.0.0", code=None, env=env)
        said = app.gitdeploy("recover", code=None).text
        is_old(app, mariadb)
        assert "made meanwhile" in kept(said), name
        assert left_behind(PASSWORD, temporary) == []


def test_a_good_upgrade_goes_back_with_its_data_when_asked(app: Sample, mariadb: Server) -> None:
    app.gitdeploy("upgrade", "v3.0.0")
    assert mariadb.ask("SELECT * FROM customer ORDER BY 1", "shop_store") == "made meanwhile\nZoë"
    shown = app.gitdeploy("restore", "latest", "--dry-run").text
    assert "The schema of mysql://localhost/shop_store has changed since backup" in shown
    app.gitdeploy("rollback", "--yes", "--with-data")
    is_old(app, mariadb)
