"""No test reaches the real home, git configuration or network."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from pathlib import Path

import pytest


def test_the_home_of_tests_is_not_the_users(home: Path) -> None:
    assert Path.home() == home
    assert str(home) != pwd.getpwuid(os.getuid()).pw_dir


def test_git_reads_no_configuration_of_the_user_or_the_machine(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "config", "--list", "--show-scope"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [line for line in listed.stdout.splitlines() if line.startswith(("global", "system"))] == []


def test_an_address_outside_this_machine_is_refused() -> None:
    with socket.socket() as outside:
        with pytest.raises(AssertionError, match="a test connects to"):
            outside.connect(("192.0.2.1", 80))
        with pytest.raises(AssertionError, match="a test connects to"):
            outside.connect_ex(("example.org", 443))


def test_children_that_fetch_over_http_meet_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        ["git", "ls-remote", "https://example.org/nothing.git"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
