"""Rollouts as an operator types them: to all hosts, stopped and taken back, refused before anything begins."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest
from support.local_fleet import LocalFleet
from support.shared_shop import migrated
from support.waiting import wait_until

from gitdeploy.fleet import rollout
from gitdeploy.fleet.journal import Member
from gitdeploy.fleet.session import Session
from gitdeploy.fleet.settings import Fleet, FleetConfig
from gitdeploy.fleet.settled import settle_all
from gitdeploy.state import DeploymentLock

pytestmark = pytest.mark.xdist_group("fleet-rollout")


def test_what_is_refused_before_any_host_is_asked_says_the_way(fleet: LocalFleet) -> None:
    assert "gitdeploy fleet upgrade TAG" in fleet.run("upgrade", "--resume", code=2)
    assert "Name the release." in fleet.run("upgrade", "--yes", code=2)
    assert "`gitdeploy fleet log` lists them." in fleet.run("log", "9", code=2)
    assert "There was no rollout yet." in fleet.run("log")
    assert "--serial must be a number of hosts" in fleet.run("upgrade", "v1", "--serial", "x", code=2)
    opens, closes = (datetime.now(UTC) + timedelta(hours=hours) for hours in (6, 7))
    (fleet.folder / "closed.yaml").write_text(f"inventory: hosts.ini\nwindow: '{opens:%H:%M}-{closes:%H:%M} UTC'\n")
    assert "--now" in fleet.run("upgrade", "v1.1.0", "--yes", "-f", "closed.yaml", code=7)
    (fleet.folder / "closed.yaml").write_text("inventory: hosts.ini\ndrain: nowhere.yml\n")
    assert "nowhere.yml, which is no file" in fleet.run("upgrade", "v1.1.0", "--yes", "-f", "closed.yaml", code=2)
    if os.geteuid() == 0:
        (fleet.folder / "drain.yml").write_text("[]\n")
        (fleet.folder / "drain.yml").chmod(0o666)
        (fleet.folder / "closed.yaml").write_text("inventory: hosts.ini\ndrain: drain.yml\n")
        said = fleet.run("upgrade", "v1.1.0", "--yes", "-f", "closed.yaml", code=2)
        assert "drain.yml can be changed by everybody, and root follows it." in said
    with DeploymentLock(fleet.folder / ".gitdeploy-fleet/lock").acquire(who="li", command="gitdeploy fleet upgrade v2"):
        assert "li runs `gitdeploy fleet upgrade v2`" in fleet.run("upgrade", "v1.1.0", code=5)
    assert "matches `web9`" in fleet.run("status", "--hosts", "web1,web9", code=2), "else web1 would be all"
    assert "matches `web9`" in fleet.run("upgrade", "v1.1.0", "--yes", "--canary", "web9", code=2)
    (fleet.folder / "primary.ini").write_text((fleet.folder / "hosts.ini").read_text() + "[gitdeploy_primary]\nweb1\n")
    said = fleet.run("rehearse", "v1.1.0", "-i", "primary.ini", "--hosts", "web2", code=2)
    assert "web1 is none of the app's hosts." in said
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
    assert "No host runs v1.2.0." in fleet.run("rollback", "--yes"), "and not the release before it"


# ---- hosts whose gitdeploy is a script: what the control host makes of them ----

SCRIPT = """\
#!/bin/sh
echo "$*" >> "$0.asked"
ended() { echo "{\\"state\\": \\"ended\\", \\"exit_code\\": $1, \\"document\\": $2}" > "$0.run-$GITDEPLOY_REQUEST"; }
good='{"status": "succeeded", "steps": [{"name": "migrate", "status": "done"}, {"name": "migrate-after", "status": "skipped"}]}' bad='{"error": {"message": "no"}}'
case "$*" in
  *" log --request "*) [ ! -e "$0.mute" ] || exec sleep 20; cat "$0.run-${*##* }" 2>&- || echo '{"state": "unknown"}';;
  *" log --limit 1000000"*) echo '[{"action": "upgrade", "status": "succeeded", "backup": "b", "to": {"tag": "v2", "version": ""}}]';;
  *" status"*) echo "{\\"tag\\": \\"$(cat "$0.tag")\\", \\"version\\": null, \\"second_half\\": true}";;
  *" config "*) echo "[]";;
  *" prepare "*) ended 0 "$good";;
  *" upgrade "*) [ ! -e "$0.mutes" ] || mv "$0.mutes" "$0.mute"; while [ -e "$0.holds" ]; do touch "$0.held"; sleep 0.1; done; if [ -e "$0.fails" ]; then ended 3 "$bad"; else echo v2 > "$0.tag"; ended 0 "$good"; fi;;
  *" restore "*) if [ -e "$0.stuck" ]; then ended 5 "$bad"; else echo v1 > "$0.tag"; ended 0 "$good"; fi;;
  *" contract "*) if [ -e "$0.half" ]; then ended 1 "$bad"; else ended 0 "$good"; fi;;
