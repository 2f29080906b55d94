"""How far long work has come: what is said of it and when, and that a signal ends it in the middle."""

from __future__ import annotations

import errno
import io
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from gitdeploy.backups import archive, copying
from gitdeploy.cli.live import LiveListener
from gitdeploy.cli.screen import Screen
from gitdeploy.databases import sqlite
from gitdeploy.databases.client import Client
from gitdeploy.deployment.record.events import Progress, StepChanged
from gitdeploy.errors import Interrupted
from gitdeploy.messages import render
from gitdeploy.system import interruption, process, progress, reflink
from gitdeploy.system.environment import clean_environment
from gitdeploy.system.progress import HowFar
from gitdeploy.text import width_of
from gitdeploy.venvs.clone import clone

DUMP = HowFar("dump of shop", 412_000_000, 1_200_000_000, "bytes", 0.0, 11.0, 38_000_000.0, about=True)


@pytest.mark.parametrize(
    ("far", "said"),
    [
        (DUMP, "dump of shop: 412.0 MB of about 1.2 GB, 38.0 MB/s, about 21 s left"),
        (HowFar("copying files", 5000, 9000, "bytes", 0.0, 4.0, 1000.0), "copying files: 5.0 kB of 9.0 kB, 1.0 kB/s, about 4 s left"),
        # Too early to tell, or never to be told.
        (HowFar("copying files", 5000, 9000, "bytes", 0.0, 2.0, 1000.0), "copying files: 5.0 kB of 9.0 kB, 1.0 kB/s"),
        (HowFar("copying files", 5000, None, "bytes", 0.0, 90.0, 1000.0), "copying files: 5.0 kB, 1.0 kB/s, 90 s so far"),
        (HowFar("copying files", 5000, 9000, "bytes", 0.0, 90.0, 0.0), "copying files: 5.0 kB of 9.0 kB"),
        (HowFar("checking", 0, None, "bytes", 0.0, 8.0), "checking: 8 s so far"),
        (HowFar("laying out", 50, 200, "files", 0.0, 5.0, 10.0), "laying out: 50 of 200 files, about 15 s left"),
        (HowFar("cloning", 1, None, "files", 0.0, 5.0, 10.0), "cloning: 1 file, 5 s so far"),
        (HowFar("installing", 3, None, "packages", 0.0, 65.0, 0.1), "installing: 3 packages, 65 s so far"),
        (HowFar("fetch", 450, 1000, "objects", 0.0, 100.0, 5.0), "fetch: 450 of 1000 objects, about 110 s left"),
    ],
)  # fmt: skip
def test_what_is_said(far: HowFar, said: str) -> None:
    assert far.text == said


def fits(room: int, text: str) -> bool:
    return width_of(text) <= room


def test_a_narrow_terminal_keeps_the_time_that_is_left() -> None:
    shown = [DUMP.fitting(partial(fits, room)) for room in (80, 60, 50, 10)]
    assert all(text.endswith("about 21 s left") for text in shown)
    assert [width_of(text) <= room for text, room in zip(shown, (80, 60, 50), strict=False)] == [True] * 3
    assert "，" in render(DUMP.text, "zh") or "：" in render(DUMP.text, "zh")


def test_when_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not within the first second, then twice a second; a total that was passed was none; at its end that is said, once."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    asked: list[int] = []
    heard: list[HowFar | None] = []

    def total() -> int:
        asked.append(1)
        return 20

    with progress.told(heard.append):
        with progress.of("quick", "bytes", total):
            progress.add(5, "bytes")
        assert (heard, asked) == ([], [])
        with progress.of("slow", "bytes", total, about=True) as work:
            for _ in range(28):
                clock[0] += 0.125
                progress.add(1, "bytes")
                progress.add(7, "files")  # of other work
            assert work.done == 28
    said = [far for far in heard if far is not None]
    assert [(far.done, far.total) for far in said] == [(8, 20), (12, 20), (16, 20), (20, 20), (24, None), (28, None)]
    assert [round(far.rate) for far in said] == [8] * 6
    assert heard[-1] is None
    assert len(heard) == 7
    assert asked == [1]


