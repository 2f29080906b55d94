"""Exit 4 has a way out: each message names commands, and each command that it names, typed as it stands, ends it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support import needs
from support.sample import Program, Tree, differences

pytestmark = pytest.mark.xdist_group("faults")

KILLS = Program("#!/bin/sh\nkill -9 $PPID\n")
GOOD = (
    SETTINGS
    + "service: {command: ./restart.sh}\nhealth: {command: ./health.sh, successes: 1, timeout: 1, interval: 0.1}\n"
)
MORE = {
    "restart.sh": Program("#!/bin/sh\ncat VERSION > run/serving\n"),
    "health.sh": Program('#!/bin/sh\ntest "$(cat run/serving)" = "$(cat VERSION)"\n'),
}


def untracked(version: str, greeting: str, **more: Any) -> Tree:
    """A release without a deploy.yaml: that is the server's own file."""
    found = {**tree(version, greeting), **MORE, **more}
    return {name: content for name, content in found.items() if name != "deploy.yaml"}


@pytest.fixture(scope="module")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The app on v3.0.0 with a service that runs, and a deploy.yaml of the server's own; v3.1.0 kills behind the restart,
    v3.2.0 is good."""
    shop = Shop(tmp_path_factory.mktemp("served"))
    for version in ("1.0", "2.0"):
        shop.wheel("greeting", version)
    shop.release("v3.0.0", untracked("3.0.0", "1.0"))
    shop.release("v3.1.0", untracked("3.1.0", "2.0", **{"hooks/post-deploy": KILLS}))
    shop.release("v3.2.0", untracked("3.2.0", "2.0"))
    shop.install("v3.0.0")
    (shop.app / "run").mkdir()
    (shop.app / "run/serving").write_text("3.0.0")
    with (shop.app / ".git/info/exclude").open("a") as exclude:
        exclude.write("/deploy.yaml\n")
    write(shop, GOOD)
    shop.gitdeploy("backup", "--label", "first")
    shutil.copytree(shop.app, shop.folder / "pristine", symlinks=True)
    shutil.copytree(shop.remote, shop.folder / "pristine-remote", symlinks=True)
    return shop


@pytest.fixture
def served(served_once: Shop) -> Shop:
    served_once.reset()
    return served_once


def write(shop: Shop, settings: str) -> None:
    (shop.app / "deploy.yaml").write_text(settings)


def commands(text: str) -> list[list[str]]:
    """The gitdeploy commands that TEXT names at the end of a line, to be typed as they stand."""
    found = [
        words.split() for words in re.findall(r": gitdeploy ((?:recover|restore|upgrade)\b[^\n]*)$", text, re.MULTILINE)
    ]
    return [words for words in found if words != ["recover"]]


def killed(shop: Shop, settings: str | None = GOOD) -> None:
    """An upgrade that is killed behind the restart, and deploy.yaml as it is found then."""
    shop.gitdeploy("upgrade", "v3.1.0", code=-9)
    if settings is None:
        (shop.app / "deploy.yaml").unlink()
    else:
        write(shop, settings)


def build(command: str) -> str:
    return GOOD.replace("timeout: 2}\n", f"timeout: 2, build: ['{command}']}}\n")


# What is wrong in deploy.yaml when the recovery comes to it; as it was when the upgrade began, where that matters.
MISTAKES: dict[str, tuple[str, str]] = {
    "a build command that fails": (build("false"), build("true")),
    "a build command that does not exist": (build("nothing-of-this-name"), build("true")),
    "a wrong port": (GOOD.replace("command: ./health.sh", "url: 'http://127.0.0.1:9/'"), GOOD),
    "a health command that does not exist": (GOOD.replace("./health.sh", "./no-such-check.sh"), GOOD),
    "a restart command that does not exist": (GOOD.replace("./restart.sh", "./no-such-restart.sh"), GOOD),
    "a unit that does not exist": (GOOD.replace("command: ./restart.sh", "systemd: no-such-unit-here"), GOOD),
    "a program that does not exist": (GOOD.replace("command: ./restart.sh", "supervisor: no-such-program"), GOOD),
    "invalid": ("hooks: 7\n", GOOD),
    "no YAML": ("app: {name: [\n", GOOD),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_deploy_yaml_has_two_ways_out(served: Shop, mistake: str) -> None:
    """The command that the message names, typed as it stands; and deploy.yaml corrected."""
    before = served.state()
    settings, first = MISTAKES[mistake]
    write(served, first)
    killed(served, settings)
    said = served.gitdeploy("recover", code=4).err
    assert "Files and venv are those of v3.0.0 again" in said
    copy = served.folder / "found"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(served.app, copy, symlinks=True)
    (named,) = commands(said)
    done = served.gitdeploy(*named)
    left_out = named[-1]
    assert left_out in done.out, "what was not verified is said"
    assert "runs v3.0.0" not in done.out, "no more is claimed than was looked at"
    write(served, GOOD)
    (served.app / "run/serving").write_text("3.0.0")  # who leaves the service alone restarts it by hand
    assert differences(before, served.state()) == []
    assert "Nothing to recover" in served.gitdeploy("recover").out

    shutil.rmtree(served.app)
    copy.rename(served.app)
    write(served, GOOD)
    assert "runs v3.0.0 again (./health.sh: exit code 0" in served.gitdeploy("recover").out
    assert differences(before, served.state()) == []
    assert (served.app / "run/serving").read_text() == "3.0.0"
    served.gitdeploy("upgrade", "v3.2.0")


def test_deploy_yaml_is_gone(served: Shop) -> None:
    """That nobody wants a service any more is not what a missing file says."""
    before = served.state()
    killed(served, None)
    said = served.gitdeploy("recover", code=4).err
    assert "deploy.yaml is gone" in said
    (named,) = commands(said)
    assert "--no-restart" in served.gitdeploy(*named).out
    write(served, GOOD)
    (served.app / "run/serving").write_text("3.0.0")
    assert differences(before, served.state()) == []


WRONG_PORT = MISTAKES["a wrong port"][0]


@pytest.mark.parametrize("words", [("upgrade", "v3.2.0"), ("restore", "latest"), ("rollback", "v3.0.0")])
def test_what_names_a_state_is_let_through_where_files_are_whole(served: Shop, words: tuple[str, ...]) -> None:
    """It ends what was interrupted by saying that it wasn't verified, and goes on; behind three tries too."""
    killed(served, WRONG_PORT)
    for _ in range(4):
        said = served.gitdeploy("recover", code=4).err
    assert "3 times the same way" in said
    (named,) = [words for words in commands(said) if "--again" not in words]
    assert named == ["recover", "--no-hooks", "--no-restart"]
    wrong = GOOD.replace("timeout: 1,", "timeout: 2,").replace("./health.sh", "./health.sh --again")
    write(served, wrong.replace("restart.sh", "no-such-restart.sh"))
    served.gitdeploy("recover", code=4)
    write(served, wrong)
    served.gitdeploy(*words)
    rows = json.loads(served.gitdeploy("log", "--json").out)
    ended = next(row for row in rows if row["to"]["tag"] == "v3.1.0")
    assert ended["status"] == "rolled_back"
    assert json.loads(served.gitdeploy("status", "--json").out)["interrupted"] is False


