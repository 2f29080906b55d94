"""What each kind of database tells: the rows written since a dump, and the migrations that it has recorded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from support.databases import PASSWORD, Server

from gitdeploy.config.sections import DatabaseConfig
from gitdeploy.databases import Database, Dump, Written, open_databases

Ask = Callable[[str], object]
Case = tuple[Database, Ask, Path]
pytestmark = pytest.mark.xdist_group("postgresql")
TABLES = (
    "CREATE TABLE orders (id integer, what varchar(30)); CREATE TABLE customer (name varchar(30)); "
    "INSERT INTO customer VALUES ('Ann'), ('Bob'); CREATE TABLE django_migrations (app varchar(30), name varchar(60)); "
    "INSERT INTO django_migrations VALUES ('shop', '0001_initial'); "
)


def opened(url: str, root: Path) -> Database:
    (found,) = open_databases([DatabaseConfig(env="U")], root, {"U": url})
    return found


@pytest.fixture
def sqlite_case(root: Path, dumps: Path) -> Case:
    def ask(text: str) -> None:
        with closing(sqlite3.connect(root / "shop.db")) as database:
            database.executescript(text)

    ask(TABLES)
    return opened("sqlite:///shop.db", root), ask, dumps


@pytest.fixture
def postgresql_case(postgresql: Server, root: Path, dumps: Path) -> Iterator[Case]:
    literal = "'" + PASSWORD.replace("'", "''") + "'"
    postgresql.ask(f"CREATE ROLE told LOGIN CREATEDB PASSWORD {literal}")
    postgresql.ask("CREATE DATABASE told OWNER told")

    def ask(text: str) -> object:
        said = postgresql.ask(f"SET ROLE told; {text}", "told")
        time.sleep(0.2)  # the connection's end, at which it is counted
        return said

    ask(TABLES)
    url = f"postgresql://told:{quote(PASSWORD)}@/told?host={quote(str(postgresql.socket), safe='')}"
    yield opened(url, root), ask, dumps
    for name in postgresql.ask("SELECT datname FROM pg_database WHERE datname LIKE 'told%'").splitlines():
        postgresql.ask(f'DROP DATABASE "{name}" WITH (FORCE)')
    postgresql.ask("DROP ROLE told")


@pytest.fixture
def mysql_case(mariadb: Server, root: Path, dumps: Path) -> Iterator[Case]:
    mariadb.ask(
        "CREATE DATABASE told; CREATE USER told@localhost IDENTIFIED BY 'pw-of-told'; GRANT ALL ON `told%`.* TO told@localhost"
    )

    def ask(text: str) -> object:
        return mariadb.ask(text, "told")

    ask(TABLES)
    yield opened(f"mysql://told:pw-of-told@localhost/told?unix_socket={mariadb.socket}", root), ask, dumps
    mariadb.ask("DROP DATABASE told; DROP USER told@localhost")


@pytest.fixture(params=["sqlite_case", "postgresql_case", "mysql_case"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def since(case: Case, dump: Dump) -> Written:
    database, _, dumps = case
    now = None
    if database.kind == "sqlite":
        place = dumps / "now"
        place.mkdir(exist_ok=True)
        now = place / database.dump(place, str).file
    return database.written(dumps, dump, now)


def test_rows_that_were_written_are_counted_and_a_migration_alone_is_not(case: Case) -> None:
    database, ask, dumps = case
    time.sleep(1.1)  # MariaDB's times of change are whole seconds
    dump = database.dump(dumps, str)
    assert dump.at
    assert not since(case, dump).tables
    ask(
        "INSERT INTO orders VALUES (1, 'a book'), (2, 'a pen'); INSERT INTO django_migrations VALUES ('shop', '0002_more')"
    )
    assert dict(since(case, dump).tables) == {"orders": 2}
    ask("DELETE FROM customer WHERE name = 'Bob'")
    assert dict(since(case, dump).tables) == {"orders": 2, "customer": 1}


def test_nothing_is_claimed_of_rows_that_were_changed_where_only_their_number_is_known(case: Case) -> None:
    database, ask, dumps = case
    time.sleep(1.1)
    dump = database.dump(dumps, str)
    time.sleep(1.1)
    ask("UPDATE customer SET name = 'Cid' WHERE name = 'Ann'")
    written = since(case, dump)
    assert not written.nothing
    assert written.tables == {"customer": 1} or not written.told


def test_after_a_restore_old_counters_claim_nothing(case: Case) -> None:
    database, ask, dumps = case
    ask("INSERT INTO orders VALUES (1, 'before')")
    dump = database.dump(dumps, str)
    ask("INSERT INTO orders VALUES (2, 'after')")
    database.restore(dumps, dump, str)
    written = since(case, dump)
    assert not written.tables
    assert database.kind == "sqlite" or not written.told or written.nothing


def test_recorded_migrations(case: Case) -> None:
    database, ask, _ = case
    assert database.recorded("django_migrations") == frozenset({"shop.0001_initial"})
    assert database.recorded("alembic_version") is None
    ask("CREATE TABLE alembic_version (version_num varchar(32)); INSERT INTO alembic_version VALUES ('ab12')")
    assert database.recorded("alembic_version") == frozenset({"ab12"})


def test_rows_are_told_before_they_are_replaced(case: Case) -> None:
    assert dict(case[0].rows()) == {"customer": 2, "orders": 0} or case[0].kind == "postgresql"


def test_one_server_under_many_spellings(root: Path) -> None:
    same = [
        "postgresql://u:p@localhost/shop",
        "postgres://u:p@127.0.0.1:5432/shop",
        "postgresql+psycopg://u:p@[::1]/shop?sslmode=disable",
    ]
    other = ["postgresql://u:p@localhost:5433/shop", "postgresql://u:p@localhost/shop2", "postgresql://u:p@db/shop"]
    found = open_databases(
        [DatabaseConfig(env=str(n)) for n in range(6)], root, {str(n): u for n, u in enumerate(same + other)}
    )
    assert len(found) == 4