def test_off_a_terminal_a_line_at_most_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    listen = Screen().listener()
    for second in range(1, 25):
        clock[0] += 1
        far = HowFar("dump of shop", second, 100, "bytes", 0.0, float(second), 1.0)
        listen(Progress("dump", far.text, far))
        listen(Progress("dump", "dumping shop"))
    said = [line.partition("] [INFO] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        f"dump of shop: {n} B of 100 B, 1 B/s, about {100 - n} s left".replace(", about 98 s left", "")
        for n in (2, 12, 22)
    ]


def test_work_outside_a_step_has_a_line_on_a_terminal_until_it_ends() -> None:
    live = LiveListener(Screen())
    live.listen(Progress("data", "", None))
    shown = [live.status is not None]
    for event in (
        Progress("data", DUMP.text, DUMP),
        Progress("data", "", None),
        StepChanged("dump", "running"),
        Progress("dump", DUMP.text, DUMP),
        Progress("dump", "", None),  # the step's own line stays
        StepChanged("dump", "done", "", 1.0),
    ):
        live.listen(event)
        shown.append(live.status is not None)
    assert shown == [False, True, False, True, True, True, False]


@pytest.mark.parametrize("way", ["into", "out_of"])
def test_what_a_client_program_has_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A dump grows; of what is restored the kernel tells how far it was read."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    file, go_on = tmp_path / "dump", tmp_path / "go-on"
    file.write_bytes(b"x" * (5000 if way == "out_of" else 0))
    heard: set[int] = set()

    def hear(far: HowFar | None) -> None:
        heard.update([far.done] if far is not None else [])
        if 1000 in heard:
            go_on.touch()

    act = "head -c 1000 >/dev/null" if way == "out_of" else "head -c 1000 /dev/zero"
    words = ["sh", "-c", f"{act}; until [ -e go-on ]; do sleep 0.02; done; cat"]
    with progress.told(hear), progress.of("work", "bytes", 5000) as work:
        into, out_of = (file, None) if way == "into" else (None, file)
        done = Client.of(tmp_path).run(words, {}, timeout=30, into=into, out_of=out_of)
        assert done.ok
        assert work.done == file.stat().st_size
    assert 1000 in heard


# ---- a signal in the middle ----


def filled(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (b)")
        database.executemany("INSERT INTO t VALUES (?)", [(os.urandom(4000),)] * 100)
        database.commit()
    return path


def files(folder: Path) -> Path:
    for number in range(20):
        place = folder / f"{number % 4}" / f"{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(40_000))
    return folder


def sqlite_dump(place: Path) -> Callable[[], object]:
    database = sqlite.SQLite(filled(place / "app.db"), "app.db")
    return lambda: database.dump(place, str)


def sqlite_restore(place: Path) -> Callable[[], object]:
    database = sqlite.SQLite(filled(place / "app.db"), "app.db")
    (place / "dumps").mkdir()
    dump = database.dump(place / "dumps", str)
    return lambda: database.restore(place / "dumps", dump, str)


def sqlite_question(place: Path) -> Callable[[], object]:
    """One that takes five seconds: somebody keeps the file locked."""
    locking = sqlite3.connect(filled(place / "app.db"))
    locking.execute("BEGIN EXCLUSIVE")
    return lambda: _held(locking, lambda: sqlite._asked(place / "app.db", "rw", "SELECT 1 FROM t"))


def _held(connection: sqlite3.Connection, act: Callable[[], object]) -> object:
    with closing(connection):
        return act()


def copy(place: Path) -> Callable[[], object]:
    files(place / "root/uploads")
    (place / "backups/one").mkdir(parents=True)
    return lambda: copying.copy_for_backup(place / "root", ["uploads"], place / "backups/one/include")


def export(place: Path) -> Callable[[], object]:
    listing = archive.Listing(
        archive.FORMAT, "shop", "20261201-100000-v1", {}, archive.entries_of(files(place / "one"), ())
    )
    return lambda: archive.write(
        io.BytesIO(), listing, lambda path: place / "one" / path.removeprefix(archive.FILES), compressed=False
    )


def import_(place: Path) -> Callable[[], object]:
    listing = archive.Listing(
        archive.FORMAT, "shop", "20261201-100000-v1", {}, archive.entries_of(files(place / "one"), ())
    )
    made = io.BytesIO()
    archive.write(made, listing, lambda path: place / "one" / path.removeprefix(archive.FILES), compressed=False)
    reader = archive.Reader(io.BytesIO(made.getvalue()), whole=False)
    return lambda: reader.unpack(place / "new")


def venv_clone(place: Path) -> Callable[[], object]:
    files(place / "old/lib")
    return lambda: clone(place / "old", place / "new")


def child(_place: Path) -> Callable[[], object]:
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    return lambda: process.run(words, cwd="/", env=clean_environment(), timeout=60)


@pytest.mark.parametrize(
    "kind", [sqlite_dump, sqlite_restore, sqlite_question, copy, export, import_, venv_clone, child]
)
def test_ctrl_c_in_the_middle_ends_it_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Callable[[Path], Callable[[], object]],
) -> None:
    def cannot_share(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "")

    monkeypatch.setattr(reflink, "share", cannot_share)
    monkeypatch.setattr(reflink, "_BLOCK", 8192)
    monkeypatch.setattr(archive, "_BLOCK", 8192)
    monkeypatch.setattr(sqlite, "_PART", 2)
    monkeypatch.setattr(interruption, "_received", None)
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    act = kind(tmp_path)
    before = sorted(tmp_path.glob("*.db*"))
    heard: list[HowFar] = []

    def press(far: HowFar | None) -> None:
        heard.extend([far] if far is not None else [])
        interruption._received = signal.SIGINT

    with progress.told(press), progress.of("work", "files" if kind is venv_clone else "bytes", 10**9):
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            act()
        took = time.monotonic() - begun
    assert len(heard) == 1, "it went on after the signal"
    assert took < 4
    assert sorted(tmp_path.glob("*.db*")) == before
    assert not list(tmp_path.glob(".*"))
