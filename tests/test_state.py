"""state.db and web.db as several processes have them at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gitdeploy.deployment.record import journal as record
from gitdeploy.deployment.record.events import ignore
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.messages import heard, render, tr
from gitdeploy.state import Database
from gitdeploy.state.rows import how_far
from gitdeploy.system.progress import HowFar

OPENS = """
import sys
from pathlib import Path
from gitdeploy.state import Database
from gitdeploy.web.access.store import Store
folder = Path(sys.argv[1])
print("ready", flush=True)
for number in range(20):
    sys.stdin.readline()
    with Database.open(folder / f"{number}-state.db") as database:
        database.meta_put(sys.argv[2], "was here")
    Store(folder / f"{number}-web.db", lambda: None).claim(sys.argv[2], "0" * 32, "[]")
    print("done", flush=True)
"""


def test_who_makes_the_databases_at_the_same_moment_shares_them(tmp_path: Path) -> None:
    """The page, its `watch --once` and a deployment begin together on a new app: none is refused, nothing is damaged."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, tmp_path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for name in ("one", "two", "three")
    ]  # fmt: skip
    said = []
    for number in range(21):
        for each in running:
            assert each.stdout is not None
            said.append(each.stdout.readline())
        for each in running[: 3 if number < 20 else 0]:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
    for each in running:
        _, errors = each.communicate(timeout=60)
        assert each.returncode == 0, errors
    assert said == ["ready\n"] * 3 + ["done\n"] * 60


def test_what_a_running_step_says_is_seen_from_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what health was last answered, and since when the step runs."""
    monkeypatch.setattr(record, "_TELL_AGAIN", 0.0)
    with Database.open(tmp_path / "state.db") as database:
        journal = Journal(database, database.begin_deployment("upgrade", "somebody", {}, {}), ignore)

        def seen() -> tuple[str, str, str, int]:
            found = database.steps(journal.deployment)
            return found[-1]["status"], found[-1]["summary"], found[-1]["at"], len(found)

        with journal.step("health") as shown:
            begun = seen()[2]
            for said in ("connection refused, 1 of 60 s", "500 instead of 200, 2 of 60 s"):
                journal.progress("health", said)
                assert seen() == ("running", said, begun, 1)
            shown.summary = "200, three times"
        journal.database.flush_lines()


def test_how_far_work_has_come_is_seen_from_another_process_and_the_journal_does_not_grow_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "_TELL_AGAIN", 0.0)
    with Database.open(tmp_path / "state.db") as database:
        journal = Journal(database, database.begin_deployment("upgrade", "somebody", {}, {}), ignore)

        def lines() -> int:
            return int(database._rows("SELECT count(*) FROM line")[0][0])

        with journal.step("dump") as shown:
            for done in range(50):
                far = HowFar(tr("dump of {database}", database="shop"), done, 100, "bytes", 0.0, 4.0, 2.0)
                journal.how_far(far)
            assert lines() == 2
            (running,) = database.steps(journal.deployment)
            assert running["status"] == "running"
            assert (
                running["summary"]
                == how_far([running])
                == far.text
                == "dump of shop: 49 B of 100 B, 2 B/s, about 26 s left"
            )
            expected = {"done": 49, "total": 100, "about": False, "unit": "bytes", "rate": 2.0, "left": 25.5}
            assert {name: running["progress"][name] for name in expected} == expected
            assert render(heard(running["progress"], "what"), "zh") == "转储 shop"
            journal.how_far(None)
            assert lines() == 1
            assert how_far(database.steps(journal.deployment)) == ""
            journal.how_far(far)
            shown.summary = "1 database"
        (ended,) = database.steps(journal.deployment)
        assert (ended["status"], ended.get("progress")) == ("done", None)
        with journal.doing("data"):  # while a step is undone none runs
            journal.how_far(far)
            assert [step["name"] for step in database.steps(journal.deployment)] == ["dump", "data"]
            journal.how_far(None)
        assert [step["name"] for step in database.steps(journal.deployment)] == ["dump"]
        assert database.lines(journal.deployment)[-1][3].startswith("✓ dump")


@pytest.mark.parametrize("kind", ["commit", "undone", "second-half", "a small value"])
def test_what_decides_is_written_with_the_room_held_back_for_it(tmp_path: Path, kind: str) -> None:
    with Database.open(tmp_path / "state.db") as database:
        number = database.begin_deployment("upgrade", "somebody", {}, {})
        connection = database._connection
        connection.execute("PRAGMA max_page_count=1")  # as large as it is by now: the disk is full
        database._give_room = lambda: connection.executescript("PRAGMA max_page_count=9999").close()
        large = "x" * 10_000
        if kind == "a small value":
            database.meta_put("second_half", large)
            assert database.meta_get("second_half") == large
        else:
            database.write(number, kind, "", {"error": large})
            assert [record.kind for record in database.records(number)] == [kind]
