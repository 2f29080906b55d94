"""Upgrades of an app that runs in a real unit, with visitors: what they meet, and what the operator reads when it fails."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from support.machine_app import ROOT, SETTINGS, SOCKET, SOCKET_UNIT, MachineApp
from support.sample import Program
from support.waiting import wait_until
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

SOAK = SETTINGS + "  soak: 3\n"
CAREFUL = (
    SETTINGS.replace("timeout: 20", "timeout: 20, stop_for_switch: true") + "maintenance: {file: run/maintenance}\n"
)

# What the migration saw: whether the service was down and the maintenance file was there.
LOOK = """#!/bin/sh
echo "$(systemctl is-active otrs-web.service) $(test -e run/maintenance && echo closed || echo open)" > /tmp/seen
"""
SLOW = LOOK + "sleep 30\n"


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    made = MachineApp(machine_for_app)
    # Needed to start, and not part of any release: a database that a migration can spoil.
    made.files = {"gunicorn.conf.py": "import os\nassert os.path.exists('run/database'), 'no database'\n"}
    made.publish("v1.0.0")
    made.publish("v1.1.0", greeting="2.0")
    made.settings = SOAK
    crash = "import threading, os, signal\nthreading.Timer(1.5, os.kill, (os.getppid(), signal.SIGKILL)).start()\n"
    made.publish("v2.0.0", body=crash)
    made.settings = SETTINGS
    made.publish("v2.1.0", body="def health():\n    return '500 Sick'\n")
    dies = "import flask_migrate_is_missing\n"
    made.publish("v2.2.0", body=f"if os.environ.get('GITDEPLOY_STAGE') != 'check':\n    {dies}")
    made.publish("v2.2.1", body=dies)
    never = {"gunicorn.conf.py": "import time\ndef on_starting(server): time.sleep(600)\n"}
    made.publish("v2.3.0", files=never)
    failing = Program("#!/bin/sh\necho 'column otrs.queue already exists' >&2\nexit 3\n")
    made.publish("v2.4.0", files={"hooks/migrate": failing})
    spoiled = Program("#!/bin/sh\nmv run/database run/spoiled\nexit 0\n")
    made.publish("v2.5.0", files={"hooks/migrate": spoiled})
    made.settings = CAREFUL
    made.publish("v3.0.0")
    made.publish("v3.1.0", files={"hooks/migrate": Program(LOOK)})
    made.publish("v3.2.0", files={"hooks/migrate": Program(LOOK + "exit 1\n")})
    made.publish("v3.3.0", files={"hooks/migrate": Program(SLOW)})
    unit = SOCKET_UNIT.replace("TimeoutStopSec=5", "TimeoutStopSec=5\nTimeoutStartSec=4")
    made.prepare = "mkdir run; touch run/database"
    made.install("v1.0.0", unit, SOCKET)
    return made


def rolled_back(app: MachineApp, tag: str) -> str:
    """What the operator reads in the end, without the figures of time."""
    live = app.version()
    done = app.gitdeploy("upgrade", tag, user=None, code=3)
    assert app.version() == live
    return done.err


def test_an_upgrade_under_traffic_fails_no_request(app: MachineApp) -> None:
    app.bring_to("v1.0.0")
    counts: Counter[str] = Counter()
    with app.traffic(counts):
        app.gitdeploy("upgrade", "v1.1.0", user=None)
    assert set(counts) == {"1.0.0", "1.1.0"}, counts
    assert min(counts.values()) >= 5


def test_a_failed_upgrade_and_its_way_back_fail_no_request_either(app: MachineApp) -> None:
    """Whoever came in while it was live met the failed release, and nobody an error."""
    app.bring_to("v1.1.0")
    counts: Counter[str] = Counter()
    with app.traffic(counts):
        said = rolled_back(app, "v2.1.0")
    assert set(counts) <= {"1.1.0", "2.1.0"}, counts
    assert "failed at health: http://127.0.0.1:8000/health: 500 instead of 200" in said
    assert (
        "otrs-web runs v1.1.0 again (http://127.0.0.1:8000/health: 200, version 1.1.0, twice); nothing was lost."
        in said
    )


def test_one_that_crashes_after_it_had_been_well(app: MachineApp) -> None:
    said = rolled_back(app, "v2.0.0")
    assert "failed at health: otrs-web.service crashed" in said
    assert "after it had been healthy" in said


def test_one_that_does_not_import_says_what_the_service_said(app: MachineApp) -> None:
    said = rolled_back(app, "v2.2.0")
    assert "otrs-web.service said: ModuleNotFoundError: No module named 'flask_migrate_is_missing'" in said


def test_one_that_does_not_import_never_goes_live(app: MachineApp) -> None:
    live = app.version()
    done = app.gitdeploy("upgrade", "v2.2.1", user=None, code=1)
    assert (
        "v2.2.1 would not start: ModuleNotFoundError: No module named 'flask_migrate_is_missing' (gunicorn wsgi)"
        in done.err
    )
    assert app.version() == live


def test_one_that_never_becomes_ready(app: MachineApp) -> None:
    said = rolled_back(app, "v2.3.0")
    assert "failed at restart: otrs-web.service could not be restarted" in said


def test_one_whose_migration_fails(app: MachineApp) -> None:
    said = rolled_back(app, "v2.4.0")
    assert "failed at migrate: hooks/migrate failed (exit code 3): column otrs.queue already exists" in said


def test_one_after_which_the_old_release_does_not_start_either(app: MachineApp) -> None:
    app.bring_to("v1.1.0")
    done = app.gitdeploy("upgrade", "v2.5.0", user=None, code=4)
    assert "Files and venv are those of v1.1.0 again, but it does not run" in done.err
    assert "AssertionError: no database" in done.err
    assert "then: gitdeploy recover" in done.err
    app.user("mv", "run/spoiled", "run/database")
    done = app.gitdeploy("recover", user=None)
    assert "otrs-web runs v1.1.0 again" in done.text
    assert app.version() == "1.1.0"
    assert json.loads(app.gitdeploy("--json", "status").out)["interrupted"] is False


# ---- down for the switch, closed to visitors ----


@pytest.fixture(scope="module")
def careful(app: MachineApp) -> MachineApp:
    """The app with a release live that asks for both. Its socket is gone: the next visitor would start the service."""
    app.bring_to("v3.0.0")
    app.machine.inside("systemctl", "stop", "otrs-web.socket")
    app.machine.unit(
        "otrs-web.service",
        app.unit_text.replace("Requires=otrs-web.socket\n", "").replace(" wsgi", " -b 127.0.0.1:8000 wsgi"),
    )
    app.start()
    return app


def seen(app: MachineApp) -> str:
    return app.machine.inside("cat", "/tmp/seen").stdout.strip()


def is_open(app: MachineApp) -> bool:
    return app.machine.inside("test", "-e", f"{ROOT}/run/maintenance", check=False).returncode != 0


def test_it_is_down_and_closed_while_it_migrates_and_open_afterwards(careful: MachineApp) -> None:
    careful.bring_to("v3.0.0")
    careful.gitdeploy("upgrade", "v3.1.0", user=None)
    assert seen(careful) == "inactive closed"
    assert is_open(careful)
    assert careful.version() == "3.1.0"


def test_it_is_open_again_after_a_roll_back(careful: MachineApp) -> None:
    rolled_back(careful, "v3.2.0")
    assert seen(careful) == "inactive closed"
    assert is_open(careful)


def started_and_migrating(app: MachineApp) -> None:
    app.machine.inside("rm", "-f", "/tmp/seen")
    app.machine.inside("systemd-run", "--collect", "--unit=the-upgrade", "gitdeploy", "-C", ROOT, "upgrade", "v3.3.0")
    app.machine.wait_for("test", "-s", "/tmp/seen", seconds=30)
    assert seen(app) == "inactive closed"


def test_it_is_open_again_after_a_kill(careful: MachineApp) -> None:
    live = careful.version()
    started_and_migrating(careful)
    careful.machine.inside("systemctl", "kill", "-s", "KILL", "the-upgrade")
    careful.machine.wait_for("sh", "-c", "! systemctl is-active -q the-upgrade")
    assert not is_open(careful)
    careful.gitdeploy("recover", user=None)
    assert is_open(careful)
    assert careful.version() == live


def test_it_is_open_again_after_a_power_cut_before_the_app_is_up(careful: MachineApp) -> None:
    live = careful.version()
    careful.gitdeploy("recover", "--install-unit", user=None)
    careful.machine.inside("systemctl", "enable", "otrs-web")
    started_and_migrating(careful)
    careful.machine.power_cut()
    careful.machine.boot()
    careful.machine.wait_for("curl", "-sf", "http://127.0.0.1:8000/health")
    assert careful.version() == live
    assert is_open(careful)
    wait_until(lambda: not json.loads(careful.gitdeploy("--json", "status").out)["interrupted"], seconds=20, every=0.2)
    assert careful.deployments()[0]["status"] == "rolled_back"
