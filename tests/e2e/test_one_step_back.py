"""`rollback` goes one step back: never two, and never forward without being told so."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Shop, tree
from support.sample import Program, differences

from gitdeploy.system import faultpoints

pytestmark = pytest.mark.xdist_group("faults")

KILLED = -9
# Where it is killed -> whether the new release stays after recovery.
POINTS = {
    "journal backup": False,
    "applied switch": False,
    "applied migrate": False,
    "journalled undone": False,
    "journalled commit": True,
}


def live(shop: Shop) -> str:
    return (shop.app / "VERSION").read_text()


def killed(shop: Shop, point: str, *words: str) -> None:
    """Run a command that is killed at POINT."""
    plan = shop.folder / "plan"
    plan.write_text(f"{faultpoints.MAGIC}\nkill-at {point}\n")
    shop.gitdeploy(*words, code=KILLED, env={faultpoints.VARIABLE: str(plan)})


@pytest.fixture
def two(shop: Shop) -> Shop:
    """v2.0.0 is live, v1.0.0 was before it; v3.0.0 and v3.0.1, which fails, are there."""
    migrate = {"hooks/migrate": Program("#!/bin/sh\ntrue\n")}
    shop.release("v3.0.0", tree("3.0.0", "2.0", **migrate))
    shop.release("v3.0.1", tree("3.0.1", "2.0", **migrate, **{"hooks/post-deploy": Program("#!/bin/sh\nexit 1\n")}))
    shop.gitdeploy("upgrade", "v2.0.0")
    return shop


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("words", [("rollback", "--yes"), ("rollback", "--yes", "--wait", "5"), ("rollback", "v2.0.0")])
def test_a_rollback_of_an_interrupted_upgrade_is_one_step(two: Shop, point: str, words: tuple[str, ...]) -> None:
    before = two.state()
    killed(two, point, "upgrade", "v3.0.1" if point == "journalled undone" else "v3.0.0")
    done = two.gitdeploy(*words, "--json")
    assert differences(before, two.state()) == []
    assert live(two) == "2.0.0"
    result = json.loads(done.out)
    assert result["status"] == ("succeeded" if POINTS[point] else "nothing_to_do")
    assert "v2.0.0" in result["message"]
    if not POINTS[point] and words[1] == "--yes":
        assert "gitdeploy rollback v1.0.0" in result["message"], "how it goes further back is said"
        two.gitdeploy("rollback", "v1.0.0")
        assert live(two) == "1.0.0"


def test_what_was_done_is_said_to_who_looks(two: Shop) -> None:
    killed(two, "applied migrate", "upgrade", "v3.0.0")
    said = two.gitdeploy("rollback", "--yes").err
    assert "Deployment 3, upgrade v2.0.0 -> v3.0.0, at migrate, was interrupted." in said
    assert "going back to v2.0.0" in said
    assert "is undone, and shop runs v2.0.0: nothing else was rolled back" in said


# A rollback has no migration, and this one does not fail.
ROLLBACK_POINTS = {
    point: stays for point, stays in POINTS.items() if point not in ("applied migrate", "journalled undone")
}


@pytest.mark.parametrize(("point", "stays"), ROLLBACK_POINTS.items())
def test_an_interrupted_rollback_is_begun_again_or_done(two: Shop, point: str, stays: bool) -> None:
    killed(two, point, "rollback", "--yes")
    done = json.loads(two.gitdeploy("rollback", "--yes", "--json").out)
    assert live(two) == "1.0.0", "there, and not forward again"
    assert done["status"] == ("nothing_to_do" if stays else "succeeded")


def test_restoring_the_latest_backup_is_no_two_steps_either(two: Shop) -> None:
    """The newest backup was that of the upgrade that came to nothing, and went with it."""
    killed(two, "backup written", "upgrade", "v3.0.0")
    done = two.gitdeploy("restore", "latest")
    assert live(two) == "2.0.0"
    assert "held what is live" in done.text


@pytest.mark.parametrize("version", [(), ("v1.0.0",)])
def test_data_are_not_replaced_unasked_where_something_was_interrupted(two: Shop, version: tuple[str, ...]) -> None:
    killed(two, "applied switch", "upgrade", "v3.0.0")
    refused = two.gitdeploy("rollback", *version, "--with-data", code=2).err
    assert "can be named only once the interrupted deployment is recovered" in refused
    assert live(two) == "3.0.0", "it isn't even recovered"
    two.gitdeploy("recover")
    assert live(two) == "2.0.0"
    assert "can be named only" not in two.gitdeploy("rollback", *version, "--with-data", code=None).text


def test_from_python_too(two: Shop) -> None:
    killed(two, "applied switch", "upgrade", "v3.0.0")
    code = "from gitdeploy import App; r = App.open('.').rollback(); print(r.status, r.exit_code)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=two.app, env=two.environment, capture_output=True, text=True
    )
    assert (done.stdout, live(two)) == ("nothing_to_do 0\n", "2.0.0"), done.stderr


@pytest.mark.parametrize(("ends", "status"), [(1, "nothing_to_do"), (0, "succeeded")])
def test_a_rollback_that_waits_for_a_running_upgrade(two: Shop, ends: int, status: str) -> None:
    """It is that upgrade which is undone: where it undid itself meanwhile, nothing is left to do."""
    waits = Program(f"#!/bin/sh\nuntil [ -e run/go ]; do sleep 0.05; done\nexit {ends}\n")
    settings = "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n"
    two.release("v3.1.0", tree("3.1.0", "2.0", **{"deploy.yaml": settings, "hooks/post-deploy": waits}))
    running = two.start("upgrade", "v3.1.0")
    until(lambda: live(two) == "3.1.0")
    waiting = two.start("rollback", "--yes", "--wait", "60", "--json", stderr=subprocess.DEVNULL)
    until(lambda: has_open(waiting.pid, "/.gitdeploy/lock"))
    (two.app / "run").mkdir(exist_ok=True)
    (two.app / "run/go").touch()
    out, _ = waiting.communicate(timeout=120)
    running.communicate(timeout=120)
    assert (json.loads(out)["status"], live(two)) == (status, "2.0.0")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def has_open(pid: int, ending: str) -> bool:
    """Whether a process has a file open whose path ends so."""
    with suppress(OSError):
        return any(os.readlink(f"/proc/{pid}/fd/{name}").endswith(ending) for name in os.listdir(f"/proc/{pid}/fd"))
    return False


def test_a_second_rollback_says_that_it_goes_forward_and_offers_the_one_before(two: Shop) -> None:
    two.gitdeploy("upgrade", "v3.0.0")
    two.gitdeploy("rollback", "--yes")
    assert live(two) == "2.0.0"
    refused = two.gitdeploy("rollback", "--yes", code=7).err
    assert "The last deployment went back to v2.0.0: undoing it goes forward again to v3.0.0." in refused
    assert "To go forward: gitdeploy rollback v3.0.0\n" in refused
    assert "To go back further: gitdeploy rollback v1.0.0\n" in refused
    two.gitdeploy("rollback", "v3.0.0")
    assert live(two) == "3.0.0"
    two.gitdeploy("rollback", "v1.0.0")
    assert live(two) == "1.0.0"


def asked(shop: Shop, *words: str, answer: str) -> tuple[int, str]:
    """Run a command on a terminal, which answers its question."""
    leader, follower = pty.openpty()
    environment: dict[str, Any] = {**shop.environment, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gitdeploy", *words], cwd=shop.app, stdin=follower, stdout=follower, stderr=follower,
        env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, f"{answer}\n".encode())
    said, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                said += os.read(leader, 65536)
            except OSError:
                break
    os.close(leader)
    return process.wait(60), said.decode("utf-8", "replace")


def test_the_question_says_that_it_goes_forward(two: Shop) -> None:
    two.gitdeploy("rollback", "--yes")
    code, said = asked(two, "rollback", answer="n")
    assert (code, live(two)) == (1, "1.0.0")
    assert "Go forward again to v2.0.0" in said
    code, said = asked(two, "rollback", answer="y")
    assert (code, live(two)) == (0, "2.0.0"), said


@pytest.mark.parametrize("command", ["rollback", "upgrade"])
def test_the_question_shows_what_was_interrupted(two: Shop, command: str) -> None:
    killed(two, "applied migrate", "upgrade", "v3.0.0")
    code, said = asked(two, command, answer="n")
    assert (code, live(two)) == (1, "3.0.0"), "nothing was changed"
    assert (
        "upgrade v2.0.0 -> v3.0.0, at migrate, was interrupted. Recovery undoes it, and v2.0.0 is live again." in said
    )
    assert "Recover it" in said
    code, said = asked(two, "rollback", answer="y")
    assert (code, live(two)) == (0, "2.0.0"), said


def test_an_upgrade_by_name_still_means_the_same_after_a_recovery(two: Shop) -> None:
    killed(two, "applied migrate", "upgrade", "v3.0.0")
    done = two.gitdeploy("upgrade", "v3.0.0")
    assert "was interrupted: going back to v2.0.0" in done.err
    assert live(two) == "3.0.0"
    two.gitdeploy("rollback", "--yes")
    assert live(two) == "2.0.0"


def test_what_comes_after_a_recovery_goes_by_the_deploy_yaml_that_holds_then(two: Shop, tmp_path: Path) -> None:
    """What was read at the start was that of the release that is gone again."""
    told = tmp_path / "told"
    settings = f"app: {{name: shop}}\nsource: {{type: git}}\nhooks: {{dir: hooks, timeout: 2, pre-deploy: ['echo pre >> {told}']}}\n"
    two.release("v3.2.0", tree("3.2.0", "2.0", **{"deploy.yaml": settings}))
    killed(two, "applied switch", "upgrade", "v3.2.0")
    two.gitdeploy("upgrade", "v3.0.0")
    assert not told.exists()
