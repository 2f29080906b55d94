"""PostgreSQL, with a real server: what is dumped comes back, and whatever fails loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support import needs
from support.databases import PASSWORD, Server, files_with, left_behind, watched

from gitdeploy.databases.postgresql import PostgreSQL
from gitdeploy.errors import CommandFailed, DeploymentFailed

pytestmark = pytest.mark.xdist_group("postgresql")
LITERAL = "'" + PASSWORD.replace("'", "''") + "'"

TABLES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE COLLATION natural_sort FROM "C";
CREATE TABLE customer (id serial PRIMARY KEY, name text COLLATE natural_sort NOT NULL DEFAULT 'DATABASE "x"', mood mood);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, customer int REFERENCES customer, at timestamptz);
CREATE VIEW glad AS SELECT name FROM customer WHERE mood = 'glad';
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i';
CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION search (COPY = simple);
CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE CONVERSION odd FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE PUBLICATION changes FOR TABLE customer;
CREATE TABLE alembic_version (version_num text);
INSERT INTO alembic_version VALUES ('a1');
INSERT INTO customer (name, mood) VALUES ('Zoë', 'glad'), ('李', 'sad');
SELECT lo_from_bytea(0, 'large object');
"""
MIGRATION = """
ALTER TABLE customer DROP COLUMN mood CASCADE; DROP TYPE mood; DROP FUNCTION twice;
CREATE TABLE invoice (id int); INSERT INTO customer (name) VALUES ('made meanwhile');
UPDATE alembic_version SET version_num = 'b2';
"""


@pytest.fixture
def database(postgresql: Server, root: Path) -> Iterator[PostgreSQL]:
    """An app's own database, whose role may create databases; its name needs quotes."""
    postgresql.ask(f"CREATE ROLE shop LOGIN CREATEDB PASSWORD {LITERAL}")
    postgresql.ask('CREATE DATABASE "shop-Live" OWNER shop')
    postgresql.ask(f"SET ROLE shop; {TABLES}", "shop-Live")
    url = f"postgresql+psycopg2://shop:{quote(PASSWORD)}@/shop-Live?host={postgresql.socket}"
    yield PostgreSQL.from_url(url, root, {})
    for line in postgresql.ask("SELECT datname FROM pg_database WHERE datname LIKE 'shop%'").splitlines():
        postgresql.ask(f'DROP DATABASE "{line}" WITH (FORCE)')
    postgresql.ask("DROP ROLE shop")


def names(server: Server) -> list[str]:
    return server.ask("SELECT datname FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1").splitlines()


def content(server: Server) -> str:
    return server.ask(
        "SELECT name, mood FROM customer ORDER BY id; SELECT * FROM glad; SELECT twice(4);"
        "SELECT convert_from(lo_get(oid), 'utf8') FROM pg_largeobject_metadata; SELECT * FROM alembic_version;"
        "SELECT to_regclass('invoice') IS NULL; SELECT relname, pg_get_userbyid(relowner) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "shop-Live",
    )


def run(database: PostgreSQL, dumps: Path, postgresql: Server) -> list[str]:
    """Dump, migrate, restore; what was said."""
    lines: list[str] = []
    before = content(postgresql)
    print_of_schema = database.fingerprint()
    dump = database.dump(dumps, lines.append)
    assert dump.fingerprint == print_of_schema
    assert dump.size == (dumps / dump.file).stat().st_size > 1000
    assert (dumps / dump.file).stat().st_mode & 0o777 == 0o600
    postgresql.ask(f"SET ROLE shop; {MIGRATION}", "shop-Live")
    assert database.fingerprint() != print_of_schema
    database.restore(dumps, dump, lines.append)
    assert content(postgresql) == before
    assert database.fingerprint() == print_of_schema
    assert names(postgresql) == ["shop-Live"]
    assert os.listdir(dumps) == [dump.file]
    return lines


def test_schema_and_data_come_back_and_the_password_is_seen_nowhere(
    database: PostgreSQL, dumps: Path, postgresql: Server
) -> None:
    assert database.problems() == []
    assert database.size() >= 8192
    assert PASSWORD not in repr(database) + database.name
    with watched(PASSWORD) as found:
        lines = run(database, dumps, postgresql)
    assert "restored into a new database and swapped in" in lines[-1]
    assert found.looks > 2
    assert found.places == set()
    assert found.modes == {0o600}
    assert files_with(dumps, PASSWORD) == []


