"""Never killed by its own restart: the upgrade is started from the app itself, and goes on to the end."""

from __future__ import annotations

import json

import pytest
from support.machine_app import ROOT, MachineApp
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

# What the app's request handler starts: nothing but the command that a person would type.
UPGRADE = f'#!/bin/sh\nexec gitdeploy -C {ROOT} upgrade "$1" >/tmp/page.log 2>&1\n'


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    made = MachineApp(machine_for_app)
    made.publish("v1.0.0")
    made.publish("v2.0.0", greeting="2.0")
    made.publish("v3.0.0", body="def health():\n    return '500 Sick'\n")
    made.install("v1.0.0")
    made.allow()
    machine_for_app.put("/usr/local/bin/upgrade-app", UPGRADE, 0o755)
    return made


def test_an_upgrade_started_by_a_request_of_the_app_restarts_the_app_and_ends(app: MachineApp) -> None:
    app.bring_to("v1.0.0")
    before, number = app.ask(), app.next_deployment()
    app.ask("/upgrade/v2.0.0")
    ended = app.wait_deployment(number)
    assert ended["status"] == "succeeded"
    assert [step["name"] for step in ended["steps"]][-3:] == ["switch", "restart", "health"]
    assert any("otrs-web runs v2.0.0." in line for line in ended["log"])
    now = app.ask()
    assert (now["version"], now["greeting"]) == ("2.0.0", "2.0")
    assert now["pid"] != before["pid"]


def test_one_that_fails_is_rolled_back_there_too_and_the_log_is_whole(app: MachineApp) -> None:
    app.bring_to("v2.0.0")
    number = app.next_deployment()
    app.ask("/upgrade/v3.0.0")
    ended = app.wait_deployment(number)
    assert ended["status"] == "rolled_back"
    assert "500" in ended["error"]["message"]
    assert app.version() == "2.0.0"


def test_a_shell_inside_the_unit_sees_the_log_and_the_exit_code(app: MachineApp) -> None:
    """Nothing is left to upgrade here, since the restart would end that shell."""
    app.bring_to("v2.0.0")
    done = app.machine.inside(
        "sh", "-c",
        "echo $$ > /sys/fs/cgroup/system.slice/otrs-web.service/cgroup.procs; "
        f"runuser -u otrs -- gitdeploy -C {ROOT} upgrade v2.0.0",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "runs in the unit gitdeploy-" in done.stderr
    assert "otrs-web runs v2.0.0 already." in done.stderr
    done = app.machine.inside(
        "sh", "-c",
        "echo $$ > /sys/fs/cgroup/system.slice/otrs-web.service/cgroup.procs; "
        f"runuser -u otrs -- gitdeploy --json -C {ROOT} upgrade v9.9.9",
        check=False,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["error"]["exit_code"] == done.returncode != 0
    assert "v9.9.9" in document["error"]["message"]


def test_without_a_way_out_it_is_refused_and_says_how(app: MachineApp) -> None:
    app.bring_to("v2.0.0")
    app.machine.inside("loginctl", "disable-linger", "otrs")
    app.machine.inside("systemctl", "stop", f"user@{app.uid}")
    count = len(app.deployments())
    app.ask("/upgrade/v3.0.0")
    said = app.machine.wait_for("grep", "-A1", "Error", "/tmp/page.log")
    assert "runs inside the service that it has to restart" in said
    assert "loginctl enable-linger" in said
    assert len(app.deployments()) == count
    assert app.version() == "2.0.0"
    app.allow()


def test_the_page_follows_by_a_handle(app: MachineApp) -> None:
    """What the web page does: starts, has the id at once, and reads how it ended."""
    app.bring_to("v2.0.0")
    program = (
        "import json, sys\n"
        "from gitdeploy import App\n"
        f"app = App.open({ROOT!r})\n"
        "started = app.launch(['upgrade', 'v1.0.0', '--allow-downgrade'], performer='alice\\x1b[31m, on the page', request='ab' * 16)\n"
        "number = started.deployment(wait=30)\n"
        "lines = []\n"
        "outcome = started.follow(lambda level, text: lines.append(text))\n"
        "print(json.dumps([number, outcome.exit_code, outcome.document['status'], len(lines), started.where]))\n"
    )
    number, code, status, lines, where = json.loads(app.user("gitdeploy-python", "-c", program).stdout)
    assert (code, status) == (0, "succeeded")
    assert lines > 5
    assert where.startswith("the unit gitdeploy-")
    row = app.deployments()[0]
    assert row["id"] == number
    assert row["performer"] == "alice, on the page"
    assert app.version() == "1.0.0"