def test_what_could_not_be_settled_is_taken_up_by_whatever_names_that_state(served: Shop) -> None:
    """No file changes, but hooks, service and health are run: with the same mistake there is the same way out."""
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    said = served.gitdeploy("restore", "latest", code=None)
    assert said.code in (3, 4)
    first = next(row for row in json.loads(served.gitdeploy("log", "--json").out) if row["to"]["tag"] == "v3.1.0")
    assert first["status"] == "rolled_back"
    assert (
        "not verified, given up for `gitdeploy restore latest`"
        in first["error"]["message"] + served.gitdeploy("log", str(first["id"])).out
    )
    write(served, GOOD)
    served.gitdeploy("recover")
    served.gitdeploy("upgrade", "v3.2.0")


def test_what_was_not_settled_is_given_up_only_once_something_else_begins(served: Shop) -> None:
    """An upgrade that is refused leaves the way to `recover` open."""
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    refused = served.gitdeploy("upgrade", "v9.9.9", code=2)
    assert "Going on with" in refused.err
    assert json.loads(served.gitdeploy("status", "--json").out)["interrupted"] is True
    unhealthy = served.gitdeploy("upgrade", "v3.2.0", code=1)
    assert "--unhealthy" in unhealthy.err
    write(served, GOOD)
    assert "runs v3.0.0 again" in served.gitdeploy("recover").out


def test_by_itself_nothing_is_given_up(served: Shop) -> None:
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    assert "it does not run" in served.gitdeploy("upgrade", "--yes", code=4).err
    assert json.loads(served.gitdeploy("status", "--json").out)["interrupted"] is True


def test_deploy_yaml_is_corrected_after_three_tries(served: Shop) -> None:
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    for _ in range(3):
        served.gitdeploy("recover", code=4)
    write(served, GOOD)
    assert "runs v3.0.0 again" in served.gitdeploy("recover").out


