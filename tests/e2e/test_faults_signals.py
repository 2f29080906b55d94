"""Signals, terminals that go away, and what is left running when gitdeploy itself is killed."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from e2e.test_faults_lock import wait_for
from support.sample import Program, differences
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group(__name__)

SLOW = SETTINGS.replace("timeout: 2", "timeout: 60")
IGNORED = "/venv\n/run-now\n/go-on\n/grows\n/undone\n"


def with_hooks(shop: Shop, tag: str, **hooks: str) -> None:
    files = {f"hooks/{stage.replace('_', '-')}": Program(f"#!/bin/sh\n{text}\n") for stage, text in hooks.items()}
    shop.release(tag, tree(tag.removeprefix("v"), "1.0", **{"deploy.yaml": SLOW, ".gitignore": IGNORED, **files}))


def without_marks(shop: Shop) -> None:
    for name in ("run-now", "go-on", "grows", "undone"):
        (shop.app / name).unlink(missing_ok=True)


def test_somebody_who_keeps_pressing_ctrl_c_while_it_goes_back(shop: Shop) -> None:
    with_hooks(shop, "v6.0.0", post_deploy="touch run-now; sleep 5")
    before = shop.state()
    running = shop.start("upgrade", "v6.0.0")
    wait_for(shop.app / "run-now")
    while running.poll() is None:
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    output = running.communicate(timeout=30)[0].decode()
    without_marks(shop)
    assert running.returncode == 130, output
    assert differences(before, shop.state()) == [], output
    assert "interrupted at post-deploy by SIGINT" in output
    assert "v1.0.0 again" in output
    assert json.loads(shop.gitdeploy("status", "--json").out)["interrupted"] is False


BACKEND = """import pathlib, time
def build_wheel(*_):
    pathlib.Path({mark!r}).touch()
    time.sleep(60)
prepare_metadata_for_build_wheel = get_requires_for_build_wheel = lambda *_: build_wheel()
"""
PROJECT = "[build-system]\nrequires = []\nbuild-backend = 'slow'\nbackend-path = ['.']\n[project]\nname = 'slow'\nversion = '1'\n"


@pytest.mark.parametrize("work", ["fetch", "build", "copy"])
def test_ctrl_c_in_the_middle_of_long_work(shop: Shop, work: str) -> None:
    """It ends within a second or so, and leaves nothing."""
    begun, files = shop.app / "run-now", dict[str, Any]()
    if work == "build":
        files = {".gitignore": IGNORED, "requirements.txt": "./slow\n", "slow/pyproject.toml": PROJECT}
        files["slow/slow.py"] = BACKEND.format(mark=str(begun))
    if work == "copy":
        (shop.app / "run").mkdir()
        with (shop.app / "run/large").open("wb") as large:
            large.truncate(300 << 20)
        (shop.app / "deploy.yaml").write_text(SETTINGS + "backup: {include: [run]}\n")
    shop.release("v6.3.0", tree("6.3.0", "1.0", **files))
    with ExitStack() as held:
        if work == "fetch":
            server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            shop.git("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/shop")
        before, left = shop.state(), _half_made(shop)
        running = shop.start(*(["backup"] if work == "copy" else ["upgrade", "v6.3.0"]))
        if work == "fetch":
            held.enter_context(server.accept()[0])
        elif work == "copy":
            wait_until(lambda: list(shop.app.glob(".gitdeploy/backups/*/include/run/large")), "it copies", every=0.01)
        else:
            wait_for(begun)
        running.send_signal(signal.SIGINT)
        at = time.monotonic()
        output = running.communicate(timeout=30)[0].decode()
        took = time.monotonic() - at
    without_marks(shop)
    assert running.returncode == 130, output
    assert took < 5, output
    assert differences(before, shop.state()) == [], output
    assert _half_made(shop) == left


def _half_made(shop: Shop) -> list[str]:
    """What is in the folders of stages and venvs, and of backups without a manifest."""
    state = shop.app / ".gitdeploy"
    backups = [place for place in state.glob("backups/*") if not (place / "manifest.json").exists()]
    return sorted(map(str, (*backups, *state.glob("stage/*"), *state.glob("venvs/*"))))


def in_terminal(shop: Shop, *words: str, nohup: bool) -> tuple[int, int]:
    """Start gitdeploy in a terminal of its own: (pid, the terminal's other end)."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            if nohup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.chdir(shop.app)
            os.execve(
                sys.executable, [sys.executable, "-m", "gitdeploy", *words], {**shop.environment, "TERM": "xterm"}
            )
        finally:
            os._exit(70)
    return pid, master


def ended(pid: int) -> int:
    try:
        _, status = wait_until(lambda: found if (found := os.waitpid(pid, os.WNOHANG))[0] else None, "it ends") or (
            0,
            0,
        )
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status)


