"""A deployment that was cut off, and a recovery that can't go on: what the operator sees, and the way out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from typing import Any

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support.sample import Program, differences

from gitdeploy.system import proc
from gitdeploy.system.proc import start_ticks

pytestmark = pytest.mark.xdist_group(__name__)

KILLS = Program("#!/bin/sh\nkill -9 $PPID\n")


def cut_off(shop: Shop, tag: str, **more: Any) -> None:
    """An upgrade that is killed after the switch."""
    shop.release(tag, tree(tag.removeprefix("v"), "2.0", **{"hooks/migrate": KILLS, **more}))
    shop.gitdeploy("upgrade", tag, code=-9)
    assert (shop.app / "VERSION").read_text() == tag.removeprefix("v")


def test_status_and_log_show_an_interrupted_deployment_and_change_nothing(shop: Shop) -> None:
    cut_off(shop, "v7.0.0")
    before = shop.state()
    assert "interrupted" in shop.gitdeploy("status").out
    assert json.loads(shop.gitdeploy("status", "--json").out)["interrupted"] is True
    shop.gitdeploy("log")
    shop.gitdeploy("backups")
    assert differences(before, shop.state()) == []


def test_the_next_command_recovers_by_itself_and_says_so(shop: Shop) -> None:
    before = shop.state()
    cut_off(shop, "v7.0.1")
    done = shop.gitdeploy("backup")
    assert "was interrupted: going back to v1.0.0" in done.text
    assert differences(before, shop.state()) == []


def test_recover_twice(shop: Shop) -> None:
    before = shop.state()
    cut_off(shop, "v7.0.2")
    assert "v1.0.0 again" in shop.gitdeploy("recover").out
    assert "Nothing to recover" in shop.gitdeploy("recover").out
    assert differences(before, shop.state()) == []


def test_a_recovery_that_fails_three_times_the_same_way_stops_and_says_what_to_do(shop: Shop) -> None:
    health = Program("#!/bin/sh\n[ -e well ]\n")
    settings = (
        SETTINGS
        + "service: {command: 'true'}\nhealth: {command: ./health.sh, successes: 1, timeout: 1, interval: 0.1}\n"
    )
    more = {"deploy.yaml": settings, "health.sh": health, ".gitignore": "/venv\n/well\n"}
    shop.release("v7.1.0", tree("7.1.0", "2.0", **more))
    (shop.app / "well").touch()
    shop.gitdeploy("upgrade", "v7.1.0", "--accept-config", "service.command")
    before = shop.state()
    shop.release("v7.1.1", tree("7.1.1", "2.0", **more, **{"hooks/post-deploy": KILLS}))
    shop.gitdeploy("upgrade", "v7.1.1", code=-9)
    (shop.app / "well").unlink()
    for _ in range(3):
        assert "does not run" in shop.gitdeploy("recover", code=4).err
        assert (shop.app / "VERSION").read_text() == "7.1.0", "files are the old release's all the same"
    error = shop.gitdeploy("upgrade", "--yes", code=4).err
    assert "3 times the same way" in error
    assert "gitdeploy recover --again" in error
    (shop.app / "well").touch()
    shop.gitdeploy("recover", code=4)
    assert "v7.1.0 again" in shop.gitdeploy("recover", "--again").out
    assert differences(before, shop.state()) == []


def test_the_stage_of_an_interrupted_deployment_was_deleted_by_hand(shop: Shop) -> None:
    """It can't be undone file by file; its backup still brings the old release back."""
    before = shop.state()
    cut_off(shop, "v7.2.0")
    for stage in (shop.app / ".gitdeploy/stage").iterdir():
        shutil.rmtree(stage)
    error = shop.gitdeploy("recover", code=4).err
    identity = error.partition("gitdeploy restore ")[2].split()[0]
    shop.gitdeploy("restore", identity)
    assert differences(before, shop.state()) == []
    shop.gitdeploy("upgrade", "v2.0.0")


def test_a_killed_deployment_and_a_checkout_that_was_moved_before_recovery(shop: Shop) -> None:
    before = shop.state()
    cut_off(shop, "v7.3.0")
    moved = shop.folder / "moved-while-interrupted"
    shop.app.rename(moved)
    original, shop.app = shop.app, moved
    try:
        shop.gitdeploy("recover")
        after = shop.state()
    finally:
        shop.app = original
        moved.rename(original)
    assert differences(before, after) == []


def test_files_that_were_edited_while_the_deployment_was_interrupted(shop: Shop) -> None:
    """Going back loses nobody's work: the edited file is kept in the backup, and named."""
    cut_off(shop, "v7.4.0")
    (shop.app / "VERSION").write_text("edited by somebody")
    done = shop.gitdeploy("recover")
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    saved = [file for file in (shop.app / ".gitdeploy/backups").rglob("saved/*") if file.is_file()]
    assert [file.read_text() for file in saved] == ["edited by somebody"]
    assert "VERSION" in done.err
    assert str(saved[0].name) in done.err


