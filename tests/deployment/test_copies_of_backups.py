"""Backups share what did not change between them, and only that; nothing is shared with what is live."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdeploy.backups import copying
from gitdeploy.backups.places import INCLUDED
from gitdeploy.deployment.live.data_late import _copy_again

NAMES = ("a.jpg", "sub/b.jpg", "sub/c.jpg")
Change = Callable[[Path], None]


def rewrite(file: Path) -> None:
    """The same size, another content; the time tells."""
    file.write_bytes(bytes([(file.read_bytes() or b"x")[0] ^ 1]) * 5000)


def rewrite_silently(file: Path) -> None:
    """The same with the old time put back, as rsync --times or a restored archive do."""
    before = file.stat()
    rewrite(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    fresh = file.with_name("fresh")
    shutil.copy2(file, fresh)
    rewrite_silently(fresh)
    os.rename(fresh, file)


def grow(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b"more")


def close_it(file: Path) -> None:
    file.chmod(0o600)


def touch_it(file: Path) -> None:
    """Nothing but the change time: what `chown -R` of a whole tree does on each deployment."""
    file.chmod(file.stat().st_mode)


CHANGES: tuple[Change, ...] = (rewrite, rewrite_silently, replace, grow, close_it, touch_it)


class Shelf:
    """An app's uploads and the backups of it, each with what it must hold."""

    def __init__(self, folder: Path) -> None:
        self.root, self.backups = folder / "app", folder / "backups"
        self.backups.mkdir()
        self.number = 0
        self.held: dict[Path, dict[str, tuple[bytes, int, int]]] = {}
        for name in NAMES:
            self.fresh(name)

    def fresh(self, name: str) -> None:
        place = self.root / "media" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\x01" * 5000)

    def change(self, name: str, how: Change) -> None:
        if not (self.root / "media" / name).exists():
            self.fresh(name)
        how(self.root / "media" / name)

    def look(self, place: Path) -> dict[str, tuple[bytes, int, int]]:
        files = [Path(base, name) for base, _, names in os.walk(place) for name in names]
        return {
            str(file.relative_to(place)): (file.read_bytes(), file.stat().st_mode, file.stat().st_mtime_ns)
            for file in files
        }

    def back_up(self) -> Path:
        self.number += 1
        folder = self.backups / f"20261123-10150{self.number % 10}-v{self.number:04}"
        ahead = self.ahead()
        folder.mkdir()
        copying.copy_for_backup(self.root, ["media"], folder / INCLUDED)
        found = [path.stat() for path in folder.rglob("*.jpg")]
        assert ahead.new <= sum(file.st_size for file in found if file.st_nlink == 1), "never more than is copied"
        assert ahead.size == sum(file.st_size for file in found)
        self.held[folder] = self.look(self.root / "media")
        return folder

    def ahead(self, *leave: Path) -> copying.Amount:
        """What the next backup copies, looked at before."""
        return copying.amount(self.root, ["media"], copying.newest_copies(self.backups, INCLUDED), leave)

    def save_late(self) -> None:
        """What changed is copied again, just before the switch."""
        if self.held:
            newest = max(self.held)
            _copy_again(self.root, newest, ["media"], frozenset())
            self.held[newest] = self.look(self.root / "media")

    def prune(self, which: int) -> None:
        if self.held:
            going = sorted(self.held)[which % len(self.held)]
            shutil.rmtree(going)
            del self.held[going]

    def check(self) -> None:
        live = {os.stat(path).st_ino for path in (self.root / "media").rglob("*")}
        for folder, held in self.held.items():
            assert self.look(folder / INCLUDED / "media") == held
            assert live.isdisjoint(os.stat(path).st_ino for path in (folder / INCLUDED).rglob("*"))


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(NAMES), st.sampled_from(CHANGES)),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("back up")),
        st.tuples(st.just("late")),
        st.tuples(st.just("prune"), st.integers(0, 5)),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(MOVES)
def test_each_backup_holds_what_was_live_then(moves: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_CLOCK_TICK", 0)  # as though a while went by between the moves
        shelf = Shelf(Path(folder))
        for move in (*moves, ("back up",)):
            match move:
                case ("change", str(name), how):
                    shelf.change(name, how)  # type: ignore[arg-type]
                case ("delete", str(name)):
                    (shelf.root / "media" / name).unlink(missing_ok=True)
                case ("back up",):
                    shelf.back_up()
                case ("late",):
                    shelf.save_late()
                case ("prune", int(which)):
                    shelf.prune(which)
            shelf.check()


def inodes(folder: Path) -> dict[str, int]:
    return {name: (folder / INCLUDED / "media" / name).stat().st_ino for name in NAMES}


def test_what_did_not_change_is_on_the_disk_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert (shelf.ahead().new, shelf.ahead().parts) == (15_000, {"media": 5_000, "media/sub": 10_000})
    first = inodes(shelf.back_up())
    assert (shelf.ahead().new, shelf.ahead().parts) == (0, {})
    shelf.change(NAMES[0], grow)
    shelf.change(NAMES[1], touch_it)
    (shelf.root / "media/link").symlink_to("a.jpg")
    assert (shelf.ahead().new, shelf.ahead().parts) == (5_004, {"media": 5_004}), "a touch alone copies nothing"
    assert shelf.ahead(shelf.root / "media" / NAMES[0]).new == 0, "what is dumped is not copied"
    (shelf.root / "media/link").unlink()
    second = inodes(shelf.back_up())
    assert second[NAMES[0]] != first[NAMES[0]]
    assert {name: second[name] for name in NAMES[1:]} == {name: first[name] for name in NAMES[1:]}
    shelf.save_late()
    assert inodes(max(shelf.held)) == second
    shelf.check()


def test_a_clock_that_was_set_back_tells_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    newest = shelf.back_up()
    os.utime(newest / f"{INCLUDED}{copying.SINCE}", (4_000_000_000, 4_000_000_000))
    first, second = inodes(newest), inodes(shelf.back_up())
    assert not set(first.values()) & set(second.values())
