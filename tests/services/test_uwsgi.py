"""The app in uWSGI, as docs/services.md has it: in a unit, and without one by its pid file."""

from __future__ import annotations

from collections import Counter

import pytest
from support.machine_app import PORT, SETTINGS, UNIT, MachineApp
from support.sample import PROJECT
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

# The document's own, but for its port and its module.
SECTION = (PROJECT / "docs/services.md").read_text().partition("## uWSGI")[2]
INI = SECTION.partition("```ini\n")[2].partition("```")[0].replace("15001", str(PORT)).replace("wsgi:app", "wsgi")
SICK = "def health():\n    print('no route to the queue', flush=True)\n    return '500 Sick'\n"


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    made = MachineApp(machine_for_app)
    made.files = {"uwsgi.ini": INI}
    for number, service in enumerate(("systemd: otrs-web", "pidfile: run/uwsgi.pid, signal: HUP, log: run/log"), 1):
        made.settings = SETTINGS.replace("service: {systemd: otrs-web", f"service: {{{service}")
        made.publish(f"v{number}.0.0")
        made.publish(f"v{number}.1.0", greeting="2.0")
        made.publish(f"v{number}.2.0", greeting="2.0", body=SICK)
        made.publish(f"v{number}.3.0", greeting="2.0", body="import missing_in_this_release\n")
    assert f"http-socket = 127.0.0.1:{PORT}\n" in INI
    made.prepare = "mkdir run"
    made.install("v1.0.0", UNIT.replace(UNIT.split("ExecStart=")[1].partition("\n")[0], "/usr/bin/uwsgi uwsgi.ini"))
    return made


def up_and_back(app: MachineApp, major: int) -> str:
    app.gitdeploy("upgrade", f"v{major}.1.0", user=None)
    assert app.ask() | {"pid": 0} == {"version": f"{major}.1.0", "greeting": "2.0", "pid": 0}, "the new venv's package"
    said = app.gitdeploy("upgrade", f"v{major}.2.0", user=None, code=3).err
    assert f"otrs-web runs v{major}.1.0 again" in said
    dies = app.gitdeploy("upgrade", f"v{major}.3.0", user=None, code=1).err
    assert (
        "would not start: ModuleNotFoundError: No module named 'missing_in_this_release' (uwsgi wsgi:application)"
        in dies
    )
    assert app.version() == f"{major}.1.0"
    return said


def test_in_a_unit(app: MachineApp) -> None:
    assert "otrs-web.service said: no route to the queue" in up_and_back(app, 1)


def test_by_its_pid_file(app: MachineApp) -> None:
    """HUP: the master starts itself anew, in the same process, and keeps its socket meanwhile."""
    app.machine.inside("systemctl", "stop", "otrs-web")
    app.gitdeploy("upgrade", "v2.0.0", "--no-restart", user=None, code=None)
    app.user("sh", "-c", "setsid uwsgi uwsgi.ini >run/log 2>&1 </dev/null &")
    assert app.version() == "2.0.0"
    master = app.user("cat", "run/uwsgi.pid").stdout
    counts: Counter[str] = Counter()
    with app.traffic(counts):
        assert "run/uwsgi.pid said: no route to the queue" in up_and_back(app, 2)
    assert app.user("cat", "run/uwsgi.pid").stdout == master
    assert set(counts) <= {"2.0.0", "2.1.0", "2.2.0"}, counts
    app.user("sh", "-c", "kill $(cat run/uwsgi.pid)")
