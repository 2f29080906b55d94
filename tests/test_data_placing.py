"""Files and folders change places with a backup's in one step: nothing is lost, wherever the process dies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitdeploy.deployment.live import placing
from gitdeploy.deployment.live.placing import Aside, put_in_place, take_away
from gitdeploy.system import faultpoints


class Died(BaseException):
    """As if the process were gone."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose `up` holds other content than the copy in the backup, and a database that is dumped for itself."""
    (tmp_path / "root/up").mkdir(parents=True)
    (tmp_path / "copies/up").mkdir(parents=True)
    (tmp_path / "root/up/a").write_text("new")
    (tmp_path / "root/up/more").write_text("new too")
    (tmp_path / "root/up/x.db").write_text("database")
    (tmp_path / "copies/up/a").write_text("old")
    return tmp_path / "root"


def aside(root: Path) -> Aside:
    return Aside(root.parent / "aside", (), frozenset({root / "up/x.db"}))


def is_back(root: Path) -> None:
    assert (root / "up/a").read_text() == "old"
    assert sorted(os.listdir(root / "up")) == ["a", "x.db"]
    assert (root / "up/x.db").read_text() == "database"
    assert (root.parent / "aside/up/a").read_text() == "new"
    assert sorted(os.listdir(root.parent / "aside/up")) == ["a", "more"]
    assert os.listdir(root) == ["up"]


def test_a_folder_is_put_back_its_database_stays_and_what_was_there_goes_aside(root: Path) -> None:
    inode = (root / "up/x.db").stat().st_ino
    assert put_in_place(root, root.parent / "copies", "up", aside(root))
    is_back(root)
    assert (root / "up/x.db").stat().st_ino == inode
    assert not put_in_place(root, root.parent / "copies", "up", aside(root))
    is_back(root)


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("point", ["data beside", "data moved away", "data placed", "data aside"])
def test_whoever_dies_on_the_way_the_next_finishes(
    root: Path, point: str, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(name: str) -> None:
        if name == point:
            raise Died

    def none_such(one: str, other: str) -> None:
        raise OSError(22, "no such call")

    if not exchange:
        monkeypatch.setattr(placing, "exchange", none_such)
    monkeypatch.setattr(faultpoints, "point", die)
    if exchange and point == "data moved away":
        put_in_place(root, root.parent / "copies", "up", aside(root))  # this way there is no such moment
    else:
        with pytest.raises(Died):
            put_in_place(root, root.parent / "copies", "up", aside(root))
    monkeypatch.setattr(faultpoints, "point", lambda name: None)
    put_in_place(root, root.parent / "copies", "up", aside(root))
    is_back(root)


def test_what_an_app_that_goes_on_makes_of_its_database_before_the_exchange_is_live_after_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes its time, and a write-ahead log comes, goes, or comes anew: none is lost, and none comes back."""
    made, gone, anew = (root / f"up/x.db-{name}" for name in ("made", "gone", "anew"))
    for file in (gone, anew):
        file.write_text("before")

    def app(folder: Path) -> None:
        made.write_text("made meanwhile")
        gone.unlink()
        anew.unlink()
        anew.write_text("anew")

    monkeypatch.setattr(placing, "sync_file_system", app)
    (root.parent / "copies/up/old.db").write_text("of a time when nothing was dumped")
    left = Aside(root.parent / "aside", (), frozenset({root / "up/x.db", root / "up/old.db", made, gone, anew}))
    assert put_in_place(root, root.parent / "copies", "up", left)
    there = {path.name: path.read_text() for path in (root / "up").iterdir()}
    database = {"x.db": "database", "x.db-made": "made meanwhile", "x.db-anew": "anew"}
    assert there == {"a": "old", "old.db": "of a time when nothing was dumped", **database}


def test_what_was_not_there_before_is_taken_away_and_kept_databases_are_not(root: Path) -> None:
    (root / "n").mkdir()
    (root / "n/f").write_text("1")
    (root / ".n.gitdeploy-swap").write_text("left by a killed run")
    take_away(root, "n", aside(root))
    assert (root.parent / "aside/n").read_text() == "left by a killed run"
    assert (root.parent / "aside/n.2/f").read_text() == "1"
    take_away(root, "up", aside(root))
    assert os.listdir(root) == ["up"]


def test_what_the_backup_has_already_is_not_kept_twice(root: Path) -> None:
    known = Aside(root.parent / "aside", (root.parent / "now",), frozenset({root / "up/x.db"}))
    (root.parent / "now/up").mkdir(parents=True)
    for name in ("a", "more"):
        (root.parent / "now/up" / name).write_text((root / "up" / name).read_text())
    assert put_in_place(root, root.parent / "copies", "up", known)
    assert not (root.parent / "aside").exists()
