"""What a newcomer meets on the first day with the README alone: each answer says what it means."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.conftest import Shop
from support.sample import Sample

pytestmark = pytest.mark.xdist_group("shop")


@pytest.mark.parametrize("group", [(), ("hooks",), ("config",), ("web",), ("web", "token")])
def test_no_short_help_is_cut_off(group: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitdeploy", *group, "--help"],
        env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Commands:" in done.stdout
    assert not re.search(r"\w\.\.\.", done.stdout.partition("Commands:")[2]), done.stdout


def test_a_restore_takes_the_yes_that_an_upgrade_takes(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0", "--yes")
    shop.gitdeploy("restore", "latest", "-y")
    assert (shop.app / "VERSION").read_text() == "1.0.0"


def test_a_backup_is_told_once(shop: Shop) -> None:
    done = shop.gitdeploy("upgrade", "v2.0.0")
    told = re.findall(r"\] \[INFO\] (.*backup.*: \d{8}-\d{6}-v1\.0\.0.*)", done.err, re.IGNORECASE)
    assert len(told) == 1, done.err
    assert told[0].startswith("Backup created: ")
    by_hand = shop.gitdeploy("backup")
    assert by_hand.err.count("Backup created: ") == 1
    assert by_hand.err.count("backup: ") == 0


def test_the_log_tells_a_rollback_and_a_refusal_from_a_restore_and_a_failure(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.gitdeploy("rollback", "--yes")
    (shop.app / "VERSION").write_text("changed by hand")
    refused = shop.gitdeploy("upgrade", "v2.0.0", code=7)
    assert refused.err.rstrip().endswith("nothing live was touched.")
    rows = [line.split() for line in shop.gitdeploy("log").out.splitlines()]
    assert [(row[3], row[6]) for row in rows[1:3]] == [("upgrade", "refused"), ("rollback", "succeeded")]
    assert "\nrefused: 1 tracked file changed locally: VERSION." in shop.gitdeploy("log", rows[1][0]).out
    newest = json.loads(shop.gitdeploy("log", "--json").out)[0]
    assert (newest["status"], newest["error"]["kind"]) == ("failed", "refused")


def test_a_second_rollback_takes_back_the_first(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.gitdeploy("rollback", "--yes")
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_one_release_is_shown_with_its_tag_once_and_the_date_of_the_tag(shop: Shop) -> None:
    live = shop.gitdeploy("releases", "v1.0.0").out.splitlines()[0]
    date = shop.git("for-each-ref", "--format=%(creatordate:short)", "refs/tags/v1.0.0")
    assert live == f"v1.0.0  (live, {date})"
    unknown = shop.gitdeploy("releases", "v2.0.0").out.splitlines()[0]
    assert unknown == "v2.0.0  (newer)"
    listed = [line.split() for line in shop.gitdeploy("releases").out.splitlines()]
    assert listed[0] == ["RELEASE", "DATE", "STATE", "NOTES"]
    assert listed[3][:3] == ["v1.0.0", date, "live"]
    one = json.loads(shop.gitdeploy("releases", "v1.0.0", "--json").out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", one["published_at"])


def test_without_any_date_there_is_no_column_for_it(shop: Shop) -> None:
    shop.git("tag", "-d", "v1.0.0")
    assert shop.gitdeploy("releases").out.splitlines()[0].split() == ["RELEASE", "STATE", "NOTES"]


@pytest.fixture
def fresh(tmp_path: Path) -> Sample:
    """An app without any configuration, that gitdeploy has never seen."""
    sample = Sample(tmp_path)
    for version in ("1.0", "2.0"):
        sample.wheel("greeting", version)
        sample.wheel("waving", version)
    first = {"app.py": "1", "requirements.txt": "greeting\nwaving==1.0\n", ".gitignore": "/venv\n/run/\n"}
    sample.release("v1.0.0", first)
    sample.release("v1.1.0", {**first, "app.py": "2", "requirements.txt": "greeting>=2\nwaving\n"})
    sample.wheels.joinpath("greeting-2.0-py3-none-any.whl").rename(tmp_path / "later.whl")
    sample.install("v1.0.0")
    (tmp_path / "later.whl").rename(sample.wheels / "greeting-2.0-py3-none-any.whl")
    return sample


def test_doctor_does_not_call_no_backup_complete(fresh: Sample) -> None:
    fresh.gitdeploy("check")
    assert "There is no backup yet; every upgrade makes one first." in fresh.gitdeploy("doctor", code=None).text
