"""SQLite: dumped while it is written to, restored by rename; and URLs of every kind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdeploy.config.sections import DatabaseConfig
from gitdeploy.databases import open_databases, sqlite
from gitdeploy.databases.address import Address
from gitdeploy.databases.sqlite import SQLite
from gitdeploy.errors import ConfigError, DeploymentFailed
from gitdeploy.text import redact


def write(path: Path, *statements: str, wal: bool = False) -> None:
    with closing(sqlite3.connect(path)) as database:
        if wal:
            database.execute("PRAGMA journal_mode=WAL")
        for statement in statements:
            database.execute(statement)
        database.commit()


def rows(path: Path, question: str = "SELECT i FROM t ORDER BY 1") -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute(question)]


@pytest.fixture
def file(root: Path) -> Path:
    path = root / "my app?#%.db"
    write(path, "CREATE TABLE t (i)", "INSERT INTO t VALUES (1)", wal=True)
    return path


@pytest.fixture
def database(file: Path) -> SQLite:
    return SQLite(file, file.name)


def test_what_stands_in_the_write_ahead_log_is_dumped_too(database: SQLite, file: Path, dumps: Path) -> None:
    with closing(sqlite3.connect(file)) as app:
        app.execute("INSERT INTO t VALUES (2)")
        app.commit()
        assert Path(f"{file}-wal").stat().st_size
        dump = database.dump(dumps, str)
        app.execute("INSERT INTO t VALUES (3)")
        app.commit()
    assert rows(dumps / dump.file) == [1, 2]
    assert (dumps / dump.file).stat().st_mode & 0o777 == 0o600
    database.restore(dumps, dump, str)
    assert rows(file) == [1, 2]
    assert sorted(os.listdir(file.parent)) == [file.name]


def test_the_fingerprint_tells_schema_and_migrations_not_data(database: SQLite, file: Path) -> None:
    first = database.fingerprint()
    write(file, "INSERT INTO t VALUES (2)")
    assert database.fingerprint() == first
    write(file, "CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('a')")
    second = database.fingerprint()
    write(file, "UPDATE alembic_version SET version_num = 'b'")
    assert len({first, second, database.fingerprint()}) == 3


def test_a_link_stays_a_link_and_mode_is_kept(database: SQLite, file: Path, tmp_path: Path, dumps: Path) -> None:
    real = tmp_path / "data.db"
    file.rename(real)
    real.chmod(0o640)
    file.symlink_to(real)
    dump = database.dump(dumps, str)
    write(file, "INSERT INTO t VALUES (9)")
    database.restore(dumps, dump, str)
    assert file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert rows(real) == [1]


def test_a_damaged_dump_leaves_the_database_as_it_is(database: SQLite, file: Path, dumps: Path) -> None:
    dump = database.dump(dumps, str)
    (dumps / dump.file).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    write(file, "INSERT INTO t VALUES (2)")
    with pytest.raises(DeploymentFailed, match="can't be restored"):
        database.restore(dumps, dump, str)
    assert rows(file) == [1, 2]
    assert not [name for name in os.listdir(file.parent) if "gitdeploy" in name]


def test_a_damaged_database_and_a_missing_one_are_refused(file: Path, database: SQLite, dumps: Path) -> None:
    file.write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(DeploymentFailed, match="can't be dumped"):
        database.dump(dumps, str)
    file.unlink()
    with pytest.raises(DeploymentFailed, match="does not exist"):
        database.dump(dumps, str)
    assert "does not exist" in database.problems()[0][0]


# ---- which databases ----


def test_each_kind_is_known_by_its_url_and_a_variable_may_hold_it(root: Path) -> None:
    entries = [
        DatabaseConfig(url="sqlite:///instance/app.db"),
        DatabaseConfig(env="DATABASE_URL"),
        DatabaseConfig(url="mariadb+mariadbconnector://db.example.com:3307/shop"),
    ]
    found = open_databases(entries, root, {"DATABASE_URL": "postgres://shop:secret-1@[::1]:5433/shop?sslmode=require"})
    assert [(each.kind, each.name) for each in found] == [
        ("sqlite", "instance/app.db"),
        ("postgresql", "postgresql://::1:5433/shop"),
        ("mysql", "mysql://db.example.com:3307/shop"),
    ]
    assert redact("it was secret-1") == "it was ***"


def test_a_variable_that_is_not_set_and_an_unknown_kind_are_said(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"SHOP_URL, which backup\.databases refers to, is set neither"):
        open_databases([DatabaseConfig(env="SHOP_URL")], root, {})
    with pytest.raises(ConfigError, match="oracle databases can't be dumped"):
        open_databases([DatabaseConfig(env="U")], root, {"U": "oracle://x/y"})
    with pytest.raises(ConfigError, match="names no database") as caught:
        open_databases([DatabaseConfig(env="U")], root, {"U": "postgresql://shop:pass-word@host"})
    assert "pass-word" not in caught.value.message


def test_addresses_as_drivers_write_them() -> None:
    address = Address.parse("postgresql://u%40x:p%2F%3A%40@db1:5432,db2:5433/na%20me?application_name=x#frag")
    assert (address.user, address.password, address.host, address.port) == ("u@x", "p/:@", "db1,db2", "5432,5433")
    assert address.database == "na me"
    assert Address.parse("postgresql://%2Fvar%2Frun/app").host == "/var/run"
    assert Address.parse("postgresql:///app?host=/run/pg&user=u").user == "u"
    assert "hunter2" not in repr(Address.parse("mysql://u:hunter2@h/d"))


@given(st.text(min_size=1, max_size=30))
def test_any_password_survives_its_quoting(password: str) -> None:
    if any(ord(c) < 32 for c in password) or not password.isprintable():
        return
    parsed = Address.parse(f"postgresql://user:{quote(password, safe='')}@host/name")
    assert (parsed.password, parsed.host, parsed.database) == (password, "host", "name")


def test_a_transaction_that_a_crash_cut_off_is_rolled_back_before_the_dump_and_never_applied_to_a_restored_file(
    database: SQLite, file: Path, dumps: Path
) -> None:
    def crash() -> None:
        program = (
            "import os, sqlite3, sys\n"
            "d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "d.execute('PRAGMA cache_size=1')\n"
            "d.execute('BEGIN')\n"
            "d.execute('UPDATE t SET i = i + 1000000')\n"
            "os._exit(1)\n"
        )
        subprocess.run([sys.executable, "-c", program, str(file)])
        assert Path(f"{file}-journal").stat().st_size

    with closing(sqlite3.connect(file)) as app:
        app.execute("PRAGMA journal_mode=DELETE")
        app.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(2, 5000)])
        app.commit()
    wanted = rows(file)
    crash()
    dump = database.dump(dumps, str)
    assert rows(dumps / dump.file) == wanted
    with closing(sqlite3.connect(file)) as app, app:
        app.execute("DELETE FROM t WHERE i > 100")
        app.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(10**6, 10**6 + 5000)])
    crash()
    database.restore(dumps, dump, str)
    assert rows(file) == wanted
    assert sorted(os.listdir(file.parent)) == [file.name]


def test_nobody_waits_for_ever(file: Path, tmp_path: Path) -> None:
    """For a lock a while; for the answer of a question as long as it is worked on, whatever ends that."""
    with (
        closing(sqlite3.connect(file)) as app,
        closing(sqlite3.connect(file, timeout=0.05)) as source,
        closing(sqlite3.connect(tmp_path / "copy")) as target,
    ):
        app.execute("PRAGMA locking_mode=EXCLUSIVE")
        app.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite.copy_pages(source, target, patience=0.1)
    with pytest.raises(TypeError):  # no row at all
        sqlite._asked(file, "ro", "SELECT i FROM t WHERE i > 5")
