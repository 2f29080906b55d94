"""An app that is not a systemd unit: a plain process with a pid file, a supervisor program, a command."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from support.machine_app import PORT, ROOT, SETTINGS, MachineApp
from support.sample import Program
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

GUNICORN = f"{ROOT}/venv/bin/python -m gunicorn -w 2 -b 127.0.0.1:{PORT} --pid run/pid"
START = f"#!/bin/sh\ncd {ROOT}\nmkdir -p run\n{GUNICORN} --daemon --capture-output --log-file run/log wsgi\n"
# Until the process is gone: its file goes earlier, and one that still listens keeps the next one from its port.
STOP = "pid=$(cat run/pid); kill $pid; for i in $(seq 400); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done"
RESTART = f"#!/bin/sh\n{STOP}\n. {ROOT}/start.sh\n"

SUPERVISOR = f"""
[program:otrs-web]
command={ROOT}/venv/bin/python -m gunicorn -w 2 -b 127.0.0.1:{PORT} wsgi
directory={ROOT}
user=otrs
startsecs=1
killasgroup=true
stopwaitsecs=3
redirect_stderr=true
"""


def settings(service: str) -> str:
    return SETTINGS.replace("service: {systemd: otrs-web, timeout: 20}", f"service: {{{service}, timeout: 10}}")


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    made = MachineApp(machine_for_app)
    made.files = {"start.sh": Program(START), "restart.sh": Program(RESTART)}
    sick = "def health():\n    print('no route to the queue', flush=True)\n    return '500 Sick'\n"
    for number, service in enumerate(
        (
            "pidfile: run/pid, signal: HUP, log: run/log",
            "pidfile: run/pid, signal: USR2",
            f"command: ./restart.sh, log: {ROOT}/run/log",
            "supervisor: otrs-web",
        ),
        1,
    ):
        made.settings = settings(service)
        made.publish(f"v{number}.0.0")
        made.publish(f"v{number}.1.0")
        made.publish(f"v{number}.2.0", body=sick)
        made.publish(f"v{number}.4.0", body="import missing_in_this_release\n")
    made.checkout("v1.0.0")
    made.user("./start.sh")
    made.ask()
    return made


def live(app: MachineApp, tag: str) -> None:
    """TAG is live and serves, whatever was before."""
    app.gitdeploy("upgrade", tag, "--no-restart", "--discard-local-changes", code=None)
    app.user("sh", "-c", STOP, check=False)
    app.user("./start.sh")
    assert app.version() == tag.removeprefix("v")


def up_and_back(app: MachineApp, major: int, user: str | None = "otrs") -> str:
    """N.1.0 is good; N.2.0 is not, and its way back is; N.4.0 never goes live. What was said of the failure."""
    app.gitdeploy("upgrade", f"v{major}.1.0", user=user)
    assert app.version() == f"{major}.1.0"
    done = app.gitdeploy("upgrade", f"v{major}.2.0", user=user, code=3)
    assert "500 instead of 200" in done.err
    assert app.version() == f"{major}.1.0"
    dies = app.gitdeploy("upgrade", f"v{major}.4.0", user=user, code=1)
    assert "would not start: ModuleNotFoundError: No module named 'missing_in_this_release' (gunicorn wsgi)" in dies.err
    assert app.version() == f"{major}.1.0"
    return done.err


def test_hup_makes_new_workers_and_fails_no_request(app: MachineApp) -> None:
    master = app.user("cat", "run/pid").stdout
    counts: Counter[str] = Counter()
    with app.traffic(counts):
        said = up_and_back(app, 1)
    assert "run/pid said: no route to the queue" in said
    assert set(counts) <= {"1.0.0", "1.1.0", "1.2.0"}, counts
    assert app.user("cat", "run/pid").stdout == master


def test_usr2_starts_a_second_gunicorn_and_fails_no_request(app: MachineApp) -> None:
    live(app, "v2.0.0")
    master = app.user("cat", "run/pid").stdout
    counts: Counter[str] = Counter()
    with app.traffic(counts):
        up_and_back(app, 2)
    assert set(counts) <= {"2.0.0", "2.1.0", "2.2.0"}, counts
    assert app.user("cat", "run/pid").stdout != master


def test_a_pid_file_that_names_somebody_else_gets_no_signal(app: MachineApp) -> None:
    kept = app.user("cat", "run/pid").stdout
    roots = app.machine.inside("systemctl", "show", "-p", "MainPID", "--value", "systemd-journald").stdout.strip()
    for text, says in {
        roots: "which is root's",
        "1": "no process id",
        "0": "no process id",
        "-1": "no process id",
    }.items():
        app.user("sh", "-c", f"echo {text} > run/pid")
        done = app.gitdeploy("upgrade", "v3.0.0", code=1)
        assert says.replace("no process id", "does not hold a process id") in done.err
    app.user("sh", "-c", f"echo {kept.strip()} > run/pid")


def test_a_command_restarts_it(app: MachineApp) -> None:
    live(app, "v3.0.0")
    assert "./restart.sh said: no route to the queue" in up_and_back(app, 3)


def recovers_while_it_is_being_stopped(app: MachineApp) -> None:
    """What a killed `supervisorctl restart` leaves: supervisor starts nothing that it is still stopping, and says so at once."""
    app.files["hooks/post-deploy"] = Program("#!/bin/sh\nkill -9 $PPID\n")
    app.settings = settings("supervisor: otrs-web")
    app.publish("v4.3.0")
    del app.files["hooks/post-deploy"]
    for _ in range(2):
        app.gitdeploy("upgrade", "v4.3.0", user=None, code=None)
        assert app.version() == "4.3.0"
        hangs = "kill -STOP $(supervisorctl pid otrs-web); supervisorctl stop otrs-web >/dev/null & sleep 0.5"
        stopping = app.machine.inside("sh", "-c", f"{hangs}; supervisorctl status otrs-web", check=False)
        assert "STOPPING" in stopping.stdout
        done = app.gitdeploy("recover", user=None)
        assert "otrs-web runs v4.1.0 again" in done.out
        assert app.version() == "4.1.0"


def test_a_supervisor_program_is_restarted_by_root_and_by_who_may_use_its_socket(app: MachineApp) -> None:
    live(app, "v4.0.0")
    app.user("sh", "-c", STOP)  # to its end: it would answer in place of the next one
    app.machine.put("/etc/supervisor/conf.d/otrs.conf", SUPERVISOR)
    app.machine.put(f"{ROOT}/deploy.yaml", settings("supervisor: otrs-web"), owner=app.uid)
    down = app.gitdeploy("plan", "v4.1.0", user=None, code=1).out
    assert "supervisord is not running, so nothing can be told of otrs-web" in down
    assert "systemctl start supervisor" in down
    app.machine.inside("systemctl", "start", "supervisor")
    app.machine.wait_for("curl", "-sf", f"http://127.0.0.1:{PORT}/health")
    app.machine.wait_for("sh", "-c", "supervisorctl status otrs-web | grep RUNNING")
    said = up_and_back(app, 4, user=None)
    assert "otrs-web said: no route to the queue" in said
    recovers_while_it_is_being_stopped(app)
    refused = app.gitdeploy("upgrade", "v4.0.0", "--allow-downgrade", code=1)
    assert "may otrs use its socket?" in refused.err
    app.machine.inside("chown", "otrs", "/var/run/supervisor.sock")
    plan = json.loads(app.gitdeploy("--json", "plan", "v4.0.0", "--allow-downgrade").out)
    assert plan["problems"] == []
    other = (
        SUPERVISOR.replace("[program:otrs-web]", "[program:roots]")
        .replace("user=otrs\n", "")
        .replace(str(PORT), "8001")
    )
    app.machine.put("/etc/supervisor/conf.d/roots.conf", other)
    app.machine.inside("supervisorctl", "update")
    app.machine.put(f"{ROOT}/deploy.yaml", settings("supervisor: roots"), owner=app.uid)
    words = ("upgrade", "v4.0.0", "--allow-downgrade", "--discard-local-changes")
    refused = app.gitdeploy(*words, user=None, code=1)
    assert "The program roots does not run as otrs from /srv/otrs-web, so root does not restart it" in refused.err
    assert json.loads(app.gitdeploy("--json", "status").out)["version"] == "4.1.0"
