"""A fleet of real hosts: each an sshd with a network, processes and files of its own, and one database for all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import hosts_of_a_fleet
from support.hosts_of_a_fleet import Host, Hosts
from support.sample import Sample
from support.shared_shop import make_database, make_releases, migrated
from support.waiting import wait_until

pytest.importorskip("ansible_runner")
pytestmark = pytest.mark.xdist_group("fleet-hosts")


class Fleet:
    """The shop on three hosts, and the folder of the control host."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.shared = hosts.folder / "shared"
        self.database = self.shared / "shop.sqlite3"
        make_database(self.database)
        sample = Sample(self.shared / "sample", venv=False)
        make_releases(sample, database="/srv/shared/shop.sqlite3", place="/srv/shared", python="/usr/bin/python3")
        sample.git("remote", "set-url", "origin", "file:///srv/shared/sample/remote")
        for host in hosts.hosts:
            shutil.copytree(sample.app, host.app, symlinks=True)
        self.folder.mkdir()
        (self.folder / "hosts.ini").write_text(hosts.inventory())
        (self.folder / "fleet.yaml").write_text("inventory: hosts.ini\nserial: [1, 100%]\nreach: 60s\n")

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gitdeploy", "fleet", *words]

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.words(*words), cwd=self.folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.words(*words), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def versions(self) -> list[str]:
        return [(host.app / "VERSION").read_text() for host in self.hosts.hosts]

    def said(self, word: str, host: Host) -> Path:
        """The file by which a hook of HOST is held, or says that it is there."""
        return self.shared / f"{word}-{host.name}-app"

    def states(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.folder / ".gitdeploy-fleet/rollouts.db")) as db:
            return dict(db.execute("SELECT host, state FROM member WHERE rollout=(SELECT max(id) FROM rollout)"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    hosts_of_a_fleet.probe()
    folder = tmp_path_factory.mktemp("fleet")
    with hosts_of_a_fleet.hosts(folder / "hosts", 3) as hosts:
        yield Fleet(hosts, folder / "control")


def playbooks(folder: Path) -> list[str]:
    """Command lines of the ansible-playbooks that run for the fleet in FOLDER."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            try:
                line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if "gitdeploy.fleet.go_live" in line and str(folder) in line:
                found.append(line)
    return found


def test_a_rollout_whose_control_host_is_killed_and_whose_host_is_lost_comes_to_its_end(fleet: Fleet) -> None:
    first, third = fleet.hosts[1], fleet.hosts[3]
    fleet.said("hold", first).touch()
    control = fleet.start("upgrade", "v1.1.0", "--yes")
    wait_until(fleet.said("reached", first).exists, "the first host in the middle of its upgrade", seconds=90)
    assert playbooks(fleet.folder)
    assert fleet.versions() == ["1.1.0", "1.0.0", "1.0.0"], "the others wait for the one that migrates"
    os.kill(control.pid, signal.SIGKILL)
    control.wait()
    wait_until(lambda: not playbooks(fleet.folder), "no Ansible without us", seconds=20)
    assert fleet.states() == {"web1": "upgrading", "web2": "prepared", "web3": "prepared"}

    (rollout,) = json.loads(fleet.run("log", "--json"))
    assert rollout["status"] == "interrupted"

    # The host goes on by itself; the link of another one is cut while it is in the middle.
    fleet.said("hold", first).unlink()
    fleet.said("hold", third).touch()
    control = fleet.start("upgrade", "--resume")
    wait_until(fleet.said("reached", third).exists, "the third host in the middle of its upgrade", seconds=90)
    third.disconnect()
    wait_until(lambda: fleet.states()["web3"] == "unreachable", "the host is missed", seconds=60)
    fleet.said("hold", third).unlink()
    assert not (fleet.shared / "after").exists()
    wait_until(lambda: fleet.states()["web2"] == "upgraded", "the other host of the batch", seconds=60)
    third.connect()
    assert control.wait(timeout=90) == 0
    assert fleet.versions() == ["1.1.0"] * 3
    assert fleet.states() == dict.fromkeys(("web1", "web2", "web3"), "upgraded")
    assert migrated(fleet.database) == (["0001_initial", "0002_mood"], ["app@web1"]), "one host migrated, once"
    assert (fleet.shared / "after").read_text() == "web1 1.1.0\n", (
        "the second half ran once, when all hosts were through"
    )
    assert json.loads(fleet.run("log", "1", "--json"))["status"] == "succeeded"


def test_a_host_that_was_down_is_named_and_brought_up_later(fleet: Fleet) -> None:
    third = fleet.hosts[3]
    third.disconnect()
    try:
        refused = fleet.run("prepare", "v1.2.0", "--json", code=1)
        assert json.loads(refused)["error"]["message"].startswith("web3: ")
        done = json.loads(fleet.run("upgrade", "v1.2.0", "--yes", "--skip-unreachable", "--serial", "100%", "--json"))
        assert [host["state"] for host in done["hosts"]] == ["upgraded", "upgraded", "left_out"]
        assert "Not seen on it: web3" in done["message"]
    finally:
        third.connect()
    assert fleet.versions() == ["1.2.0", "1.2.0", "1.1.0"]
    shown = fleet.run("status")
    assert "Mixed versions: 2 on v1.2.0, 1 on v1.1.0." in shown
    assert "Behind: web3." in shown
    fleet.run("upgrade", "--only-behind", "--yes")
    assert fleet.versions() == ["1.2.0"] * 3
    assert migrated(fleet.database)[1] == ["app@web1", "app@web1"]

    done = json.loads(fleet.run("rollback", "v1.2.0", "--yes", "--json"))
    assert {host["state"] for host in done["hosts"]} == {"reverted"}
    assert fleet.versions() == ["1.1.0"] * 3, "each to what it ran before"
