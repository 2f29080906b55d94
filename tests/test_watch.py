"""Looking for releases by itself: what is told, what is installed, and what waits."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.sample import Program, Sample

from gitdeploy.app import App
from gitdeploy.site.memory import remember_settings, settings_changed
from gitdeploy.sources import Release
from gitdeploy.system import faultpoints
from gitdeploy.upkeep import watch
from gitdeploy.upkeep.again import next_try
from gitdeploy.upkeep.watch import Look, within
from gitdeploy.versions import read_version

MOMENT = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("here", "there", "admitted_by"),
    [
        ("1.2.9", "1.2.10", "patch minor all"),
        ("1.2.9", "1.2.9.1", "patch minor all"),
        ("1.2.9.1", "1.3.0", "minor all"),
        ("1.2", "1.2.1", "patch minor all"),
        ("1", "1.0.1", "patch minor all"),
        ("1.9", "2.0", "all"),
        ("1.2.9", "1!1.2.10", "all"),
    ],
)
def test_how_large_a_step_is(here: str, there: str, admitted_by: str) -> None:
    one, other = read_version(here), read_version(there)
    assert one is not None
    assert other is not None
    for policy in ("never", "patch", "minor", "all"):
        assert within(one, other, policy) == (policy in admitted_by.split()), policy


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """v1.2.9 is live; v1.2.10, v1.3.0, v2.0.0 and v2.1.0rc1 are out."""
    sample = Sample(tmp_path, venv=False)
    for version in ("1.2.9", "1.2.10", "1.3.0", "2.0.0", "2.1.0rc1"):
        sample.release(f"v{version}", {"main.py": version, "deploy.yaml": "app: {name: shop}\nsource: {type: git}\n"})
    sample.install("v1.2.9")
    return sample


def look(sample: Sample, check: str, *, moment: datetime = MOMENT, more: str = "") -> Look:
    (sample.app / "deploy.yaml").write_text(f"app: {{name: shop}}\nsource: {{type: git}}\ncheck: {check}\n{more}")
    return App.open(sample.app).look(moment=moment)


@pytest.mark.parametrize(
    ("policy", "tag"), [("never", None), ("patch", "v1.2.10"), ("minor", "v1.3.0"), ("all", "v2.0.0")]
)
def test_what_policy_admits(sample: Sample, policy: str, tag: str | None) -> None:
    found = look(sample, f"{{upgrade: {policy}}}")
    assert found.tag == tag
    assert found.check.latest_tag == "v2.0.0"
    assert bool(found.reason) == (tag is None)


def test_the_window_also_across_midnight(sample: Sample) -> None:
    check = "{upgrade: all, window: '22:00-04:00 Asia/Shanghai'}"
    for hour, is_open in ((13, False), (14, True), (19, True), (20, False)):  # UTC; Shanghai is eight hours ahead
        found = look(sample, check, moment=MOMENT.replace(hour=hour))
        assert (found.tag is not None) == is_open, hour
        if not is_open:
            assert "waits for the window" in found.reason
            assert found.again is not None
            assert found.again.astimezone(UTC).hour == 14


def test_a_release_must_be_old_enough(sample: Sample) -> None:
    first = look(sample, "{upgrade: all, min_age: 72h}")
    assert first.tag is None
    assert "younger than check.min_age" in first.reason
    assert first.again == MOMENT + timedelta(hours=72)
    assert look(sample, "{upgrade: all, min_age: 72h}", moment=MOMENT + timedelta(hours=71)).tag is None
    sample.release("v2.2.0", {"main.py": "2.2.0"})
    later = look(sample, "{upgrade: all, min_age: 72h}", moment=MOMENT + timedelta(hours=72))
    assert later.tag == "v2.0.0", "the newest that is old enough; v2.2.0 was noticed just now"


DAY = timedelta(days=1)
# (what the source says, of which commit, days after it was first noticed; how many days it then is old)
AGES = {
    "no date": (None, "a", 3, 3),
    "a date long before": ("2020-01-01T00:00:00Z", "a", 0, 0),
    "the same, three days later": ("2020-01-01T00:00:00Z", "a", 3, 3),
    "a date after it was noticed": ((MOMENT + 2 * DAY).isoformat(), "a", 3, 1),
    "a date without a zone": ((MOMENT + 2 * DAY).replace(tzinfo=None).isoformat(), "a", 3, 1),
    "a date to come": ((MOMENT + 9 * DAY).isoformat(), "a", 3, 3),
    "no date at all": ("yesterday", "a", 3, 3),
    "the tag is another commit now": ("2020-01-01T00:00:00Z", "b", 3, 0),
}


@pytest.mark.parametrize(("date", "commit", "days", "age"), AGES.values(), ids=AGES)
def test_a_release_is_as_old_as_it_is_known_here(
    sample: Sample, date: str | None, commit: str, days: int, age: int
) -> None:
    """The host's date is its author's word, so it makes nothing older than it was seen to be."""

    def release(oid: str) -> Release:
        return Release("v2.0.0", "2.0.0", "", "", "", date, oid * 40, False)

    now = MOMENT + days * DAY
    with App.open(sample.app).site.open_database() as database:
        watch._since(database, [release("a")], MOMENT)
        found = watch._since(database, [release(commit)], now)
    assert now - found["v2.0.0"] == age * DAY


def test_a_clock_that_was_wrong_holds_nothing_back_for_ever(sample: Sample) -> None:
    look(sample, "{upgrade: all, min_age: 1h}", moment=MOMENT + 900 * DAY)
    assert look(sample, "{upgrade: all, min_age: 1h}").tag is None
    assert look(sample, "{upgrade: all, min_age: 1h}", moment=MOMENT + timedelta(hours=1)).tag == "v2.0.0"


def test_a_held_deployment_and_a_bad_release_wait(sample: Sample) -> None:
    app = App.open(sample.app)
    app.pause("month-end")
    held = look(sample, "{upgrade: all}")
    assert held.tag is None
    assert "month-end" in held.reason
    app.resume()
    with app.site.open_database() as database:
        for tag in ("v1.2.10", "v1.3.0", "v2.0.0"):
            commit = sample.git("rev-parse", f"{tag}^{{commit}}", cwd=sample.remote)
            database.mark_bad(commit, tag, "it did not start")
    bad = look(sample, "{upgrade: all}")
    assert bad.tag is None
    assert bad.reason == "v2.0.0 failed here before, so it won't be retried automatically: it did not start"
    assert look(sample, "{upgrade: minor}").tag is None


def test_the_newest_that_did_not_fail_is_installed_in_its_time(sample: Sample) -> None:
    app = App.open(sample.app)
    with app.site.open_database() as database:
        commit = sample.git("rev-parse", "v2.0.0^{commit}", cwd=sample.remote)
        database.mark_bad(commit, "v2.0.0", "Wanted v2.0.0, it did not start.")
    found = look(sample, "{upgrade: all}")
    assert found.tag == "v1.3.0"
    assert "v2.0.0 failed here before" in found.reason
    assert found.bad is not None
    assert not found.told
    for check, waits in (
        ("{upgrade: all, min_age: 72h}", "v1.3.0 is younger than check.min_age admits"),
        ("{upgrade: all, window: '04:00-05:00'}", "v1.3.0 waits for the window"),
    ):
        later = look(sample, check)
        assert later.tag is None
        assert later.again is not None
        assert waits in later.reason
        assert "v2.0.0 failed here before" in later.reason
    app.pause("month-end")
    held = look(sample, "{upgrade: all}")
    assert held.tag is None
    assert "month-end" in held.reason
    app.resume()
    sample.release("v2.0.1", {"main.py": "2.0.1"})
    assert look(sample, "{upgrade: all, min_age: 1s}", moment=MOMENT + timedelta(minutes=1)).tag == "v1.3.0"
    newer = look(sample, "{upgrade: all, min_age: 1s}", moment=MOMENT + timedelta(minutes=2))
    assert (newer.tag, newer.reason) == ("v2.0.1", "")


def test_once_upgrades_and_says_so(sample: Sample) -> None:
    (sample.app / "deploy.yaml").write_text("app: {name: shop}\nsource: {type: git}\ncheck: {upgrade: minor}\n")
    sample.git("update-index", "--assume-unchanged", "deploy.yaml")
    sample.git("checkout", "-q", "--", "deploy.yaml")
    sample.release("v1.3.1", {"main.py": "1.3.1", "deploy.yaml": "source: {type: git}\ncheck: {upgrade: minor}\n"})
    sample.gitdeploy("upgrade", "v1.3.1", "--accept-config", "check.upgrade")
    sample.release("v1.4.0", {"main.py": "1.4.0", "deploy.yaml": "source: {type: git}\ncheck: {upgrade: minor}\n"})
    done = json.loads(sample.gitdeploy("watch", "--once", "--json").out)
    assert done["upgrade"]["status"] == "succeeded"
    assert (sample.app / "main.py").read_text() == "1.4.0"
    again = json.loads(sample.gitdeploy("watch", "--once", "--json").out)
    assert again["upgrade"] is None
    assert "admits" in again["reason"] or "newest" in again["reason"]


def test_a_release_that_failed_is_not_tried_again(sample: Sample) -> None:
    settings = {"deploy.yaml": "source: {type: git}\nhooks: {dir: hooks}\ncheck: {upgrade: all}\n"}
    sample.release("v3.0.0", {"main.py": "3.0.0", **settings})
    sample.gitdeploy("upgrade", "v3.0.0", "--accept-config", "check.upgrade")
    hook = {"hooks/post-deploy": Program("#!/bin/sh\nexit 3\n")}
    sample.release("v3.1.0", {"main.py": "3.1.0", **settings, **hook})
    sample.gitdeploy("watch", "--once", code=3)
    second = sample.gitdeploy("watch", "--once")
    assert "v3.1.0 failed here before, so it won't be retried automatically: Wanted v3.1.0, failed at" in second.out
    assert "is available" not in second.out
    third = sample.gitdeploy("watch", "--once").out
    number = json.loads(sample.gitdeploy("--json", "log").out)[0]["id"]
    assert third == f"v3.1.0 failed here before (gitdeploy log {number}).\n", "why was said once"
    assert (sample.app / "main.py").read_text() == "3.0.0"
    checked = sample.gitdeploy("check").out
    assert "It failed here before, on 20" in checked
    assert f"gitdeploy log {number}" in checked
    assert f"gitdeploy log {number}" in sample.gitdeploy("status").out
    sample.release("v3.0.1", {"main.py": "3.0.1", **settings})
    between = sample.gitdeploy("watch", "--once").err
    assert f"v3.1.0 failed here before (gitdeploy log {number}). Upgrading to v3.0.1." in between
    assert (sample.app / "main.py").read_text() == "3.0.1"
    sample.release("v3.1.1", {"main.py": "3.1.1", **settings})
    assert "v3.1.1 is available. Upgrading to v3.1.1." in sample.gitdeploy("watch", "--once").err
    assert (sample.app / "main.py").read_text() == "3.1.1"


@pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")  # apprise's own import
def test_people_are_told_once(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through apprise to a receiver on this machine."""
    told: list[dict[str, str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        notify = f"notify: ['json://127.0.0.1:{server.server_port}/']\n"
        assert look(sample, "{upgrade: never}", more=notify).told
        assert not look(sample, "{upgrade: never}", more=notify).told
        sample.release("v2.0.1", {"main.py": "x"})
        assert look(sample, "{upgrade: never}", more=notify).told
        sample.release("v2.0.2", {"main.py": "y"})
        with App.open(sample.app).site.open_database() as database:
            commit = sample.git("rev-parse", "v2.0.2^{commit}", cwd=sample.remote)
            database.mark_bad(commit, "v2.0.2", "it did not start")
        bad = look(sample, "{upgrade: never}", more=notify)
        assert not bad.told, "nobody is told of a release that failed here as of a new one"
        assert "it did not start" in bad.reason
        server.shutdown()
    assert len(told) == 2
    assert "v2.0.0 is available" in told[0]["message"]
    assert "v2.0.1 is available" in told[1]["message"]


def test_a_watch_that_goes_on_ends_in_order(sample: Sample) -> None:
    running = sample.start("watch")
    assert running.stdout is not None
    heard = b""
    end = time.monotonic() + 60
    while b"next look" not in heard and time.monotonic() < end:
        heard += running.stdout.readline()
    running.terminate()
    assert running.wait(20) == 0, heard
    running.stdout.close()
    assert b"v2.0.0 is available" in heard


# ---- what a person said stays ----


def upgraded_and_back(sample: Sample, *way: str) -> str:
    sample.gitdeploy("upgrade", "v1.3.0")
    return sample.gitdeploy(*way).text


BACK = {
    "rollback": ("rollback", "--yes"),
    "restore": ("restore", "latest"),
    "downgrade": ("upgrade", "v1.2.10", "--allow-downgrade"),
}


WORDS = {
    "rollback": "rolled back to v1.2.9",
    "restore": "restored to v1.2.9",
    "downgrade": "downgraded to v1.2.10",
}


@pytest.mark.parametrize("way", BACK)
def test_what_somebody_went_back_from_is_not_installed_by_the_next_tick(sample: Sample, way: str) -> None:
    """Nor is what lies between it and the release that is live now; what is newer is."""
    said = upgraded_and_back(sample, *BACK[way])
    assert "v1.3.0 won't be installed automatically from now on. To allow it: gitdeploy unskip v1.3.0" in said
    found = look(sample, "{upgrade: minor}")
    assert found.tag is None
    assert re.fullmatch(rf"v1.3.0 is skipped here by \S+ since [0-9-]+: {WORDS[way]} .*", found.reason)
    assert look(sample, "{upgrade: patch}").tag is None
    assert look(sample, "{upgrade: all}").tag == "v2.0.0"
    sample.gitdeploy("unskip", "v1.3.0")
    assert look(sample, "{upgrade: minor}").tag == "v1.3.0"


def test_going_back_to_what_is_no_release_stays_too(sample: Sample) -> None:
    sample.git("tag", "-d", "v1.2.9", cwd=sample.app)
    sample.git("tag", "-d", "v1.2.9", cwd=sample.remote)
    assert look(sample, "{upgrade: all}").tag == "v2.0.0"
    sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    sample.gitdeploy("rollback", "--yes")
    assert App.open(sample.app).live().tag is None
    assert look(sample, "{upgrade: all}").tag is None
    assert [skip.tag for skip in App.open(sample.app).skips().all()] == ["v2.0.0"]


def test_what_fails_the_same_way_is_tried_again_later_each_time(sample: Sample) -> None:
    """A failure of the server: the release itself stays eligible, but not at every tick."""
    for message, hours in (
        ("no network after 3.1 s", 1),
        ("no network after 4.0 s", 2),
        ("no network after 9 s", 4),
        ("the disk is full", 1),
    ):
        failed_upgrade(sample, message)
        now = datetime.now(UTC)
        held = look(sample, "{upgrade: all, interval: 1h}", moment=now + timedelta(hours=hours, minutes=-1))
        assert held.tag is None
        assert message in held.reason
        assert "Sooner: gitdeploy upgrade v2.0.0" in held.reason
        assert held.again is not None
        assert (
            look(sample, "{upgrade: all, interval: 1h}", moment=now + timedelta(hours=hours, minutes=1)).tag == "v2.0.0"
        )


def test_cron_is_held_off_as_watch_is_and_a_person_is_not(sample: Sample) -> None:
    for _ in range(2):
        failed_upgrade(sample, "no network after 3.1 s")
    for _ in range(2):  # and what was refused so is no further failure, nor the end of them
        refused = sample.gitdeploy("upgrade", "--yes", code=7)
        assert "v2.0.0 failed here 2 times in the same way, so it is tried again at" in refused.err
        assert "no network after 3.1 s" in refused.err
        assert "Sooner: gitdeploy upgrade v2.0.0" in refused.err
    site = App.open(sample.app).site
    with site.open_database() as database:
        for _ in range(60):  # as many as no look reads
            number = database.begin_deployment("upgrade", "cron", {}, {"tag": "v2.0.0"})
            database.update_deployment(number, status="refused", ended_at=datetime.now(UTC).isoformat())
        again = next_try(site, database, "v2.0.0", 0)
        assert again is not None
        left = again.at - datetime.now(UTC)
        assert timedelta(minutes=29) < left <= timedelta(minutes=30), "a quarter of an hour, and twice as long"
        ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
        database.update_deployment(database.tries(1)[0].id, ended_at=ahead)
        assert next_try(site, database, "v2.0.0", 0) is None, "by a clock that was wrong then it would wait for years"
    terminal, other = pty.openpty()
    words = [sys.executable, "-m", "gitdeploy", "upgrade", "--yes"]
    done = subprocess.run(words, cwd=sample.app, env=sample.environment, stdin=other, capture_output=True, check=False)
    os.close(terminal)
    os.close(other)
    assert done.returncode == 0
    assert (sample.app / "main.py").read_text() == "2.0.0"


@pytest.mark.parametrize("name", ["deploy.yaml", ".env"])
def test_after_a_change_of_the_settings_it_is_tried_at_once(sample: Sample, name: str) -> None:
    """The operator has mended what failed: the next tick tries it."""
    (sample.app / ".env").write_text("A=b\nAPP_VERSION=1.2.9\n")
    look(sample, "{upgrade: all}", more="env_file: .env\n")
    failed_upgrade(sample, "no network after 3.1 s", remember=True)
    moment = datetime.now(UTC) + timedelta(minutes=1)
    (sample.app / "deploy.yaml").touch()
    (sample.app / ".env").write_text("A=b\nAPP_VERSION=1.2.8\n")  # as a rollback does
    assert App.open(sample.app).look(moment=moment).tag is None
    with (sample.app / name).open("a") as file:
        file.write("# mended\n")
    assert App.open(sample.app).look(moment=moment).tag == "v2.0.0"


def test_a_rollback_changes_no_settings(sample: Sample) -> None:
    settings = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n"
    broken = Program("#!/bin/sh\nexit 1\n")
    sample.release("v3.0.0", {"main.py": "3", "deploy.yaml": settings, "hooks/post-deploy/10-bad": broken})
    (sample.app / ".env").write_text("APP_VERSION=1.2.9\n")
    sample.gitdeploy("upgrade", "v3.0.0", code=3)
    with (site := App.open(sample.app).site).open_database() as database:
        last = database.deployments(1)[0].id
        assert not settings_changed(site, database, last)
        (sample.app / "deploy.yaml").write_text(settings + "# mended\n")
        assert settings_changed(site, database, last)


def test_by_its_name_it_is_tried_at_once(sample: Sample) -> None:
    failed_upgrade(sample, "no network after 3.1 s")
    sample.gitdeploy("upgrade", "v2.0.0")


def failed_upgrade(sample: Sample, message: str, *, remember: bool = False) -> None:
    """An upgrade to v2.0.0 that failed for MESSAGE just now; REMEMBER: with the settings of now."""
    site = App.open(sample.app).site
    site.make_state()
    with site.open_database() as database:
        number = database.begin_deployment("upgrade", "watch", {}, {"tag": "v2.0.0", "version": None, "commit": ""})
        moment = datetime.now(UTC).isoformat()
        database.update_deployment(number, status="failed", ended_at=moment, error={"message": message})
        if remember:
            remember_settings(site, database, number)


@pytest.mark.parametrize("how", ["forward again", "a failed upgrade", "restored the same"])
def test_what_nobody_went_back_from_is_skipped_by_nothing(sample: Sample, how: str) -> None:
    if how == "forward again":
        upgraded_and_back(sample, "rollback", "--yes")
        sample.gitdeploy("rollback", "v1.3.0", "--yes")
    elif how == "a failed upgrade":
        broken = Program("#!/bin/sh\nexit 1\n")
        settings = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n"
        sample.release("v3.0.0", {"main.py": "3", "deploy.yaml": settings, "hooks/post-deploy/10-bad": broken})
        sample.gitdeploy("upgrade", "v3.0.0", code=3)
    else:
        sample.gitdeploy("backup")
        sample.gitdeploy("restore", "latest")
    assert App.open(sample.app).skips().all() == []


def test_a_release_is_skipped_by_name(sample: Sample) -> None:
    made = json.loads(sample.gitdeploy("--json", "skip", "v2.0.0", "--reason", "slow imports").out)
    assert (made["tag"], made["reason"], made["how"]) == ("v2.0.0", "slow imports", "named")
    # It is said wherever the release is, and nobody is told of it again.
    sentence = f"v2.0.0 is skipped here by {made['by']} since {made['at'][:10]}: slow imports"
    assert sentence in sample.gitdeploy("check", "--force").text
    assert sentence in sample.gitdeploy("status").text
    assert sentence in sample.gitdeploy("plan", "v2.0.0").text
    assert "newer, skipped" in sample.gitdeploy("releases").text
    assert (
        json.loads(sample.gitdeploy("--json", "status").out)["skipped"]
        == [made]
        == json.loads(sample.gitdeploy("--json", "skip").out)
    )
    # A named one keeps nothing else back.
    assert look(sample, "{upgrade: all}").tag == "v1.3.0"
    # The newest is not taken unasked; by name it is, and that lifts the skip.
    refused = sample.gitdeploy("upgrade", "--yes", code=7)
    assert sentence in refused.err
    sample.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    assert json.loads(sample.gitdeploy("--json", "skip").out) == []
    assert json.loads(sample.gitdeploy("--json", "unskip", "v2.0.0").out) == {"tag": "v2.0.0", "was_skipped": False}


def test_a_killed_rollback_skips_all_the_same(sample: Sample) -> None:
    sample.gitdeploy("upgrade", "v1.3.0")
    plan = sample.folder / "fault"
    plan.write_text(f"{faultpoints.MAGIC}\nkill-at journalled commit\n")
    killed = sample.gitdeploy("rollback", "--yes", env={faultpoints.VARIABLE: str(plan)}, code=None)
    assert killed.code == -signal.SIGKILL
    assert App.open(sample.app).skips().all() == []
    sample.gitdeploy("recover")
    assert [skip.tag for skip in App.open(sample.app).skips().all()] == ["v1.3.0"]


def test_somebody_elses_pause_is_not_replaced_unasked(sample: Sample) -> None:
    app = App.open(sample.app)
    app.pause("closing", who="li")
    refused = sample.gitdeploy("lock", "-m", "mine", code=5)
    assert "Deployments are paused by li since " in refused.err
    assert "closing" in refused.err
    sample.gitdeploy("lock", "-m", "mine", "--force")
    sample.gitdeploy("lock", "-m", "mine still")  # one's own
    assert json.loads(sample.gitdeploy("--json", "status").out)["held"]["message"] == "mine still"
