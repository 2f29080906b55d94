"""How a command ends is how it is told: exit codes, the words of the log, and one list of obstacles for doctor, plan and upgrade."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from support.sample import Sample

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"
pytestmark = pytest.mark.xdist_group("said")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = Sample(tmp_path_factory.mktemp("said"), venv=False)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        tree = {
            "main.py": f"{version}\n",
            ".gitignore": "/deploy.yaml\n",
            "link.txt": "plain\n",
            "conf": f"{version}\n",
        }
        made.release(f"v{version}", tree)
    made.install("v1.0.0")
    (made.app / "deploy.yaml").write_text(SETTINGS)
    return made


@pytest.fixture
def shop(pristine: Sample) -> Sample:
    """As it was installed, each time."""
    kept = pristine.folder / "kept"
    if not kept.exists():
        shutil.copytree(pristine.app, kept, symlinks=True)
    shutil.rmtree(pristine.app)
    shutil.copytree(kept, pristine.app, symlinks=True)
    return pristine


def in_the_middle_of_a_merge(shop: Sample) -> None:
    (shop.app / ".git/MERGE_HEAD").write_text(shop.git("rev-parse", "HEAD"))


def an_edit(shop: Sample) -> None:
    (shop.app / "main.py").write_text("edited\n")


def a_commit(shop: Sample) -> None:
    shop.git("commit", "-q", "--allow-empty", "-m", "made here")


def a_folder_in_the_way(shop: Sample) -> None:
    (shop.app / "conf").unlink()
    (shop.app / "conf").mkdir()
    (shop.app / "conf/mine").write_text("mine")


def a_missing_env_file(shop: Sample) -> None:
    (shop.app / "deploy.yaml").write_text(SETTINGS + "env_file: prod.env\n")


def a_hook_without_its_program(shop: Sample) -> None:
    (shop.app / "deploy.yaml").write_text(SETTINGS + "hooks: {pre-deploy: [./nowhere]}\n")


def an_unhealthy_app(shop: Sample) -> None:
    (shop.app / "deploy.yaml").write_text(SETTINGS + "health: {command: 'exit 1', timeout: 2s}\n")


OBSTACLES: dict[str, tuple[Callable[[Sample], None], int]] = {
    "a merge": (in_the_middle_of_a_merge, 1),
    "an edit": (an_edit, 7),
    "a commit made here": (a_commit, 7),
    "a folder in the way": (a_folder_in_the_way, 7),
    "no env file": (a_missing_env_file, 1),
    "no such program": (a_hook_without_its_program, 1),
    "an unhealthy app": (an_unhealthy_app, 1),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_doctor_plan_and_upgrade_say_the_same(shop: Sample, obstacle: str) -> None:
    make, code = OBSTACLES[obstacle]
    make(shop)
    plan = json.loads(shop.gitdeploy("--json", "plan", "v1.2.0", code=code).out)
    (problem, *_) = plan["problems"]
    found = json.loads(shop.gitdeploy("--json", "doctor", code=1).out)
    wrong = [finding["message"] for finding in found if finding["level"] == "problem"]
    assert any(message in problem["message"] or problem["message"] in message for message in wrong), wrong
    assert "Nothing is in the way" not in shop.gitdeploy("doctor", code=1).out
    refused = json.loads(shop.gitdeploy("--json", "upgrade", "v1.2.0", code=code).out)
    assert refused["status"] == "refused"
    assert problem["message"].split(":")[0] in refused["error"]["message"]
    assert shop.gitdeploy("log").out.split("\n")[1].split()[6] == "refused"


def test_with_nothing_in_the_way_all_three_say_so(shop: Sample) -> None:
    assert "Nothing blocks an upgrade." in shop.gitdeploy("doctor").out
    assert json.loads(shop.gitdeploy("--json", "plan").out)["problems"] == []
    shop.gitdeploy("upgrade", "v1.2.0")
    assert "Nothing blocks an upgrade." in shop.gitdeploy("doctor").out


def test_what_a_killed_git_left_is_no_obstacle_to_any(shop: Sample) -> None:
    (shop.app / ".git/index.lock").touch()
    assert json.loads(shop.gitdeploy("--json", "plan", "v1.2.0").out)["problems"] == []
    shop.gitdeploy("doctor", code=None)
    shop.gitdeploy("upgrade", "v1.2.0")
    assert not (shop.app / ".git/index.lock").exists()


def test_a_dead_source_is_said_by_all_who_ask_it(shop: Sample) -> None:
    shop.gitdeploy("check", "--force")
    away = shop.remote.with_name("away")
    shop.remote.rename(away)
    try:
        assert shop.gitdeploy("check").code == 0, "an answer from the cache says how old it is"
        assert "is not a git repository" in shop.gitdeploy("check", "--force", code=6).err
        assert json.loads(shop.gitdeploy("--json", "check", "--force", code=6).out)["latest_tag"] == "v1.2.0"
        assert "Nothing is in the way" not in shop.gitdeploy("doctor", code=1).out
        assert json.loads(shop.gitdeploy("--json", "upgrade", "--yes", code=6).out)["status"] == "failed"
        assert re.search(r"  last +upgrade: failed, ", shop.gitdeploy("status").out), "no release is known to be meant"
    finally:
        away.rename(shop.remote)


def answered(shop: Sample, words: list[str], reply: bytes) -> tuple[int, str]:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shop.app)
        os.execve(sys.executable, [sys.executable, "-m", "gitdeploy", *words], {**shop.environment, "TERM": "xterm"})
    said, done, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:
                break
        elif done and reply == b"\x03":
            os.write(terminal, reply)  # again, as a person would: between two looks for it one may be overlooked
        if not done and b"[y/N]" in said:
            os.write(terminal, reply)
            done = True
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)  # not earlier: its end is a signal to who still runs
    return code, said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [["upgrade"], ["rollback"]])
def test_no_is_an_answer_and_no_error(shop: Sample, words: list[str]) -> None:
    shop.gitdeploy("upgrade", "v1.1.0")
    before = shop.gitdeploy("--json", "log").out
    code, said = answered(shop, words, b"n\n")
    assert code == 1
    assert "; nothing was changed." in said
    assert "Error" not in said
    assert shop.gitdeploy("--json", "log").out == before
    code, said = answered(shop, words, b"\x03")
    assert code == 130


def test_a_typing_error_is_refused_and_names_no_commit(shop: Sample) -> None:
    shop.gitdeploy("upgrade", "v9.9.9", code=2)
    (row,) = json.loads(shop.gitdeploy("--json", "log").out)
    assert (row["status"], row["to"]["tag"], row["to"]["commit"]) == ("refused", "v9.9.9", "")


def test_failed_before_names_the_deployment_in_which_it_failed(shop: Sample) -> None:
    settings = SETTINGS + "hooks: {post-deploy: ['exit 1']}\n"
    shop.release("v1.3.0", {"main.py": "1.3\n", ".gitignore": "/deploy.yaml\n"})
    (shop.app / "deploy.yaml").write_text(settings)
    shop.gitdeploy("upgrade", "v1.3.0", code=3)
    an_edit(shop)
    shop.gitdeploy("upgrade", "v1.3.0", code=7)  # refused, for another reason
    assert "(gitdeploy log 1)" in shop.gitdeploy("plan", "v1.3.0", code=7).out
    assert "gitdeploy log 1" in shop.gitdeploy("check", "--force").out
    assert "rolled back" in shop.gitdeploy("log").out


@pytest.mark.parametrize(
    ("settings", "runs"),
    [
        ("", False),
        ("health: {command: 'true'}\n", True),
        ("service: {command: 'true'}\n", True),
    ],
)
def test_a_release_runs_only_where_something_was_asked(shop: Sample, settings: str, runs: bool) -> None:
    (shop.app / "deploy.yaml").write_text(SETTINGS + settings)
    said = shop.gitdeploy("upgrade", "v1.1.0").text
    last = said.strip().splitlines()[-1]
    assert ("shop runs v1.1.0." in said) is runs
    assert ("the app may still run v1.0.0. Restart it now" in last) is not runs
    again = shop.gitdeploy("upgrade", "v1.2.0", "--no-restart").text
    assert ("shop runs v1.2.0." in again) is ("health" in settings)


def test_what_was_stopped_before_it_began_was_interrupted(shop: Sample) -> None:
    shop.release("v1.4.0", {"main.py": "1.4\n", ".gitignore": "/deploy.yaml\n"})
    (shop.app / "deploy.yaml").write_text(SETTINGS + "hooks: {pre-deploy: ['kill -INT $PPID; sleep 5']}\n")
    shop.gitdeploy("upgrade", "v1.4.0", code=130)
    assert json.loads(shop.gitdeploy("--json", "log").out)[0]["status"] == "interrupted"


def test_global_flags_stand_before_the_command_and_behind_it(shop: Sample) -> None:
    shop.gitdeploy("check", "--force")
    alike = (("status",), ("check",), ("plan", "v1.1.0"), ("releases",), ("backups",), ("skip",))
    for words in alike:
        assert shop.gitdeploy("--json", *words).out == shop.gitdeploy(*words, "--json").out
    here = ("status", "-C", str(shop.app), "--config", str(shop.app / "deploy.yaml"), "-q", "--no-color", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "gitdeploy", *here],
        cwd="/",
        env=shop.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["tag"] == "v1.0.0"
    assert shop.gitdeploy("upgrade", "v1.1.0", "-q").err == shop.gitdeploy("-q", "restore", "latest").err == ""
    assert "fetch" in shop.gitdeploy("upgrade", "v1.2.0", "-v").err
