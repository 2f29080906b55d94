"""`service.command`: the restart of whatever is not a unit, no program and no container."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from support import needs
from support.waiting import wait_until

from gitdeploy.config import ServiceConfig
from gitdeploy.services import ServiceFailed, from_dict, open_services, shares_cgroup_with


def test_nothing_configured_means_nothing_to_restart(tmp_path: Path) -> None:
    assert open_services(ServiceConfig(), tmp_path) == ()


def test_the_command_runs_in_the_checkout_and_its_words_are_told(tmp_path: Path) -> None:
    (service,) = open_services(ServiceConfig(command="echo restarting; touch tmp-restart"), tmp_path)
    lines: list[str] = []
    service.restart(lines.append)
    assert lines == ["restarting"]
    assert (tmp_path / "tmp-restart").exists()
    assert service.problems() == []
    assert service.is_up() is None
    assert not shares_cgroup_with(service)


def test_what_the_command_starts_lives_on(tmp_path: Path) -> None:
    (service,) = open_services(ServiceConfig(command="sleep 60 >/dev/null 2>&1 & echo $! > pid"), tmp_path)
    service.restart()
    pid = int((tmp_path / "pid").read_text())
    try:
        time.sleep(0.1)
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.kill(pid, 9)


@pytest.mark.parametrize(
    ("command", "in_vain"),
    [
        ("sleep 0.2 >/dev/null 2>&1 &", True),
        ("(sleep 0.2; sleep 30) >/dev/null 2>&1 & echo $! > pid", False),
        ("(while true; do sleep 0.1; done) >/dev/null 2>&1 & echo $! > pid", False),
        ("true", False),  # what it told to start the app can't be seen from here
    ],
    ids=["ended", "still runs", "is started again", "somewhere else"],
)
def test_what_it_started_has_ended_and_nothing_can_come_any_more(tmp_path: Path, command: str, in_vain: bool) -> None:
    (service,) = open_services(ServiceConfig(command=command), tmp_path)
    service.restart()
    try:
        if in_vain:
            wait_until(lambda: service.gave_up() is not None, seconds=10)
            assert "has ended (process " in str(service.gave_up())
        else:
            end = time.monotonic() + 2.6
            while time.monotonic() < end:
                assert service.gave_up() is None
                time.sleep(0.2)
    finally:
        if (tmp_path / "pid").exists():
            os.killpg(os.getpgid(int((tmp_path / "pid").read_text())), 9)


def test_a_failing_command_says_its_code_and_last_line(tmp_path: Path) -> None:
    (service,) = open_services(ServiceConfig(command="echo one; echo no such daemon >&2; exit 7"), tmp_path)
    with pytest.raises(ServiceFailed, match=r"failed \(exit code 7\): no such daemon"):
        service.restart()
    (slow,) = open_services(ServiceConfig(command="sleep 60", timeout=0.3), tmp_path)
    with pytest.raises(ServiceFailed, match=r"`sleep 60` failed \(not done after 0\.3 s\)"):
        slow.restart()


def test_it_can_be_restarted_by_a_later_process_from_the_journal(tmp_path: Path) -> None:
    (service,) = open_services(ServiceConfig(command="touch again", timeout=5), tmp_path)
    same = from_dict(service.as_dict())
    same.start()
    assert (tmp_path / "again").exists()
    assert same.as_dict() == service.as_dict()
    with pytest.raises(ServiceFailed, match="nothing says how to stop it"):
        same.stop()


APP = "setsid sleep 60 >/dev/null 2>&1 & echo $! > pid"
KILL = "kill $(cat pid); rm pid"


@pytest.mark.parametrize("command", [None, f"{KILL}; {APP}"], ids=["stop and start", "a command for it"])
def test_it_is_stopped_and_started_and_its_process_is_known(tmp_path: Path, command: str | None) -> None:
    (service,) = open_services(ServiceConfig(command=command, stop=KILL, start=APP, pid="pid"), tmp_path)
    assert "does not hold a process id" in str(service.is_up())
    service.start()
    try:
        (first,) = service.processes()
        assert service.is_up() is None
        service.start()
        assert service.processes() == (first,), "it ran already"
        service.restart()
        (second,) = from_dict(service.as_dict()).processes()
        assert second != first
        assert not first.alive()
    finally:
        service.stop()
    assert not second.alive()
    service.stop()  # nothing runs any more


def test_one_that_does_not_stop_is_said(tmp_path: Path) -> None:
    (service,) = open_services(ServiceConfig(stop="true", start=APP, pid="pid", timeout=0.3), tmp_path)
    service.start()
    with pytest.raises(ServiceFailed, match=r"0\.3 s after `true`, process \d+ still runs\."):
        service.stop()
    os.kill(service.processes()[0].pid, 9)


def test_several_kinds_are_restarted_in_turn(tmp_path: Path) -> None:
    config = ServiceConfig(systemd=("web", "worker"), supervisor="queue", command="./restart.sh")
    assert [service.name for service in open_services(config, tmp_path)] == [
        "web.service",
        "worker.service",
        "queue",
        "./restart.sh",
    ]


@needs.another_user
def test_root_runs_the_command_as_the_checkouts_owner(tmp_path: Path) -> None:
    needs.let_others_in(tmp_path)
    root = tmp_path / "app"
    root.mkdir()
    subprocess.run(["chown", "65534:65534", str(root)], check=True)
    (service,) = open_services(ServiceConfig(command="id -u > who"), root)
    service.restart()
    assert (root / "who").read_text() == "65534\n"
    assert (root / "who").stat().st_uid == 65534
