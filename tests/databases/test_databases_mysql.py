"""MySQL and MariaDB, with a real MariaDB: what is dumped comes back, and whatever fails loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.databases import PASSWORD, Server, files_with, left_behind, watched

from gitdeploy.databases.mysql import MySQL
from gitdeploy.errors import CommandFailed, DeploymentFailed

pytestmark = pytest.mark.xdist_group("mariadb")
LITERAL = "'" + PASSWORD.replace("\\", "\\\\").replace("'", "''") + "'"

TABLES = """
CREATE TABLE customer (id int PRIMARY KEY AUTO_INCREMENT, name varchar(80) CHARACTER SET utf8mb4, picture blob);
CREATE TABLE `odd ``name` (id int PRIMARY KEY, customer int, CONSTRAINT fk FOREIGN KEY (customer) REFERENCES customer (id));
CREATE VIEW everybody AS SELECT name FROM customer;
CREATE TRIGGER upper_name BEFORE INSERT ON customer FOR EACH ROW SET NEW.name = UPPER(NEW.name);
CREATE FUNCTION twice(i int) RETURNS int DETERMINISTIC RETURN 2 * i;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM customer WHERE id < 0;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('a1');
INSERT INTO customer (name, picture) VALUES ('Zoë', x'00ff27'), ('李😀', NULL);
INSERT INTO `odd ``name` VALUES (1, 2);
"""
MIGRATION = """
ALTER TABLE customer ADD COLUMN mood int; DROP VIEW everybody; CREATE VIEW nobody AS SELECT 1; DROP TRIGGER upper_name;
CREATE TABLE invoice (id int); DROP FUNCTION twice; UPDATE alembic_version SET version_num = 'b2';
INSERT INTO customer (name) VALUES ('made meanwhile');
"""


@pytest.fixture
def database(mariadb: Server, root: Path) -> Iterator[MySQL]:
    """An app's own schema; its account may make the schemas beside it that a restore needs."""
    mariadb.ask(
        "CREATE DATABASE shop_live CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;"
        f"CREATE USER shop@localhost IDENTIFIED BY {LITERAL};"
        "GRANT ALL ON shop_live.* TO shop@localhost; GRANT ALL ON `shop\\_live\\_gitdeploy\\_%`.* TO shop@localhost"
    )
    subprocess.run(
        ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "-ushop", f"-p{PASSWORD}",
         "--default-character-set=utf8mb4", "shop_live"],
        input=TABLES, text=True, check=True,
    )  # fmt: skip
    yield MySQL.from_url(
        f"mysql+pymysql://shop:{quote(PASSWORD)}@localhost/shop_live?unix_socket={mariadb.socket}", root, {}
    )
    for name in names(mariadb):
        mariadb.ask(f"DROP DATABASE {name}")
    mariadb.ask("DROP USER shop@localhost")


def names(server: Server) -> list[str]:
    return server.ask("SHOW DATABASES LIKE 'shop%'").splitlines()


def content(server: Server) -> str:
    return server.ask(
        "SELECT id, name, HEX(picture) FROM customer ORDER BY id; SELECT * FROM `odd ``name`; SELECT * FROM everybody; "
        "SELECT twice(4); SELECT * FROM alembic_version; SHOW TABLES; SELECT trigger_name, event_manipulation, event_object_table, action_statement, definer "
        "FROM information_schema.triggers WHERE trigger_schema = DATABASE(); SHOW CREATE TABLE `odd ``name`; "
        "SELECT event_name FROM information_schema.events; SELECT default_collation_name FROM "
        "information_schema.schemata WHERE schema_name = DATABASE()",
        "shop_live",
    )


def test_tables_views_triggers_routines_and_events_come_back_and_the_password_is_seen_nowhere(
    database: MySQL, dumps: Path, mariadb: Server
) -> None:
    assert (database.problems(), database.warnings()) == ([], [])
    assert database.size() >= 16384
    assert PASSWORD not in repr(database) + database.name
    lines: list[str] = []
    before, schema = content(mariadb), database.fingerprint()
    with watched(PASSWORD) as found:
        dump = database.dump(dumps, lines.append)
        mariadb.ask(MIGRATION, "shop_live")
        assert database.fingerprint() != schema
        database.restore(dumps, dump, lines.append)
    assert content(mariadb) == before
    assert database.fingerprint() == dump.fingerprint == schema
    assert names(mariadb) == ["shop_live"]
    assert found.looks > 2
    assert found.places == set()
    assert found.modes == {0o600}
    assert files_with(dumps, PASSWORD) == []
    assert sorted(os.listdir(dumps / dump.file)) == ["code.sql", "tables.sql", "views.sql"]
    assert dump.size == sum(file.stat().st_size for file in (dumps / dump.file).iterdir())
    assert {file.stat().st_mode & 0o777 for file in (dumps / dump.file).iterdir()} == {0o600}
    assert len(lines) == 1
    assert "restored into a new schema and swapped in" in lines[0]
    with pytest.raises(AssertionError, match="foreign key constraint fails"):  # the keys lead to the new tables
        mariadb.ask("INSERT INTO `odd ``name` VALUES (9, 99)", "shop_live")