def test_settings_and_rights_of_the_database_itself_survive(
    database: PostgreSQL, dumps: Path, postgresql: Server
) -> None:
    postgresql.ask(
        'ALTER DATABASE "shop-Live" SET search_path TO public, "$user"; REVOKE CONNECT ON DATABASE "shop-Live" FROM public;'
        "ALTER DATABASE \"shop-Live\" SET statement_timeout TO '7s'; CREATE ROLE reader; "
        'GRANT CONNECT ON DATABASE "shop-Live" TO reader'
    )
    facts = (
        "SELECT setconfig FROM pg_db_role_setting; SELECT a FROM pg_database, unnest(datacl) a "
        "WHERE datname = 'shop-Live' ORDER BY a::text; SELECT pg_encoding_to_char(encoding), datcollate, "
        "datdba::regrole FROM pg_database WHERE datname = 'shop-Live'"
    )
    before = postgresql.ask(facts)
    try:
        run(database, dumps, postgresql)
        assert postgresql.ask(facts) == before
    finally:
        postgresql.ask('REVOKE ALL ON DATABASE "shop-Live" FROM reader; DROP ROLE reader')


def test_an_app_that_keeps_its_connections_goes_on_with_the_restored_database(
    database: PostgreSQL, dumps: Path, postgresql: Server
) -> None:
    dump = database.dump(dumps, str)
    stop = threading.Event()

    def app() -> None:
        words = ["psql", "-XAtq", "-h", str(postgresql.socket), "-U", "admin", "shop-Live"]
        while not stop.is_set():
            with subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "PGPASSWORD": "admin"},
            ) as child:  # fmt: skip
                assert child.stdin is not None
                child.stdin.write(b"SELECT count(*) FROM customer;\nSELECT pg_sleep(20);\n")
                child.stdin.close()

    threads = [threading.Thread(target=app) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        # Not the owner's connections: only an administrator may end those of others.
        postgresql.ask("GRANT pg_signal_backend TO shop; ALTER ROLE shop SUPERUSER")
        time.sleep(0.3)
        begun = time.monotonic()
        database.restore(dumps, dump, str)
        assert time.monotonic() - begun < 15
        assert postgresql.ask("SELECT datallowconn FROM pg_database WHERE datname = 'shop-Live'") == "t"
    finally:
        stop.set()
        postgresql.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop-Live'")
        for thread in threads:
            thread.join()
    assert names(postgresql) == ["shop-Live"]


def test_a_role_that_may_not_create_databases_restores_in_one_transaction(
    database: PostgreSQL, dumps: Path, postgresql: Server
) -> None:
    postgresql.ask("ALTER ROLE shop NOCREATEDB")
    postgresql.ask("CREATE EXTENSION pgcrypto", "shop-Live")
    assert "restored in place in one transaction" in run(database, dumps, postgresql)[-1]


def test_a_restore_in_place_that_fails_leaves_everything_as_it_was(
    database: PostgreSQL, dumps: Path, postgresql: Server
) -> None:
    postgresql.ask("ALTER ROLE shop NOCREATEDB")
    dump = database.dump(dumps, str)
    postgresql.ask("CREATE SCHEMA others; CREATE TABLE others.t (i int)", "shop-Live")  # the administrator's
    before = content(postgresql)
    with pytest.raises(CommandFailed, match=r"was left as it is: .*permission denied for schema others") as caught:
        database.restore(dumps, dump, str)
    assert "CREATEDB" in caught.value.hint
    assert content(postgresql) == before


@pytest.mark.parametrize("size", [100, 2000, -200])
def test_a_damaged_dump_is_found_before_anything_is_touched(
    database: PostgreSQL, dumps: Path, postgresql: Server, size: int
) -> None:
    postgresql.ask("INSERT INTO customer (name) SELECT md5(i::text) FROM generate_series(1, 2000) i", "shop-Live")
    dump = database.dump(dumps, str)
    before = content(postgresql)
    os.truncate(dumps / dump.file, size if size > 0 else dump.size + size)
    with pytest.raises(DeploymentFailed, match="is damaged"):
        database.restore(dumps, dump, str)
    assert content(postgresql) == before
    assert names(postgresql) == ["shop-Live"]


KILLED = """
import sys
from pathlib import Path
from gitdeploy.databases.base import Dump
from gitdeploy.databases.postgresql import PostgreSQL
url, root, folder, dump = sys.stdin.read().splitlines()
PostgreSQL.from_url(url, Path(root), {}).restore(Path(folder), Dump.from_dict(eval(dump)), str)
"""


@pytest.mark.parametrize("point", ["database made", "database beside", "database restored"])
def test_a_restore_that_was_killed_is_done_again(
    database: PostgreSQL, dumps: Path, postgresql: Server, tmp_path: Path, point: str
) -> None:
    before = content(postgresql)
    dump = database.dump(dumps, str)
    postgresql.ask(f"SET ROLE shop; {MIGRATION}", "shop-Live")
    url = f"postgresql://shop:{quote(PASSWORD)}@/shop-Live?host={quote(str(postgresql.socket))}"
    told = "\n".join((url, str(database.client.root), str(dumps), repr(dump.as_dict())))
    plan = tmp_path / "plan"

    def restore(action: str) -> int:
        plan.write_text(f"gitdeploy fault plan: this process is meant to be killed\n{action}\n")
        (tmp_path / "temp").mkdir(exist_ok=True)
        env = {
            **os.environ,
            "GITDEPLOY_FAULT_PLAN": str(plan),
            "TMPDIR": f"{tmp_path}/temp",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        return subprocess.run([sys.executable, "-c", KILLED], input=told, text=True, env=env).returncode

    # Counted on the very same restore, which is then done again, killed.
    assert restore(f"count {tmp_path}/points") == 0
    number = (tmp_path / "points").read_text().splitlines().index(point) + 1
    postgresql.ask(f"SET ROLE shop; {MIGRATION}", "shop-Live")
    assert restore(f"kill {number}") == -9
    assert "shop-Live" in names(postgresql)
    database.restore(dumps, dump, str)
    assert content(postgresql) == before
    assert names(postgresql) == ["shop-Live"]
    assert left_behind(PASSWORD, tmp_path / "temp") == []


def test_a_server_that_is_down_a_wrong_password_and_a_missing_database_are_said_before_anything_happens(
    postgresql: Server, root: Path, tmp_path: Path
) -> None:
    def problem(url: str) -> str:
        ((message, hint),) = PostgreSQL.from_url(url, root, {}).problems()
        assert hint
        return message

    assert "No such file or directory" in problem(f"postgresql:///shop?host={tmp_path}")
    wrong = problem(f"postgresql://admin:wrong-secret@/postgres?host={postgresql.socket}")
    assert "password authentication failed" in wrong
    assert "wrong-secret" not in wrong
    assert 'database "nothing" does not exist' in problem(f"postgresql://admin:admin@/nothing?host={postgresql.socket}")


def test_the_password_may_come_from_the_apps_own_environment(postgresql: Server, root: Path) -> None:
    told = {"PGPASSWORD": "admin", "PGUSER": "admin", "PGHOST": str(postgresql.socket), "SECRET_KEY": "x"}
    database = PostgreSQL.from_url("postgres:///postgres", root, told)
    assert database.problems() == []
    assert database.name == "postgresql:///postgres"


@needs.another_user
def test_root_dumps_and_restores_as_the_owner_of_the_checkout(
    database: PostgreSQL, dumps: Path, postgresql: Server, root: Path
) -> None:
    """As with peer authentication: whose process asks decides. The dumps' folder is root's own."""
    needs.let_others_in(root)
    os.chown(root, 65534, 65534)
    url = f"postgresql://shop:{quote(PASSWORD)}@/shop-Live?host={postgresql.socket}"
    theirs = PostgreSQL.from_url(url, root, {})
    assert theirs.client.uid == 65534
    assert "swapped in" in run(theirs, dumps, postgresql)[-1]
    postgresql.ask("ALTER ROLE shop NOCREATEDB")
    assert "in place" in run(theirs, dumps, postgresql)[-1]
