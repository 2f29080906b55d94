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

pytestmark = pytest.mark.xdist_group(__name__)


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
    assert "upgrade to v2.0.0: refused, " in shop.gitdeploy("status").out
    assert "\nrefused: 1 tracked file changed locally: VERSION." in shop.gitdeploy("log", rows[1][0]).out
    newest = json.loads(shop.gitdeploy("log", "--json").out)[0]
    assert (newest["status"], newest["error"]["kind"]) == ("refused", "refused")


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


def lines_of(text: str) -> dict[str, str]:
    """A plan's lines by their label."""
    found = (re.fullmatch(r"  (\S(?:\S| (?! ))*)\s{2,}(\S.*)", line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def test_the_first_plan_names_unpinned_packages_and_what_becomes_of_the_env_file(fresh: Sample) -> None:
    (fresh.app / ".env").write_text("APP_VERSION=1.0.0\nSECRET=x\n")
    shown = lines_of(fresh.gitdeploy("plan", "v1.1.0").out)
    assert shown["venv"] == "greeting 1.0 -> >=2"
    assert shown["not pinned"] == "greeting >=2, waving: what is there stays where it fits"
    assert shown["files changed"].startswith("3: .env (only APP_VERSION), app.py, ")
    assert shown["kept"] == ".env"
    plan = json.loads(fresh.gitdeploy("plan", "v1.1.0", "--json").out)
    assert plan["keep"] == [".env"]
    assert plan["requirements"]["unpinned"] == {"greeting": ">=2", "waving": ""}
    assert plan["requirements"]["changed"] == {"greeting": ["1.0", ">=2"]}
    anew = lines_of(fresh.gitdeploy("plan", "v1.1.0", "--rebuild-venv").out)
    assert anew["venv"] == "built from nothing: greeting 1.0 -> >=2"
    assert anew["not pinned"] == "greeting >=2, waving: all of them may change"
    fresh.gitdeploy("upgrade", "v1.1.0")
    assert fresh.packages() == ["greeting==2.0", "waving==1.0"]


def test_the_plan_says_that_nothing_will_be_restarted_or_asked(fresh: Sample) -> None:
    shown = lines_of(fresh.gitdeploy("plan", "v1.1.0").out)
    assert shown["restart"] == "nothing: no service is configured (service: in deploy.yaml)"
    assert shown["health"] == "not checked: no health check is configured (health: in deploy.yaml)"
    (fresh.app / "deploy.yaml").write_text("service: {command: ./restart}\nhealth: {tcp: '127.0.0.1:9'}\n")
    shown = lines_of(fresh.gitdeploy("plan", "v1.1.0", code=None).out)
    assert (shown["restart"], shown["health"]) == ("./restart", "127.0.0.1:9")
    assert (
        lines_of(fresh.gitdeploy("plan", "v1.1.0", "--no-restart").out)["restart"] == "nothing: --no-restart is given"
    )
    (fresh.app / "deploy.yaml").write_text("service: {command: ./restart}\n")
    assert lines_of(fresh.gitdeploy("plan", "v1.1.0", code=None).out)["health"].startswith("only that it stays up")


def test_a_mistyped_tag_says_what_was_meant(shop: Shop) -> None:
    for command in ("upgrade", "plan", "prepare"):
        done = shop.gitdeploy(command, "v2.0.1", code=2)
        assert f"Error: The remote origin (file://{shop.remote}) has no tag v2.0.1." in done.err
        assert "Did you mean v2.0.0 or v2.1.0" in done.err
        assert "gitdeploy releases --all" in done.err
    error = json.loads(shop.gitdeploy("upgrade", "v2.0.1", "--json", code=2).out)["error"]
    assert error["kind"] == "not_found"


def test_a_remote_without_any_tag_is_no_typing_error(shop: Shop) -> None:
    shop.git("init", "-q", "--bare", str(shop.folder / "empty"))
    shop.git("remote", "set-url", "origin", f"file://{shop.folder}/empty")
    assert "shows no tag at all, so v2.0.1" in shop.gitdeploy("upgrade", "v2.0.1", code=6).err


def test_a_roll_back_is_told_one_thing_a_line(fresh: Sample) -> None:
    (fresh.app / "uploads").mkdir()
    (fresh.app / "uploads/a").write_text("before")
    (fresh.app / "deploy.yaml").write_text(
        "backup: {include: [uploads]}\nhooks: {post-deploy: ['echo new > uploads/a; echo nothing works; exit 9']}\n"
    )
    done = fresh.gitdeploy("upgrade", "v1.1.0", code=3)
    said = done.err[done.err.index("Error: ") :].splitlines()
    assert said[0].startswith("Error: Wanted v1.1.0, failed at post-deploy: ")
    assert said[1] == "  app runs v1.0.0 again; what was written meanwhile into uploads is no longer live, but kept."
    assert said[2].startswith("  uploads was put back as it was; what it held meanwhile is kept: ")
    assert re.fullmatch(r"  v1\.1\.0 \(\w{7}\) won't be retried automatically\.  Whole log: gitdeploy log \d", said[3])
    assert done.err.count("what it held meanwhile") == 1
    row = json.loads(fresh.gitdeploy("log", "--json").out)[0]
    assert " no longer live, but kept. uploads was put back" in row["error"]["message"]


def test_init_takes_the_restart_script_that_is_there(fresh: Sample) -> None:
    (fresh.app / "restart.sh").write_text("#!/bin/sh\n")
    assert "restart script" in fresh.gitdeploy("init", "--print").out, "one that nobody can run is none"
    (fresh.app / "restart.sh").chmod(0o755)
    shown = fresh.gitdeploy("init", "--print").out
    assert "\nservice:\n  command: ./restart.sh " in shown or '\nservice:\n  command: "./restart.sh" ' in shown
    assert "the newest that was fetched is v1.0.0" in shown
    fresh.gitdeploy("init")
    assert "./restart.sh" in lines_of(fresh.gitdeploy("plan", "v1.1.0", code=None).out)["restart"]


def test_init_takes_the_pid_file_of_a_process_that_runs_from_here(fresh: Sample) -> None:
    (fresh.app / "run").mkdir()
    (fresh.app / "run/other.pid").write_text(f"{os.getpid()}\n")
    (fresh.app / "run/broken.pid").write_bytes(b"\xff-1")
    assert "pidfile: run" not in fresh.gitdeploy("init", "--print").out
    with subprocess.Popen(
        [fresh.app / "venv/bin/python", "-c", "input()"], cwd=fresh.app, stdin=subprocess.PIPE
    ) as app:
        (fresh.app / "run/web.pid").write_text(f"{app.pid}\n")
        shown = fresh.gitdeploy("init", "--print").out
        app.kill()
    assert "\nservice:\n" in shown
    assert "\n  pidfile: run/web.pid" in shown


def test_a_release_that_is_the_first_to_bring_requirements(fresh: Sample) -> None:
    fresh.release("v0.9.0", {"app.py": "0", ".gitignore": "/venv\n"})
    fresh.gitdeploy("upgrade", "v0.9.0", "--allow-downgrade")
    assert lines_of(fresh.gitdeploy("plan", "v1.1.0").out)["venv"] == "greeting 1.0 -> >=2"
    fresh.gitdeploy("upgrade", "v1.1.0")
    assert "greeting==2.0" in fresh.packages()