esac
"""
DRAIN = """\
- {command: "false", ignore_errors: true}
- {ping: , delegate_to: gone, ignore_unreachable: true, vars: {ansible_connection: ssh, ansible_port: 1}}
- block: [{command: "false"}]
  rescue: [{command: "true"}]
"""


def stand_ins(folder: Path, names: str) -> None:
    """Hosts of those NAMES in an inventory in FOLDER, on v1."""
    for name in names:
        (folder / name).write_text(SCRIPT)
        (folder / name).chmod(0o755)
        (folder / f"{name}.tag").write_text("v1\n")
    common = f"ansible_connection=local ansible_python_interpreter={sys.executable} gitdeploy_dir={folder}"
    lines = [f"{name} gitdeploy_executable={folder / name} {common}\n" for name in names]
    (folder / "hosts.ini").write_text("".join(lines))


UNDRAIN = """\
- {command: "test ! -e {{ gitdeploy_executable }}.out"}
- {file: {path: "{{ gitdeploy_executable }}.back", state: touch}}
- {shell: "mv {{ gitdeploy_dir }}/strays {{ gitdeploy_dir }}/c.tag || true"}
"""


def test_what_was_interrupted_is_done_whole_and_what_is_said_at_the_end_was_seen(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    stand_ins(tmp_path, "abc")
    (tmp_path / "undrain.yml").write_text(UNDRAIN)
    with (tmp_path / "hosts.ini").open("a") as inventory:  # where fleet.yaml knows nothing of it
        inventory.write(f"[all:vars]\ngitdeploy_undrain={tmp_path}/undrain.yml\n")
    text = "inventory: hosts.ini\nserial: 100%\ncanary: a\nsoak: 10m\n"
    (tmp_path / "fleet.yaml").write_text(text)
    file = ("-f", str(tmp_path / "fleet.yaml"))
    asked = {name: tmp_path / f"{name}.asked" for name in "abc"}

    # The host that migrates is the canary.
    said = fleet.stopped("upgrade", "v2", "--yes", *file, when="Watching for 10 min")
    assert "Interrupted between two steps." in said
    assert [asked[name].read_text().count(" upgrade ") for name in "abc"] == [1, 0, 0]

    (tmp_path / "b.holds").touch()
    more = ("--resume", "--soak", "1s", *file)
    said = fleet.stopped("upgrade", *more, when="c: upgraded", there=tmp_path / "b.held")
    assert said.index("Watching for 1.0 s") < said.index("Batch 2 of 2"), "what was not watched to its end"
    assert "Interrupted; b finishes by itself what it has begun." in said
    (tmp_path / "b.holds").unlink()
    wait_until(lambda: (tmp_path / "b.tag").read_text() == "v2\n", "b finishes by itself")

    (tmp_path / "b.out").touch()
    said = fleet.run("upgrade", *more, code=4)
    assert "b failed." in said, "it could not be put back into the balancer"
    assert "Watching" not in said
    (tmp_path / "b.out").unlink()
    (tmp_path / "strays").write_text("v1\n")
    said = fleet.run("upgrade", *more, code=4)
    assert (tmp_path / "b.back").exists()
    assert "c: v2 was live there, and v1 is now." in said
    assert "2 hosts run v2. Not seen on it: c." in said
    assert [asked[name].read_text().count(" upgrade ") for name in "abc"] == [1, 1, 1], "each run was found again"
    assert " contract " not in asked["a"].read_text(), "the old release still runs on c"


def test_what_did_not_come_to_an_end_is_asked_for_anew_and_nothing_is_believed_unseen(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    stand_ins(tmp_path, "abcd")
    (tmp_path / "drain.yml").write_text(DRAIN)
    text = "inventory: hosts.ini\nserial: [1, 100%]\non_failure: rollback-batch\n"
    (tmp_path / "fleet.yaml").write_text(text)
    (tmp_path / "drained.yaml").write_text(f"{text}drain: drain.yml\n")
    for name in ("c.fails", "d.stuck", "a.half"):
        (tmp_path / name).touch()
    file = ("-f", str(tmp_path / "fleet.yaml"))

    def states() -> str:
        return " ".join(host["state"] for host in fleet.asked("log", "1", *file)["hosts"])

    said = fleet.run("upgrade", "v2", "--yes", *file, code=4)
    assert states() == "upgraded reverted rolled_back locked"
    assert "On v2: a, d." in said, "d could not go back"
    (tmp_path / "c.fails").unlink()
    said = fleet.run("upgrade", "--resume", "-f", str(tmp_path / "drained.yaml"), code=4)
    assert [(tmp_path / f"{name}.tag").read_text() for name in "abcd"] == ["v2\n"] * 4, "b too, which went back"
    assert states() == "upgraded " * 3 + "upgraded"
    assert "The second half of its migrations failed: a: no." in said
    (tmp_path / "a.half").unlink()
    fleet.run("upgrade", "--resume", *file)
    asked = {name: (tmp_path / f"{name}.asked").read_text() for name in "abcd"}
    assert [asked[name].count(" upgrade ") for name in "abcd"] == [1, 2, 2, 1]
    assert asked["a"].count(" contract ") == 2

    away = (tmp_path / "hosts.ini").read_text()
    for name, more in (("a", ["--with-data"]), ("d", [])):  # which can't be reached
        (tmp_path / "away.ini").write_text(away.replace(f"{name} ", f"{name} ansible_host=127.0.0.1 ansible_port=1 ", 1).replace(
            f"/{name} ansible_connection=local", f"/{name} ansible_connection=ssh"))  # fmt: skip
        (tmp_path / "d.stuck").unlink(missing_ok=True)
        said = fleet.run(
            "rollback", "v2", "--yes", *file, "-i", str(tmp_path / "away.ini"), *more, code=1 if more else 4
        )
        if more:
            assert "a has the dump of the shared database" in said
        else:
            assert "d could not be rolled back." in said
            assert "The shared database stays as the migration of v2 left it" in said
    assert [(tmp_path / f"{name}.tag").read_text() for name in "abcd"] == [*["v1\n"] * 3, "v2\n"]


def test_a_host_that_hangs_in_the_middle_is_missed_and_found_again(tmp_path: Path) -> None:
    pytest.importorskip("ansible_runner")
    stand_ins(tmp_path, "a")
    (tmp_path / "a.mutes").touch()
    (tmp_path / "undrain.yml").write_text(UNDRAIN)
    asked = Fleet(tmp_path, FleetConfig(inventory=("hosts.ini",), silence=5, undrain="undrain.yml"))
    with Session.begin(asked, performer="li", command="gitdeploy fleet upgrade") as session:
        one = rollout.begin(session, "upgrade", "v2", [Member("a", 0, "", "waiting", was="v1")], {})
        session.play(one, "go_live", "Upgrade", ["a"], "upgrading")
        missed = session.member(one, "a")
        assert (missed.state, missed.exit_code) == ("unreachable", None), missed.message
        assert missed.message.startswith("It said nothing for 5.0 s")
        (tmp_path / "a.mute").unlink()
        assert settle_all(session, one) == ["a"], "it has to be put back into the balancer"
        assert session.member(one, "a").state == "upgrading"


def test_a_host_where_deployments_are_paused_is_named_and_nothing_begins(fleet: LocalFleet) -> None:
    there = ["-C", str(fleet.apps[1])]
    fleet.sample.gitdeploy(*there, "lock", "-m", "closing")
    assert "web2: paused by" in fleet.run("prepare", "v1.1.0", code=5)
    fleet.sample.gitdeploy(*there, "unlock")
    assert fleet.versions() == ["1.0.0"] * 3