def test_the_app_api_leaves_parts_out_too(served: Shop) -> None:
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    code = "from gitdeploy import App; r = App.open('.').recover(health=False); print(r.status, r.sentence)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=served.app,
        env=served.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rolled_back ")
    assert "--no-health" in done.stdout


# ---- what is gone, full or closed ----


def test_the_stage_is_gone_and_so_is_the_backup(served: Shop) -> None:
    killed(served)
    for place in ("stage", "backups"):
        newest = max((served.app / ".gitdeploy" / place).iterdir())
        shutil.rmtree(newest)
    said = served.gitdeploy("recover", code=4).err
    assert "is gone too" in said
    named = commands(said)
    assert named[0][0] == "restore"
    assert named[-1] == ["upgrade", "TAG"], "its files are wholly the new release's"
    served.gitdeploy("upgrade", "v3.1.0", "--no-hooks")
    status = json.loads(served.gitdeploy("status", "--json").out)
    assert (status["interrupted"], status["tag"]) == (False, "v3.1.0")


def test_the_stage_and_every_backup_are_gone_between_two_releases(served: Shop) -> None:
    killed(served)
    (served.app / "code/main.py").write_text("VERSION = 'of neither'\n")
    for place in ("stage", "backups"):
        for entry in (served.app / ".gitdeploy" / place).iterdir():
            shutil.rmtree(entry)
    said = served.gitdeploy("recover", code=4).err
    (named,) = commands(said)
    assert named == ["upgrade", "TAG", "--discard-local-changes"]
    served.gitdeploy("upgrade", "v3.1.0", "--discard-local-changes", "--no-hooks")
    assert (served.app / "code/main.py").read_text() == "VERSION = '3.1.0'\n"
    assert json.loads(served.gitdeploy("status", "--json").out)["interrupted"] is False


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """A folder in which nobody may change anything, root neither."""
    needs.program("chattr")
    if subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("chattr +i needs root and a file system that knows it")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_no_permission_on_the_way_back(served: Shop) -> None:
    before = served.state()
    killed(served)
    with closed(served.app / "code"):
        said = served.gitdeploy("recover", code=4).err
        assert "run: gitdeploy recover" in said
        status = json.loads(served.gitdeploy("status", "--json").out)["interruption"]
        assert "Undoing switch failed" in status["failed"]
    served.gitdeploy("recover")
    assert differences(before, served.state()) == []


# ---- status ----


@pytest.mark.parametrize(
    ("hook", "recovery", "step"),
    [
        ("hooks/pre-deploy", "discard", "pre-deploy"),
        ("hooks/migrate", "undo", "migrate"),
        ("hooks/post-deploy", "undo", "post-deploy"),
    ],
)
def test_status_says_which_from_what_at_which_step_and_what_to_type(
    shop: Shop, hook: str, recovery: str, step: str
) -> None:
    shop.release("v1.0.1", tree("1.0.1", "1.0", **{hook: KILLS}))
    if step == "pre-deploy":  # that of what is live
        shop.gitdeploy("upgrade", "v1.0.1")
        shop.release("v1.0.2", tree("1.0.2", "1.0"))
    old, new = ("v1.0.1", "v1.0.2") if step == "pre-deploy" else ("v1.0.0", "v1.0.1")
    shop.gitdeploy("upgrade", new, code=-9)
    shown = shop.gitdeploy("status").out
    assert re.search(
        rf"interrupted  deployment \d, upgrade {old} -> {new}, at {step} \(begun .* by .*\):  gitdeploy recover\n",
        shown,
    )
    status = json.loads(shop.gitdeploy("status", "--json").out)
    assert status["interrupted"] is True
    found = status["interruption"]
    assert (found["from"]["tag"], found["to"]["tag"], found["step"], found["recovery"]) == (old, new, step, recovery)
    assert found["command"] == "gitdeploy recover"
    done = shop.gitdeploy(*found["command"].split()[1:])
    assert f"runs {old}" in done.out, "what is live now is said"
    status = json.loads(shop.gitdeploy("status", "--json").out)
    assert (status["interrupted"], status["interruption"], status["tag"]) == (False, None, old)


def test_status_of_what_could_not_be_settled(served: Shop) -> None:
    killed(served, WRONG_PORT)
    served.gitdeploy("recover", code=4)
    status = json.loads(served.gitdeploy("status", "--json").out)
    assert status["interruption"]["recovery"] == "settle"
    assert "connection refused" in status["interruption"]["failed"]
    assert "Files and venv are those of v3.0.0 again" in served.gitdeploy("status").out
