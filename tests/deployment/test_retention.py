"""Backups by their names and manifests alone: which is meant, which stays, which goes."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkouts import Checkout

from gitdeploy.backups import store
from gitdeploy.backups.store import Backup, find, new_id, read_all, set_outcome, to_prune
from gitdeploy.checkout.snapshot import Snapshot
from gitdeploy.errors import DeploymentFailed, NotFound, UsageError
from gitdeploy.messages import render, tr
from gitdeploy.site.site import Site
from gitdeploy.state import Database, sayings
from gitdeploy.state.sqlite import now
from gitdeploy.upkeep.prune import held_generations, prune

SNAPSHOT = Snapshot("c", "h", None, "t", "i", (), (), ())
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def made(folder: Path, second: int, *, label: str = "", outcome: str = "good", generation: str | None = None) -> str:
    """A backup made in that second; its id."""
    identity = f"20261123-1200{second:02d}-v1.{second}"
    folder.mkdir(exist_ok=True)
    store.write(
        folder,
        Backup(identity, "", "shop", "1", "v1", "a" * 40, None, "before", label, SNAPSHOT, generation=generation),
    )
    if outcome != "pending":
        set_outcome(folder, identity, outcome)  # type: ignore[arg-type]
    return identity


def going(folder: Path, keep: int) -> list[str]:
    return sorted(backup.id[13:15] for backup in to_prune(folder, keep, 0))


def test_the_newest_good_ones_stay_and_so_do_labelled_ones(tmp_path: Path) -> None:
    for second in range(1, 6):
        made(tmp_path, second, label="for ever" if second == 2 else "")
    assert going(tmp_path, 3) == ["01"]
    assert going(tmp_path, 10) == []
    assert going(tmp_path, 1) == ["01", "03", "04"]
    assert going(tmp_path, 0) == ["01", "03", "04"], "the newest good one always stays"


def test_failed_deployments_never_push_a_good_backup_out(tmp_path: Path) -> None:
    made(tmp_path, 1)
    for second in range(2, 7):
        made(tmp_path, second, outcome="failed")
    assert going(tmp_path, 2) == ["02", "03", "04"]
    made(tmp_path, 7, outcome="pending")
    assert going(tmp_path, 1) == ["01", "02", "03", "04", "05"], "one whose deployment isn't over counts as good"


def test_a_damaged_one_is_never_pruned_and_named_when_it_is_asked_for(tmp_path: Path) -> None:
    whole = made(tmp_path, 1)
    for second, text in enumerate(("{", "[]", json.dumps({"format": 2}), json.dumps({"format": 1, "id": "other"})), 2):
        broken = made(tmp_path, second)
        (tmp_path / broken / store.MANIFEST).write_text(text)
    (tmp_path / "20261123-120009-unfinished").mkdir()
    (tmp_path / "no backup").mkdir()
    found, damaged = read_all(tmp_path)
    assert [backup.id for backup in found] == [whole]
    assert len(damaged) == 5
    assert going(tmp_path, 1) == []
    with pytest.raises(DeploymentFailed, match="a newer gitdeploy"):
        find(tmp_path, "20261123-120004-v1.4")
    with pytest.raises(DeploymentFailed, match="never finished"):
        find(tmp_path, "20261123-120009-unfinished")


def test_how_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no backup yet"):
        find(tmp_path / "none", "latest")
    one, two = made(tmp_path, 1), made(tmp_path, 12)
    assert find(tmp_path, "latest").id == two
    assert find(tmp_path, one).id == one
    assert find(tmp_path, f"refs/gitdeploy/backups/{one}").id == one
    assert find(tmp_path, "20261123-12001").id == two
    with pytest.raises(UsageError, match="begins several backups"):
        find(tmp_path, "2026")
    for nothing in ("", "2027", "../x", "\x1b[31m"):
        with pytest.raises((NotFound, UsageError)):
            find(tmp_path, nothing)


def test_a_new_id_is_free_and_sorts_after_all_others_whatever_the_clock_says(tmp_path: Path) -> None:
    assert new_id(tmp_path / "none", "1.2.9", now=NOON) == "20261123-120000-1.2.9"
    assert new_id(tmp_path, "../../etc/x y", now=NOON) == "20261123-120000-etc-x-y"
    assert new_id(tmp_path, None, now=NOON) == "20261123-120000-unversioned"
    later = made(tmp_path, 30)
    found = new_id(tmp_path, "0.1", now=NOON)
    assert found > later
    assert found == "20261123-120031-0.1"
    gone = {"20261123-120000-1.2.9", "20261123-120001-1.2.9"}
    assert new_id(tmp_path / "none", "1.2.9", gone, NOON) == "20261123-120002-1.2.9"
    assert new_id(tmp_path / "none", "1.2.9", {"20991231-235959-1.2.9"}, NOON) == "20261123-120000-1.2.9"


@given(st.lists(st.text(max_size=8), max_size=6))
def test_ids_of_one_second_still_sort_in_the_order_in_which_they_were_made(versions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ids = []
        for version in versions:
            ids.append(new_id(Path(folder), version, now=NOON))
            (Path(folder) / ids[-1]).mkdir()
        assert ids == sorted(set(ids))


# ---- with the venvs ----


def generation(site: Site, name: str) -> Path:
    place = site.state.venvs / name
    (place / "bin").mkdir(parents=True)
    (place / "file").write_text("x" * 10_000)
    return place


def test_a_generation_stays_as_long_as_something_needs_it(checkout: Checkout) -> None:
    checkout.go(checkout.commit({"deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: venv}\n"}))
    site = Site.open(checkout.root)
    site.make_state()
    for name in ("live", "backed", "old", "loose"):
        generation(site, name)
    (checkout.root / "venv").symlink_to(".gitdeploy/venvs/live")
    made(site.state.backups, 1, generation="old")
    made(site.state.backups, 2, generation="backed")
    assert held_generations(site) == {"live", "backed", "old"}
    said: list[str] = []
    wanted = prune(site, keep=1, line=said.append, dry_run=True)
    assert (wanted.backups, wanted.generations) == (("20261123-120001-v1.1",), ("loose", "old"))
    assert wanted.freed > 20_000
    assert said == []
    assert sorted(path.name for path in site.state.venvs.iterdir()) == ["backed", "live", "loose", "old"]
    assert prune(site, keep=1, line=said.append) == wanted
    assert sorted(path.name for path in site.state.venvs.iterdir()) == ["backed", "live"]
    assert said[0].startswith("Dropped 1 old backup and 2 venv generations, ")
    assert [backup.id[-4:] for backup in site.backups()] == ["v1.2"]
    assert prune(site, keep=1, line=said.append).generations == ()
    assert len(said) == 1, "nothing dropped, nothing said"


def test_a_downloaded_python_goes_with_the_last_venv_that_is_made_with_it(checkout: Checkout) -> None:
    checkout.go(checkout.commit({"deploy.yaml": "app: {name: shop}\nsource: {type: git}\nvenv: {path: venv}\n"}))
    site = Site.open(checkout.root)
    site.make_state()
    old = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    for name in ("3.10.1", "3.11.2", "3.12.3", "3.13.4", "3.14.0"):
        place = site.state.pythons / f"cpython-{name}-linux"
        (place / "bin").mkdir(parents=True)
        (place / "bin/python3").write_text("")
        os.utime(place, (old, old))
    (site.state.pythons / ".gone-cpython-3.9.9-linux/bin").mkdir(parents=True)  # half deleted when that was killed
    (site.state.pythons / "cpython-3.10-linux").symlink_to("cpython-3.10.1-linux")  # as uv makes them
    os.utime(site.state.pythons / "cpython-3.14.0-linux")  # downloaded just now, for a build that failed
    for name, python in (("live", "3.11.2"), ("backed", "3.12.3"), ("loose", "3.10.1")):
        place = generation(site, name)
        (place / "bin/python").symlink_to(site.state.pythons / f"cpython-{python}-linux/bin/python3")
    (generation(site, "listed") / "pyvenv.cfg").write_text(f"home = {site.state.pythons}/cpython-3.13.4-linux/bin\n")
    (checkout.root / "venv").symlink_to(".gitdeploy/venvs/live")
    made(site.state.backups, 1, generation="backed")
    made(site.state.backups, 2, generation="listed")
    said: list[str] = []
    wanted = prune(site, keep=5, line=said.append, dry_run=True)
    assert (wanted.generations, wanted.pythons) == (("loose",), ("cpython-3.10.1-linux",))
    assert prune(site, keep=5, line=said.append) == wanted
    left = sorted(path.name for path in site.state.pythons.iterdir())
    assert left == [f"cpython-{version}-linux" for version in ("3.11.2", "3.12.3", "3.13.4", "3.14.0")]
    assert "Dropped cpython-3.10.1-linux, which no venv uses any more." in said
    assert prune(site, keep=5, line=said.append).pythons == ()


def test_old_deployments_go_out_of_the_database_but_not_those_with_a_backup(tmp_path: Path) -> None:
    """The newest twenty stay, what runs, what people are still to be told of, and what a backup belongs to."""
    with Database.open(tmp_path / "state.db") as database:
        for number in range(1, 31):
            made = database.begin_deployment("upgrade", "li", {"commit": "1"}, {"commit": "2"})
            assert made == number
            database.line(made, "said")
            database.line(made, tr("There is no backup `{identity}`.", identity="old" if made != 2 else "kept"))
            database.write(made, "plan", "", {})
            if number != 4:
                ended = "2020-01-01T00:00:00.000+00:00" if number < 29 else now()
                backup = "kept" if number == 2 else "gone"
                database.update_deployment(made, status="succeeded", ended_at=ended, backup=backup)
        database.write(3, "notify", "succeeded", {})
        assert database.forget("2021-01-01T00:00:00.000+00:00", {"kept"}) == 7
        left = [row.id for row in database.deployments()]
        assert sorted(left) == [2, 3, 4, *range(11, 31)]
        assert database.lines(1) == []
        assert database.records(1) == []
        texts = [text for _, _, _, text in database.lines(2)]
        assert texts == ["said", "There is no backup `kept`."]
        assert render(texts[1], "zh") == "没有备份 `kept`。"
        database.forget("2999-01-01T00:00:00.000+00:00", {"kept"})
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection, connection:
        connection.execute("DELETE FROM line WHERE deployment <> 2")
        sayings.sweep(connection)
        assert connection.execute("SELECT text FROM said").fetchall() == [("There is no backup `kept`.",)]
    with Database.open(tmp_path / "state.db") as database:
        assert database.begin_deployment("upgrade", "li", {}, {}) == 31, "no number is given twice"