def test_state_db_was_deleted_while_a_deployment_was_interrupted(shop: Shop) -> None:
    """The links in the stage know the way back without it."""
    before = shop.state()
    cut_off(shop, "v7.5.0")
    for file in (shop.app / ".gitdeploy").glob("state.db*"):
        file.unlink()
    shop.gitdeploy("recover")
    found = shop.state()
    sides = differences(before, found)
    assert sides == [] or (shop.app / "VERSION").read_text() == "7.5.0", sides
    shop.gitdeploy("restore", "latest")
    assert differences(before, shop.state()) == []


def test_git_was_killed_with_gitdeploy_while_it_held_the_lock_of_a_ref(shop: Shop) -> None:
    """Recovery deletes refs itself: such locks go before that, not after."""
    shop.release("v7.6.0", tree("7.6.0", "2.0"))
    shop.release("v7.6.1", tree("7.6.1", "1.0", **{"hooks/pre-deploy": KILLS}))
    shop.gitdeploy("upgrade", "v7.6.1")
    before = shop.state()
    shop.gitdeploy("upgrade", "v7.6.0", "--allow-downgrade", code=-9)
    identity = max(path.name for path in (shop.app / ".gitdeploy/backups").iterdir())
    shop.git("update-ref", "refs/gitdeploy/incoming/v7.6.0", "HEAD")
    for name in ("packed-refs", "refs/gitdeploy/incoming/v7.6.0", f"refs/gitdeploy/backups/{identity}"):
        (shop.app / ".git" / f"{name}.lock").touch()
    shop.gitdeploy("recover")
    assert differences(before, shop.state()) == []
    assert not list((shop.app / ".git").rglob("*.lock"))
    shop.gitdeploy("upgrade", "v7.6.0", "--allow-downgrade", "--no-hooks")


def test_the_cache_of_packages_was_damaged_by_a_power_cut(shop: Shop) -> None:
    """uv doesn't sync what it caches, and fails for ever on an emptied file."""
    shop.gitdeploy("upgrade", "v2.0.0")
    shop.gitdeploy("upgrade", "v1.0.0", "--allow-downgrade")
    damaged = [path for path in (shop.app / ".gitdeploy/cache/uv").rglob("*.rev") if path.is_file()]
    assert damaged
    for path in damaged:
        path.write_bytes(b"\0" * path.stat().st_size)
    shop.gitdeploy("upgrade", "v2.0.0", "--rebuild-venv")
    assert "greeting==2.0" in shop.packages()


def test_what_a_killed_plan_left_among_gits_files_goes_and_that_of_a_running_one_stays(shop: Shop) -> None:
    own = proc.Identity.own()
    names = (f"{own.pid}-{own.started}-aa", f"{own.pid}-{own.started + 1}-bb", f"{2**22 + 1}-{own.started}-cc")
    folders = [shop.app / ".git" / f"gitdeploy-scratch-{name}" for name in names]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / ".gitignore").write_text("*.log\n")
    shop.gitdeploy("backup")
    assert [folder.exists() for folder in folders] == [True, False, False]
    shutil.rmtree(folders[0])


LEAVES_CHILDREN = """#!/bin/sh
env -i /bin/sh -c 'while :; do echo >>run/written; sleep 0.02; done' & echo $! >run/cleared
setsid sleep 300 & echo $! >run/own-session
echo $$ >run/hook
touch run/ready
wait
"""


def test_a_hook_goes_on_when_gitdeploy_is_killed_and_recovery_ends_it_with_all_its_children(shop: Shop) -> None:
    shop.release("v7.9.0", tree("7.9.0", "2.0", **{"hooks/migrate": Program(LEAVES_CHILDREN)}))
    (shop.app / "run").mkdir()
    before = shop.state()
    killed = shop.start("upgrade", "v7.9.0", stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (shop.app / "run/ready").exists() and time.monotonic() < end:
        time.sleep(0.05)
    pids = [int((shop.app / "run" / name).read_text()) for name in ("hook", "cleared", "own-session")]
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    time.sleep(0.3)
    assert all(start_ticks(pid) is not None for pid in pids), "as the docs say"
    said = shop.gitdeploy("recover").text
    assert re.search(r"Ended \d+ processes that the killed run had left behind", said)
    assert [start_ticks(pid) for pid in pids] == [None, None, None]
    size = (shop.app / "run/written").stat().st_size
    time.sleep(0.2)
    assert (shop.app / "run/written").stat().st_size == size
    shutil.rmtree(shop.app / "run")
    after = shop.state()
    before["files"].pop(b"run", None)
    assert after == before
