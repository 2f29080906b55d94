"""What runs apart: how it ends where that can't be done, and what it may ask of a MySQL server: nothing of the live schema."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import needs

from gitdeploy.deployment.rehearse.serve import held_port
from gitdeploy.system import apart
from gitdeploy.system.apart import _goes_to
from gitdeploy.system.isolation import found_out

REFUSED = [
    b"USE store",
    b"/* to it */ -- at once\n use `store`",
    b"SELECT 1; USE store",
    b"/*!40000 USE store */",
    b"USE another",
    b"UPDATE store.customer SET name = 'x'",
    b"update `store`.`customer` set name = 1",
    b"INSERT INTO store . customer VALUES (1)",
    b"INSERT store.customer VALUES (1)",
    b"DELETE FROM Store.customer",
    b"ALTER TABLE store.customer ADD x int",
    b"DROP TABLE IF EXISTS mine, store.customer",
    b"RENAME TABLE customer TO store.buyer",
    b"TRUNCATE store.customer",
    b"SELECT 'it''s' FROM a x, store.customer",
    b"SELECT * FROM a JOIN store.customer ON a.id = 1",
    b"CREATE INDEX i ON store.customer (name)",
    b"DROP DATABASE store",
    b"DROP DATABASE IF EXISTS `store`",
    b'TRUNCATE TABLE "store"."customer"',
]
PASSED = [
    b"USE store_gitdeploy_r1",
    b"SELECT store.name FROM shops AS store",
    b"SELECT a, store.name FROM store WHERE store.id = 1 ORDER BY a, store.name",
    b"UPDATE store SET store.name = 'from store.example.com'",
    b"INSERT INTO mail VALUES ('bought \\' from store.example', \"use it; use store.now\")",
    b"SELECT EXTRACT(YEAR FROM store.created), TRIM(LEADING 'x' FROM store.name) FROM store",
    b"SELECT 1 -- FROM store.customer\nFROM a",
    b"SELECT 1 FROM mysql.time_zone LIMIT 1",
    b"SELECT * FROM storeroom.x, bookstore.y",
    b"SELECT DATABASE(), user FROM information_schema.tables",
]


@pytest.mark.parametrize(("passes", "statements"), [(False, REFUSED), (True, PASSED)])
def test_a_statement_that_names_the_live_schema(passes: bool, statements: list[bytes]) -> None:
    asked = [(number, text) for text in statements for number in (b"\x03", b"\x16")]
    wrong = [
        text for number, text in asked if (_goes_to(number + text, ["store_gitdeploy_r1"], ["store"]) == b"") != passes
    ]
    assert wrong == []


def test_a_command_that_goes_to_another_schema() -> None:
    mine = ["store_gitdeploy_r1"]
    for command in (b"\x02store", b"\x06store", b"\x11me\0\x03abcstore\0more"):
        assert _goes_to(command, mine, ["store"]) == b"store"
    for command in (b"\x02store_gitdeploy_r1", b"\x11me\0\x03abcstore_gitdeploy_r1\0", b"\x11me\0\0\0", b"\x0e"):
        assert _goes_to(command, mine, ["store"]) == b""


def test_what_can_not_be_set_up_ends_with_125_and_what_can_not_be_started_as_in_a_shell() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rows = [(True, "/bin/true", 125, "Address already in use"), (False, "/no/such/program", 127, "No such file")]
        for network, command, code, said in rows:
            facts = {"network": network, "mounts": False, "serve": port, "reach": []}
            done = subprocess.run(
                [sys.executable, "-I", apart.__file__, json.dumps(facts), command], capture_output=True, text=True
            )
            assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
            assert said in done.stderr


def test_files_that_can_not_be_written_to_may_be_gone(tmp_path: Path) -> None:
    """The journal of a live SQLite database comes and goes while the rehearsal begins."""
    needs.namespace("--net")
    needs.mounts()
    live, place = tmp_path / "app.db", tmp_path / "app/place"
    live.touch()
    place.mkdir(parents=True)
    journal = Path(f"{live}-journal")
    journal.touch()
    made = found_out(tmp_path / "app", place, [], [live, journal])
    assert made.mounts, made.why
    journal.unlink()
    done = subprocess.run(
        made.words(["/bin/sh", "-c", f"echo spoiled >{live}"]), cwd=place, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Read-only" in done.stderr
    assert live.read_bytes() == b""


def test_a_port_is_kept_from_others_until_the_app_listens_there() -> None:
    with held_port() as held:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(held.getsockname())
        with socket.create_server(held.getsockname()) as ours, socket.create_connection(ours.getsockname(), 5):
            pass
