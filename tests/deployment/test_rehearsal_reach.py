"""What a rehearsal may reach, and what is refused where nothing but the environment keeps the live data apart."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitdeploy.config import Config, HooksConfig, RehearseConfig
from gitdeploy.databases import open_databases
from gitdeploy.databases.scratch import scratch_of
from gitdeploy.deployment.rehearse.grounds import Ground
from gitdeploy.deployment.rehearse.locks import Locks
from gitdeploy.deployment.rehearse.reach import servers_of, what_is_unread
from gitdeploy.deployment.rehearse.refusals import Pair, refuse_live_names
from gitdeploy.deployment.rehearse.room import Disks
from gitdeploy.deployment.rehearse.ways import require_ways
from gitdeploy.errors import DeploymentFailed, PolicyError


def pairs_of(root: Path, *urls: str) -> list[Pair]:
    live = open_databases([SimpleNamespace(url=url, env=None) for url in urls], root, {})
    return [(each, scratch_of(each, "r1", root / "place", root, root / "place/app")) for each in live]


def test_what_is_asked_of_another_machine_is_passed_on_unread_and_that_is_said(tmp_path: Path) -> None:
    near, far = "mysql://store@127.0.0.1:3307/store", "postgresql://store@db.example.com/store"
    pairs = pairs_of(tmp_path, near, far)
    ways = {each.host: (each.wire, each.only, each.live) for each in servers_of(pairs) if each.host}
    scratch = ("store_gitdeploy_r1",)
    assert ways == {"127.0.0.1": ("mysql", scratch, ("store",)), "db.example.com": ("", scratch, ("store",))}
    assert what_is_unread(pairs[:1]) is None
    assert "postgresql://db.example.com/store on another machine is passed on unread" in str(what_is_unread(pairs))


@pytest.mark.parametrize(
    ("where", "text", "refused"),
    [
        ("place/app/hooks/migrate", "psql store", True),
        ("place/app/hooks/migrate-after", "psql store", True),
        ("place/app/hooks/check", "psql -c 'TRUNCATE `store`.customer'", True),
        ("place/app/hooks/build", "mariadb -e 'DELETE FROM store.customer'", True),
        ("hooks/build", "psql store", True),
        ("rehearse.command", "DB=store serve {port}", True),
        ("place/app/hooks/migrate", 'psql "$DB_NAME" -f store.sql; bin/restore', False),
        ("hooks/migrate", "psql store", False),  # the old release's is not run
    ],
)
def test_what_names_the_live_database_itself(tmp_path: Path, where: str, text: str, refused: bool) -> None:
    settings = Config(root=tmp_path, hooks=HooksConfig(dir="hooks"))
    own = RehearseConfig(command=text if where == "rehearse.command" else "serve {port}")
    if "/" in where:
        hook = tmp_path / where
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/sh\n{text}\n")
        hook.chmod(0o755)
    site: Any = SimpleNamespace(root=tmp_path, config=SimpleNamespace(rehearse=own))
    ground = cast("Ground", SimpleNamespace(copy=tmp_path / "place/app", site=site))
    pairs = pairs_of(tmp_path, "postgresql://store@db.example.com/store")
    if not refused:
        refuse_live_names(ground, pairs, settings, settings)
        return
    with pytest.raises(PolicyError, match=r"names the live database \S+/store itself"):
        refuse_live_names(ground, pairs, settings, settings)


def test_how_long_a_table_was_locked_without_a_break() -> None:
    """Two short locks are no long one; each kind of lock, and each database, has its own time."""
    found = Locks()
    write, read = ("orders", False), ("orders", True)
    looks = [
        (0.0, [write]),
        (1.0, [write]),
        (2.0, []),
        (60.0, [write]),
        (61.0, [read]),
        (63.0, [read]),
        (64.0, [write]),
    ]
    for moment, tables in looks:
        found.saw("one", tables, moment)
    found.saw("two", [read], 100.0)
    assert found.sentences() == [
        "orders was locked for 4.0 s: not written",
        "orders was locked for 2.0 s: neither read nor written",
    ]


def test_what_goes_to_one_disk_is_added_up(tmp_path: Path) -> None:
    """The copy, the dump and the server's own folder: each would find room, all of them don't."""
    (tmp_path / "server").mkdir()
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    database: Any = SimpleNamespace(size=lambda: 0, kind="postgresql")
    scratch: Any = SimpleNamespace(database=database, room=lambda: (tmp_path / "server", free * 6 // 10))
    site = SimpleNamespace(root=tmp_path)
    ground = cast("Ground", SimpleNamespace(folder=tmp_path, site=site))
    Disks.of(ground, [(database, scratch)], 0).require()
    with pytest.raises(DeploymentFailed, match="too little room for a rehearsal"):
        Disks.of(ground, [(database, scratch)], free * 6 // 10).require()


NEAR, FAR = "127.0.0.1", "db.example.com"


@pytest.mark.parametrize(
    ("kind", "host", "variable", "value", "wanted"),
    [
        ("postgresql", NEAR, "DATABASE_URL", "?sslmode=require", "sslmode=require"),
        ("postgresql", NEAR, "PGSSLMODE", "verify-full", "sslmode=verify-full"),
        ("postgresql", NEAR, "DATABASE_URL", "?sslmode=prefer", ""),
        ("postgresql", FAR, "DATABASE_URL", "?sslmode=require", ""),
        ("postgresql", FAR, "DATABASE_URL", "?sslmode=verify-full", "sslmode=verify-full"),
        ("mysql", NEAR, "DATABASE_URL", "?ssl_ca=/etc/ca.pem", "ssl_ca=/etc/ca.pem"),
        ("mysql", NEAR, "DATABASE_URL", "?ssl=false", ""),
        ("mysql", NEAR, "PGSSLMODE", "require", ""),
        ("mysql", FAR, "DATABASE_URL", "?ssl-mode=VERIFY_IDENTITY", "ssl-mode=VERIFY_IDENTITY"),
        ("mysql", FAR, "DATABASE_URL", "?ssl_ca=/etc/ca.pem", ""),
    ],
)
def test_a_way_that_wants_tls(tmp_path: Path, kind: str, host: str, variable: str, value: str, wanted: str) -> None:
    """Refused with the name of the variable: without it there, as the hint says, the way is free."""
    pairs = pairs_of(
        tmp_path, f"{kind}://store@{host}/store" if kind == "postgresql" else f"{kind}://store@{host}:3306/store"
    )
    url = f"{kind}://store@127.0.0.1/store_gitdeploy_r1"
    values = {"OTHER": "https://x/y?sslmode=require", variable: value if variable == "PGSSLMODE" else url + value}
    if not wanted:
        require_ways(pairs, values.items())
        return
    with pytest.raises(PolicyError, match=rf"{host}\S* wants TLS \({wanted}\)") as raised:
        require_ways(pairs, values.items())
    assert raised.value.hint == f"Name a way without it in deploy.yaml: rehearse: {{env: {{{variable}: ...}}}}"
    require_ways(pairs, {**values, variable: url if variable == "DATABASE_URL" else "disable"}.items())


def test_several_servers(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="names several servers") as raised:
        require_ways(pairs_of(tmp_path, "postgresql://store@one.example,two.example/store"), [])
    assert raised.value.hint == "Name the primary alone in backup.databases."
    require_ways(pairs_of(tmp_path, "postgresql://store@one.example/store"), [])
