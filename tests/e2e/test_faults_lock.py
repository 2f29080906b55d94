"""One deployment at a time, whoever starts it: who holds the lock, who waits, and that it is never stale."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support import needs
from support.sample import Program, differences
from support.waiting import wait_until

from gitdeploy.system.proc import Identity

pytestmark = pytest.mark.xdist_group(__name__)

SLOW = Program("#!/bin/sh\ntouch run-now\nwhile [ ! -e go-on ]; do sleep 0.02; done\n")


@contextmanager
def running_upgrade(shop: Shop, tag: str) -> Iterator[subprocess.Popen[bytes]]:
    """An upgrade that waits in its post-deploy hook until `go-on` exists."""
    shop.git("tag", "-d", tag, cwd=shop.remote) if tag in shop.git("tag", cwd=shop.remote).split() else None
    shop.release(
        tag,
        tree(
            tag.removeprefix("v"),
            "1.0",
            **{
                "deploy.yaml": SETTINGS.replace("timeout: 2", "timeout: 60"),
                "hooks/post-deploy": SLOW,
                ".gitignore": "/venv\n/run-now\n/go-on\n",
            },
        ),
    )
    running = shop.start("upgrade", tag)
    wait_for(shop.app / "run-now")
    try:
        yield running
    finally:
        (shop.app / "go-on").touch()
        running.communicate(timeout=60)


def wait_for(path: Path) -> None:
    wait_until(path.exists, str(path))


def test_the_second_is_told_who_runs_the_first(shop: Shop) -> None:
    with running_upgrade(shop, "v5.0.0") as first:
        done = shop.gitdeploy("backup", code=5)
        assert f"pid {first.pid}" in done.err
        assert "upgrade v5.0.0" in done.err
        assert socket.gethostname() in done.err
        assert "--wait" in done.err
        holder = json.loads(shop.gitdeploy("status", "--json").out)["locked_by"]
        assert holder["pid"] == first.pid
        error = json.loads(shop.gitdeploy("restore", "latest", "--json", code=5).out)["error"]
        assert error["exit_code"] == 5
    assert first.returncode == 0
    assert json.loads(shop.gitdeploy("status", "--json").out)["locked_by"] is None


def test_one_that_waits_begins_when_the_first_has_ended(shop: Shop) -> None:
    with running_upgrade(shop, "v5.0.1") as first:
        assert "Another deployment" in shop.gitdeploy("upgrade", "v2.1.0", "--wait", "0.3", code=5).err
        second = shop.start("upgrade", "v5.0.1", "--wait", "60")
        (shop.app / "go-on").touch()
        assert second.communicate(timeout=60)[0] is not None
    assert (first.returncode, second.returncode) == (0, 0)


def test_many_started_in_the_same_millisecond(shop: Shop) -> None:
    """All of them wait for one file; exactly one upgrade is recorded as having succeeded."""
    program = (
        "import os, sys, time\n"
        "while not os.path.exists('start-now'): time.sleep(0.0005)\n"
        "from gitdeploy.__main__ import main\n"
        "sys.argv[1:] = ['upgrade', 'v2.0.0']\n"
        "sys.exit(main())\n"
    )
    (shop.app / ".git/info/exclude").write_text("/start-now\n/.gitdeploy/\n/venv\n")
    started = [
        subprocess.Popen([sys.executable, "-c", program], cwd=shop.app, env=shop.environment, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    time.sleep(0.5)
    (shop.app / "start-now").touch()
    said = [process.communicate(timeout=120)[1].decode() for process in started]
    assert {process.returncode for process in started} <= {0, 5}, said
    rows = json.loads(shop.gitdeploy("log", "--json").out)
    assert [row["status"] for row in rows if row["action"] == "upgrade"].count("succeeded") == 1
    assert (shop.app / "VERSION").read_text() == "2.0.0"


def test_a_killed_deployment_leaves_no_lock(shop: Shop) -> None:
    before = shop.state()
    with running_upgrade(shop, "v5.0.2") as first:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        status = json.loads(shop.gitdeploy("status", "--json").out)
        assert status["locked_by"] is None
        assert status["interrupted"] is True
        shop.gitdeploy("recover")
    (shop.app / "go-on").unlink()
    (shop.app / "run-now").unlink()
    assert differences(before, shop.state()) == []


@pytest.mark.parametrize("wrong", ["started", "boot"], ids=["its number is used again", "the server was booted since"])
def test_a_process_that_is_not_the_holder_any_more(shop: Shop, wrong: str) -> None:
    own = Identity.own()
    said = {
        "who": "alice", "pid": own.pid, "started": own.started, "boot": own.boot, "host": socket.gethostname(),
        "command": "gitdeploy upgrade", "since": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    said[wrong] = 7 if wrong == "started" else "another"
    (shop.app / ".gitdeploy/lock").write_text(json.dumps(said))
    assert json.loads(shop.gitdeploy("status", "--json").out)["locked_by"] is None
    shop.gitdeploy("upgrade", "v2.0.0")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"who": 1}', "\0" * 50])
def test_a_lock_file_with_nonsense_in_it(shop: Shop, content: str) -> None:
    (shop.app / ".gitdeploy/lock").write_text(content)
    shop.gitdeploy("status")
    shop.gitdeploy("backup")


def test_a_file_system_that_cannot_lock(shop: Shop) -> None:
    """As some NFS mounts."""
    strace = needs.tracing()
    before = shop.state()
    argv = [
        strace,
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=flock:error=ENOLCK",
        sys.executable,
        "-m",
        "gitdeploy",
    ]
    done = subprocess.run(
        [*argv, "upgrade", "v2.0.0"], cwd=shop.app, env=shop.environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "can't lock files" in done.stderr
    assert "local disk" in done.stderr
    assert differences(before, shop.state()) == []


def test_a_daemon_of_a_hook_lives_on_without_the_lock_and_the_journal(shop: Shop) -> None:
    """However late it leaves the hook's group: a busy server may let the hook end first."""
    hook = Program(
        "#!/bin/sh\nls -l /proc/self/fd > fds\n"
        "(sleep 0.2; exec setsid sleep 300) >/dev/null 2>&1 </dev/null &\necho $! > pid\n"
    )
    shop.release("v5.0.3", tree("5.0.3", "1.0", **{"hooks/post-deploy": hook}))
    shop.gitdeploy("upgrade", "v5.0.3")
    pid = int((shop.app / "pid").read_text())
    try:
        held = (shop.app / "fds").read_text()
        assert ".gitdeploy" not in held, held
        shop.gitdeploy("backup")
    finally:
        os.kill(pid, signal.SIGTERM)
