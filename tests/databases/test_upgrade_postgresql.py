"""A whole upgrade with a real PostgreSQL: the migration goes through, a later step fails, code and data go back together."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.databases import PASSWORD, Server, files_with, left_behind
from support.sample import Program, Sample, Tree

pytestmark = pytest.mark.xdist_group("postgresql")
LITERAL = "'" + PASSWORD.replace("'", "''") + "'"


# What the release's code reads is there.
HEALTH = '#!/bin/sh\nset -eu\n. ./.env\npsql -q "$HOOK_URL" -c "SELECT $(cat COLUMNS) FROM customer LIMIT 1"\n'


def hook(statements: str) -> Program:
    return Program(f'#!/bin/sh\nset -eu\n. ./.env\npsql -q "$HOOK_URL" -c "{statements}"\n')


def tree(version: str, migrate: str = "", after: str = "", *, columns: str = "name", fail: bool = False) -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: null}\nhooks: {dir: hooks}\n"
        "backup: {databases: [{env: DATABASE_URL}]}\n"
        "health: {command: ./health, successes: 1, timeout: 5, interval: 0.1}\n",
        ".gitignore": "/.env\n",
        "VERSION": version,
        "COLUMNS": columns,
        "health": Program(HEALTH),
        **({"hooks/migrate": hook(migrate)} if migrate else {}),
        **({"hooks/migrate-after": hook(after)} if after else {}),
        **({"hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")} if fail else {}),
    }


MIGRATE = "ALTER TABLE customer DROP COLUMN mood; INSERT INTO customer VALUES ('made meanwhile')"
EXPAND = "ALTER TABLE customer ADD COLUMN IF NOT EXISTS fullname text; INSERT INTO customer VALUES ('made meanwhile')"
CONTRACT = "ALTER TABLE customer DROP COLUMN mood"


@pytest.fixture
def app(postgresql: Server, tmp_path: Path) -> Iterator[Sample]:
    postgresql.ask(f"CREATE ROLE store LOGIN CREATEDB PASSWORD {LITERAL}")
    postgresql.ask("CREATE DATABASE store OWNER store")
    postgresql.ask("SET ROLE store; CREATE TABLE customer (name text, mood text)", "store")
    app = Sample(tmp_path / "sample", venv=False)
    app.release("v1.0.0", tree("1.0.0", columns="mood"))
    app.release("v2.0.0", tree("2.0.0", MIGRATE, fail=True))
    app.release("v3.0.0", tree("3.0.0", EXPAND, CONTRACT, columns="fullname", fail=True))
    app.release("v3.1.0", tree("3.1.0", EXPAND, CONTRACT, columns="fullname"))
    app.install("v1.0.0", branch="main")
    url = f"postgresql://store:{quote(PASSWORD)}@/store?host={quote(str(postgresql.socket), safe='')}"
    (app.app / ".env").write_text(f"DATABASE_URL='{url}'\nHOOK_URL='{url}'\n")
    app.keep()
    yield app
    for line in postgresql.ask("SELECT datname FROM pg_database WHERE datname LIKE 'store%'").splitlines():
        postgresql.ask(f'DROP DATABASE "{line}" WITH (FORCE)')
    postgresql.ask("DROP ROLE store")


def begin_anew(app: Sample, postgresql: Server) -> None:
    app.reset()
    postgresql.ask("SET ROLE store; DROP TABLE customer; CREATE TABLE customer (name text, mood text)", "store")
    postgresql.ask("SET ROLE store; INSERT INTO customer VALUES ('Zoë', 'glad')", "store")


def is_old(app: Sample, postgresql: Server) -> None:
    assert (app.app / "VERSION").read_text() == "1.0.0"
    assert postgresql.ask("SELECT name, mood FROM customer", "store") == "Zoë|glad"
    assert postgresql.ask("SELECT datname FROM pg_database WHERE datname LIKE 'store%'") == "store"


def kept(said: str, postgresql: Server, programs: str = "pg_restore") -> str:
    """The rows in the kept dump, as its own command shows them."""
    found = re.search(r"kept: (\S+?\.pgdump)[, ].*\(to look at it: pg_restore ", said)
    assert found, said
    done = subprocess.run([programs, "--file=-", "--data-only", found[1]], capture_output=True, text=True, check=True)
    return done.stdout


def test_code_and_database_go_back_together_also_when_killed_on_the_way(
    app: Sample, postgresql: Server, tmp_path: Path
) -> None:
    plan = tmp_path / "plan"
    (tmp_path / "temp").mkdir()

    def run(action: str) -> str:
        plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\n{action}\n")
        env = {"GITDEPLOY_FAULT_PLAN": str(plan), "TMPDIR": f"{tmp_path}/temp"}
        return app.gitdeploy("upgrade", "v2.0.0", code=None, env=env).text

    begin_anew(app, postgresql)
    said = app.gitdeploy("upgrade", "v2.0.0", code=3).text
    is_old(app, postgresql)
    assert "postgresql:///store was put back from the dump made before; what it held meanwhile (" in said
    assert "made meanwhile" in kept(said, postgresql)
    assert re.search(r"Database postgresql:///store dumped: \S+ kB in ", said)
    assert PASSWORD not in said
    assert files_with(app.app / ".gitdeploy", PASSWORD) == []

    for name in ("data kept", "database beside", "database restored"):
        begin_anew(app, postgresql)
        assert run(f"kill-at {name}").count("put back") == 0
        said = app.gitdeploy("recover", code=None).text
        is_old(app, postgresql)
        assert "made meanwhile" in kept(said, postgresql), name
        assert left_behind(PASSWORD, tmp_path / "temp") == []


def test_in_two_halves_a_failure_in_the_middle_puts_no_data_back(app: Sample, postgresql: Server) -> None:
    begin_anew(app, postgresql)
    assert "rollback        needs no data until the second half" in app.gitdeploy("plan", "v3.0.0").out
    said = app.gitdeploy("upgrade", "v3.0.0", code=3).text
    assert "The first half of v3.0.0's migrations stays in the database" in said
    assert (app.app / "VERSION").read_text() == "1.0.0"
    rows = "SELECT name, mood, fullname FROM customer ORDER BY name"
    assert postgresql.ask(rows, "store") == "Zoë|glad|\nmade meanwhile||"

    app.gitdeploy("upgrade", "v3.1.0")
    assert postgresql.ask(rows, "store") == "Zoë|glad|\nmade meanwhile||\nmade meanwhile||", "nothing was restarted"
    app.gitdeploy("contract")
    both = "Zoë|\nmade meanwhile|\nmade meanwhile|"
    assert postgresql.ask("SELECT * FROM customer ORDER BY name", "store") == both, "the second half has run"
    app.gitdeploy("rollback", "--with-data", "--yes")
    assert (app.app / "VERSION").read_text() == "1.0.0"
    assert postgresql.ask(rows, "store") == "Zoë|glad|\nmade meanwhile||"