def test_the_terminal_vanishes_in_the_middle(shop: Shop) -> None:
    """A dropped SSH line: it goes back and ends, though nobody can be told."""
    with_hooks(shop, "v6.1.0", post_deploy="touch run-now; sleep 3")
    before = shop.state()
    pid, master = in_terminal(shop, "upgrade", "v6.1.0", nohup=False)
    wait_for(shop.app / "run-now")
    os.close(master)
    code = ended(pid)
    without_marks(shop)
    assert code == 129
    assert differences(before, shop.state()) == []
    assert "v1.0.0 again" in shop.gitdeploy("log", "2").out


def test_under_nohup_the_terminal_vanishes_and_the_upgrade_goes_on(shop: Shop) -> None:
    with_hooks(shop, "v6.1.1", post_deploy="touch run-now; while [ ! -e go-on ]; do sleep 0.02; done; echo said")
    pid, master = in_terminal(shop, "upgrade", "v6.1.1", nohup=True)
    wait_for(shop.app / "run-now")
    os.close(master)
    (shop.app / "go-on").touch()
    assert ended(pid) == 0
    assert (shop.app / "VERSION").read_text() == "6.1.1"


def test_with_standard_output_and_error_closed(shop: Shop) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m gitdeploy upgrade v2.0.0 >&- 2>&- <&-"
    done = subprocess.run(["sh", "-c", command], cwd=shop.app, env=shop.environment)
    assert done.returncode == 0
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_nobody_reads_the_log_any_more(shop: Shop) -> None:
    """`gitdeploy upgrade | head -1`."""
    command = f"{shlex.quote(sys.executable)} -m gitdeploy -v upgrade v2.0.0 2>&1 | head -c 1 >/dev/null"
    subprocess.run(["sh", "-c", command], cwd=shop.app, env=shop.environment, check=True)
    wait_until(lambda: not json.loads(shop.gitdeploy("status", "--json").out)["locked_by"], every=0.1)
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_a_killed_gitdeploy_leaves_a_hook_running_that_recover_ends(shop: Shop) -> None:
    """What a hook that lives on writes would land in the old release."""
    grows = "touch run-now; setsid sh -c 'while sleep 0.05; do echo x >> grows; done' & while :; do echo y >> grows; sleep 0.05; done"
    with_hooks(shop, "v6.2.0", migrate=grows)
    before = shop.state()
    running = shop.start("upgrade", "v6.2.0")
    wait_for(shop.app / "grows")
    running.kill()
    done = shop.gitdeploy("recover")
    running.communicate(timeout=30)
    size = (shop.app / "grows").stat().st_size
    time.sleep(0.3)
    assert (shop.app / "grows").stat().st_size == size, "nothing of it runs any more"
    without_marks(shop)
    assert differences(before, shop.state()) == []
    assert "left behind" in done.err


def test_a_killed_gitdeploy_takes_its_git_with_it(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        shop.git("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/shop")
        running = shop.start("upgrade", "v2.0.0")
        connection, _ = server.accept()
        with connection:
            running.kill()
            running.communicate(timeout=30)
            connection.settimeout(30)
            while connection.recv(4096):
                pass  # until git's end of it is closed, since git is gone
    end = time.monotonic() + 30
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and _works_in(pid, shop.app)]:
        assert time.monotonic() < end, left  # its last moments, between closing its files and being gone, are no fault
        time.sleep(0.02)


def _works_in(pid: str, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(folder))
    except OSError:
        return False
