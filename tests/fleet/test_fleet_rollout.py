"""Rollouts as an operator types them: to all hosts, stopped and taken back, refused before anything begins."""

from __future__ import annotations

from socket import gethostname

import pytest
from support.local_fleet import LocalFleet
from support.shared_shop import migrated

from gitdeploy.state import DeploymentLock

pytestmark = pytest.mark.xdist_group("fleet-rollout")


def test_what_is_refused_before_any_host_is_asked_says_the_way(fleet: LocalFleet) -> None:
    assert "gitdeploy fleet upgrade TAG" in fleet.run("upgrade", "--resume", code=2)
    assert "Name the release." in fleet.run("upgrade", "--yes", code=2)
    assert "`gitdeploy fleet log` lists them." in fleet.run("log", "9", code=2)
    assert "There was no rollout yet." in fleet.run("log")
    assert "--serial must be a number of hosts" in fleet.run("upgrade", "v1", "--serial", "x", code=2)
    (fleet.folder / "closed.yaml").write_text("inventory: hosts.ini\nwindow: '03:00-03:01 Pacific/Kiritimati'\n")
    assert "--now" in fleet.run("upgrade", "v1.1.0", "--yes", "-f", "closed.yaml", code=7)
    (fleet.folder / "closed.yaml").write_text("inventory: hosts.ini\ndrain: nowhere.yml\n")
    assert "nowhere.yml, which is no file" in fleet.run("upgrade", "v1.1.0", "--yes", "-f", "closed.yaml", code=2)
    with DeploymentLock(fleet.folder / ".gitdeploy-fleet/lock").acquire(who="li", command="gitdeploy fleet upgrade v2"):
        assert "li runs `gitdeploy fleet upgrade v2`" in fleet.run("upgrade", "v1.1.0", code=5)
    assert "There is no inventory" in fleet.run("status", "-i", "nowhere.ini", code=2)
    (fleet.folder / "empty.ini").write_text("[web]\n")
    assert "`hosts` in fleet.yaml" in fleet.run("status", "-i", "empty.ini", "--hosts", "web", code=2)


def test_where_one_fails_all_go_back_and_what_that_means_for_the_data_is_said(fleet: LocalFleet) -> None:
    (fleet.folder / f"breaks-{gethostname()}-web3").touch()
    more = ["--serial", "1", "--serial", "100%", "--on-failure", "rollback-all"]
    said = fleet.run("upgrade", "v1.2.0", "--yes", *more, code=3)
    assert fleet.versions() == ["1.0.0"] * 3
    assert "web3: Wanted v1.2.0, failed at post-deploy" in said
    assert "The shared database stays as the migration of v1.2.0 left it" in said
    assert "on web1:  gitdeploy restore 20" in said
    assert migrated(fleet.database) == (["0001_initial", "0002_mood", "0003_gone"], [f"web1@{gethostname()}"])
    (rollout,) = fleet.asked("log")
    assert rollout["status"] == "rolled_back"
    states = [(host["host"], host["state"], host["batch"]) for host in fleet.asked("log", "1")["hosts"]]
    assert states == [("web1", "reverted", 0), ("web2", "reverted", 1), ("web3", "rolled_back", 1)]
    assert "hooks/post-deploy" in fleet.run("log", "1", "web3")


def test_a_host_where_deployments_are_paused_is_named_and_nothing_begins(fleet: LocalFleet) -> None:
    there = ["-C", str(fleet.apps[1])]
    fleet.sample.gitdeploy(*there, "lock", "-m", "closing")
    assert "web2: paused by" in fleet.run("prepare", "v1.1.0", code=5)
    fleet.sample.gitdeploy(*there, "unlock")
    assert fleet.versions() == ["1.0.0"] * 3