def test_tables_without_transactions_are_named(database: MySQL, mariadb: Server) -> None:
    mariadb.ask("CREATE TABLE old_style (i int) ENGINE=MyISAM", "shop_live")
    (warning,) = database.warnings()
    assert "old_style (MyISAM) can't be dumped in the same moment" in warning


def test_an_account_that_may_not_make_a_schema_is_warned_and_loses_nothing(
    database: MySQL, dumps: Path, mariadb: Server
) -> None:
    mariadb.ask("REVOKE ALL ON `shop\\_live\\_gitdeploy\\_%`.* FROM shop@localhost")
    (warning,) = database.warnings()
    assert "GRANT ALL ON `shop\\_live\\_gitdeploy\\_%`.*" in warning
    dump = database.dump(dumps, str)
    before = content(mariadb)
    with pytest.raises(CommandFailed, match="Access denied") as caught:
        database.restore(dumps, dump, str)
    assert "GRANT ALL ON `shop\\_live\\_gitdeploy\\_%`.*" in caught.value.hint
    assert content(mariadb) == before


@pytest.mark.parametrize("name", ["tables.sql", "code.sql", "views.sql"])
def test_a_damaged_dump_is_found_before_anything_is_touched(
    database: MySQL, dumps: Path, mariadb: Server, name: str
) -> None:
    dump = database.dump(dumps, str)
    before = content(mariadb)
    file = dumps / dump.file / name
    os.truncate(file, file.stat().st_size - 60)
    with pytest.raises(DeploymentFailed, match="is damaged: its end is missing"):
        database.restore(dumps, dump, str)
    file.unlink()
    with pytest.raises(DeploymentFailed, match="is damaged: No such file"):
        database.restore(dumps, dump, str)
    assert content(mariadb) == before


def test_a_dump_that_can_not_be_loaded_leaves_everything_as_it_was(
    database: MySQL, dumps: Path, mariadb: Server
) -> None:
    dump = database.dump(dumps, str)
    before = content(mariadb)
    file = dumps / dump.file / "views.sql"
    file.write_text("CREATE VIEW broken AS SELECT * FROM nowhere;\n" + file.read_text())
    with pytest.raises(CommandFailed, match=r"can't be loaded into shop_live_gitdeploy_new: ERROR 1146"):
        database.restore(dumps, dump, str)
    assert content(mariadb) == before
    assert "shop_live_gitdeploy_new" not in names(mariadb)


def test_a_transaction_that_holds_a_table_stops_the_swap_and_what_was_dropped_for_it_is_back(
    database: MySQL, dumps: Path, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = database.dump(dumps, str)
    before = content(mariadb)
    monkeypatch.setattr("gitdeploy.databases.mysql._PATIENCE", "--init-command=SET SESSION lock_wait_timeout = 1")
    words = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "-uroot", "-n", "shop_live"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("BEGIN; SELECT COUNT(*) FROM customer;\n")
        other.stdin.flush()
        assert other.stdout.readline()
        with pytest.raises(CommandFailed, match="Lock wait timeout"):
            database.restore(dumps, dump, str)
        other.stdin.close()
    assert content(mariadb) == before


KILLED = """
import sys
from pathlib import Path
from gitdeploy.databases.base import Dump
from gitdeploy.databases.mysql import MySQL
url, root, folder, dump = sys.stdin.read().splitlines()
MySQL.from_url(url, Path(root), {}).restore(Path(folder), Dump.from_dict(eval(dump)), str)
"""


@pytest.mark.parametrize("point", ["database beside", "database bare", "database swapped", "database restored"])
def test_a_restore_that_was_killed_is_done_again(
    database: MySQL, dumps: Path, mariadb: Server, tmp_path: Path, point: str
) -> None:
    before = content(mariadb)
    dump = database.dump(dumps, str)
    mariadb.ask(MIGRATION, "shop_live")
    url = f"mysql://shop:{quote(PASSWORD)}@localhost/shop_live?unix_socket={mariadb.socket}"
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

    assert restore(f"count {tmp_path}/points") == 0
    number = (tmp_path / "points").read_text().splitlines().index(point) + 1
    mariadb.ask(MIGRATION, "shop_live")
    assert restore(f"kill {number}") == -9
    assert left_behind(PASSWORD, tmp_path / "temp") == []
    database.restore(dumps, dump, str)
    assert content(mariadb) == before
    assert names(mariadb) == ["shop_live"]


def test_a_server_that_is_down_and_a_wrong_password_are_said_before_anything_happens(
    mariadb: Server, root: Path, tmp_path: Path
) -> None:
    def problem(url: str) -> str:
        ((message, hint),) = MySQL.from_url(url, root, {}).problems()
        assert hint
        return message

    assert "Can't connect to local server" in problem(f"mysql://root@localhost/x?unix_socket={tmp_path}/none")
    wrong = problem(f"mysql://root:wrong-secret@localhost/mysql?unix_socket={mariadb.socket}")
    assert "Access denied for user 'root'@'localhost'" in wrong
    assert "wrong-secret" not in wrong
    assert "Unknown database 'nothing'" in problem(f"mysql://root@localhost/nothing?unix_socket={mariadb.socket}")
