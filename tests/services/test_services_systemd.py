"""systemd units, against a real systemd: restarted, watched, refused where they are not the app's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.waiting import wait_until
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

ROOT = "/srv/otrs-web"
APP = """
import http.server, os, pathlib, signal, subprocess, sys
version = pathlib.Path("version").read_text().strip()
print("serving", version, flush=True)
if version == "broken":
    raise ModuleNotFoundError("No module named 'flask_migrate'")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/start/"):
            subprocess.Popen(["/srv/job", self.path[7:]], start_new_session=True)
        self.send_response(200); self.end_headers(); self.wfile.write(version.encode())
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
UNIT = f"""
[Unit]
StartLimitIntervalSec={{limit}}
StartLimitBurst=3
[Service]
User={{user}}
WorkingDirectory={ROOT}
ExecStart=/usr/bin/python3 app.py
Restart={{restart}}
RestartSec=0.1
"""
POLKIT = """
polkit.addRule(function(action, subject) {
  if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "otrs" &&
      action.lookup("unit") == "otrs-web.service") { return polkit.Result.YES; }
});
"""
PRELUDE = f"""
import json, sys, time
from pathlib import Path
from gitdeploy.config import ServiceConfig
from gitdeploy.errors import GitDeployError
from gitdeploy.services import *
lines, root = [], Path({ROOT!r})
def unit(*names, **settings):
    return open_services(ServiceConfig(systemd=names or ("otrs-web",), **settings), root)[0]
def failure(act):
    try:
        act()
    except GitDeployError as error:
        return [error.message, error.hint, *error.details]
"""


def ask(machine: Machine, code: str, user: str | None = None) -> Any:
    """What CODE, with gitdeploy's services at hand inside the machine, leaves in `answer`."""
    program = f"{PRELUDE}\n{code}\nprint(json.dumps(answer))"
    return json.loads(machine.inside("gitdeploy-python", "-c", program, user=user).stdout)


def write_unit(machine: Machine, name: str = "otrs-web.service", **values: str) -> None:
    machine.unit(name, UNIT.format(**{"user": "otrs", "restart": "no", "limit": "0", **values}))


@pytest.fixture(scope="module")
def users(machine: Machine) -> int:
    return machine.add_user("otrs")


@pytest.fixture
def app(machine: Machine, users: int) -> Iterator[Machine]:
    """otrs-web.service runs from /srv/otrs-web as the user otrs, whose checkout it is."""
    for name, content in {"app.py": APP, "version": "1.2.9"}.items():
        machine.put(f"{ROOT}/{name}", content, owner=users)
    write_unit(machine)
    machine.inside("systemctl", "reset-failed", "otrs-web", check=False)
    machine.inside("systemctl", "restart", "otrs-web")
    machine.wait_for("curl", "-sf", "http://127.0.0.1:8000/")
    yield machine
    machine.inside("systemctl", "stop", "otrs-web", check=False)
    for file in ("etc/polkit-1/rules.d/50-otrs.rules", "etc/sudoers.d/otrs"):
        (machine.root / file).unlink(missing_ok=True)


def test_a_restart_brings_new_processes_with_the_new_code(app: Machine) -> None:
    app.put(f"{ROOT}/version", "1.2.9.1")
    answer = ask(
        app,
        "s = unit(); before = s.processes(); s.restart(lines.append); after = s.processes();"
        "answer = [s.name, [p.pid for p in before], [p.pid for p in after], any(p.alive() for p in before), s.is_up()]",
    )
    assert answer[0] == "otrs-web.service"
    assert len(answer[1]) == len(answer[2]) == 1
    assert answer[3:] == [False, None]
    assert app.wait_for("curl", "-sf", "http://127.0.0.1:8000/") == "1.2.9.1"


def test_stopped_it_is_down_and_started_it_is_up_again(app: Machine) -> None:
    answer = ask(
        app,
        "s = unit(); s.stop(); down = s.is_up(); same = from_dict(s.as_dict()); same.start();"
        "answer = [down, s.is_up(), s.restarts(), s.problems()]",
    )
    assert answer == ["otrs-web.service is down (dead).", None, 0, []]


def test_a_unit_that_crashed_says_how_and_its_own_last_lines(app: Machine) -> None:
    app.put(f"{ROOT}/version", "broken")
    answer = ask(
        app,
        "s = unit(); begun = time.time(); s.restart(); time.sleep(0.7);"
        "answer = [s.is_up(), s.gave_up(), s.last_lines(20, begun), s.last_lines(20, time.time() + 10)]",
    )
    assert answer[0] == answer[1] == "otrs-web.service has failed (exit code 1)."
    assert "ModuleNotFoundError: No module named 'flask_migrate'" in answer[2]
    assert "serving 1.2.9" not in answer[2]
    assert answer[3] == []


def test_who_may_not_read_the_journal_is_told_and_what_helps(app: Machine) -> None:
    """A person's own processes are in a journal of their own, which that person may read; a system user has none."""
    (said,) = ask(app, "answer = unit().last_lines()", user="daemon")
    assert said.startswith("(daemon may not read the journal, so what the app itself said is missing. As root: usermod")
    app.inside(*said.partition("As root: ")[2].partition(";")[0].split())
    try:
        assert "serving 1.2.9" in ask(app, "answer = unit().last_lines()", user="daemon")
    finally:
        app.inside("gpasswd", "--delete", "daemon", "systemd-journal")


def test_a_unit_that_crashed_is_said_to_have_while_the_rest_of_it_is_being_ended(app: Machine) -> None:
    """Its main process was killed, a child takes its time: systemd calls that deactivating, which says nothing."""
    stubborn = "import subprocess; subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 60 & wait; sleep 60'])\n"
    app.put(f"{ROOT}/app.py", stubborn + APP, owner=app.root.joinpath(ROOT[1:]).stat().st_uid)
    app.inside("systemctl", "restart", "otrs-web")
    app.wait_for("curl", "-sf", "http://127.0.0.1:8000/")
    app.inside("systemctl", "kill", "--kill-who=main", "--signal=KILL", "otrs-web")
    app.wait_for("sh", "-c", "systemctl show -P ActiveState otrs-web | grep -q deactivating")
    assert ask(app, "answer = unit().is_up()") == "otrs-web.service crashed (killed by signal 9)."
    app.inside("systemctl", "kill", "--signal=KILL", "otrs-web")


def test_a_crash_loop_is_counted_and_ended_by_a_restart_with_good_code(app: Machine) -> None:
    app.put(f"{ROOT}/version", "broken")
    write_unit(app, restart="on-failure", limit="60")
    ask(app, "s = unit(); s.restart(); time.sleep(1.5); answer = None")
    given_up, count = ask(app, "s = unit(); answer = [s.gave_up(), s.restarts()]")
    assert given_up == "otrs-web.service has failed (crashed too often in a row and is not started again)." or (
        given_up == "otrs-web.service has failed (exit code 1)."
    )
    assert count >= 2
    app.put(f"{ROOT}/version", "1.2.9")
    assert ask(app, "s = unit(); s.restart(); time.sleep(0.3); answer = [s.is_up(), s.restarts()]") == [None, 0]


def test_a_unit_that_does_not_come_up_fails_the_restart_with_its_words(app: Machine) -> None:
    app.unit(
        "otrs-slow.service",
        f"[Service]\nUser=otrs\nWorkingDirectory={ROOT}\nType=notify\nExecStart=/bin/sh -c 'echo no database; exit 3'\n",
    )
    said = ask(app, "answer = failure(unit('otrs-slow').restart)")
    assert said[0] == "otrs-slow.service could not be restarted: otrs-slow.service has failed (exit code 3)."
    assert "otrs-slow.service said: no database" in said
    app.unit(
        "otrs-slow.service",
        f"[Service]\nUser=otrs\nWorkingDirectory={ROOT}\nExecStartPre=/bin/sleep 60\nExecStart=/bin/sleep 60\n",
    )
    said = ask(app, "answer = failure(unit('otrs-slow', timeout=1).restart)")
    assert said[0] == (
        "otrs-slow.service could not be restarted: not done after 1.0 s; otrs-slow.service is still starting."
    )
    app.inside("systemctl", "kill", "-s", "KILL", "otrs-slow", check=False)


def test_a_unit_that_does_not_exist_is_found_before_and_the_right_one_named(app: Machine) -> None:
    ((message, hint),) = ask(app, "answer = unit('otrsweb').problems()")
    assert message == "There is no systemd unit otrsweb.service."
    assert "From this checkout run: otrs-web.service" in hint
    app.inside("systemctl", "mask", "--runtime", "masked-one")
    ((message, _),) = ask(app, "answer = unit('masked-one').problems()")
    assert message == "The unit masked-one.service is masked."


def test_the_unit_is_found_by_its_process_and_by_its_file(app: Machine) -> None:
    assert ask(app, "answer = discover(root, None)")[0] == "otrs-web.service"
    app.inside("systemctl", "stop", "otrs-web")
    assert "otrs-web.service" in ask(app, "answer = discover(root, None)", user="otrs")


def test_templates_sockets_and_several_units_in_their_order(app: Machine) -> None:
    app.unit("otrs-worker@.service", f"[Service]\nUser=otrs\nWorkingDirectory={ROOT}\nExecStart=/bin/sleep 600\n")
    app.unit("otrs-sleep.service", f"[Service]\nUser=otrs\nWorkingDirectory={ROOT}\nExecStart=/bin/sleep 600\n")
    app.unit("otrs-sleep.socket", "[Socket]\nListenStream=/run/otrs-sleep.sock\n")
    answer = ask(
        app,
        "all = open_services(ServiceConfig(systemd=('otrs-worker@1', 'otrs-worker@2.service', 'otrs-sleep.socket')), root)\n"
        "problems = [s.problems() for s in all]\n"
        "for s in all: s.restart()\n"
        "answer = [[s.name for s in all], problems, [s.is_up() for s in all], [len(s.processes()) for s in all]]\n"
        "for s in all: s.stop()",
    )
    assert answer == [
        ["otrs-worker@1.service", "otrs-worker@2.service", "otrs-sleep.socket"],
        [[]] * 3,
        [None] * 3,
        [1, 1, 0],
    ]


# ---- who may ----


def test_without_a_right_it_is_said_before_and_not_asked_for_in_the_middle(app: Machine) -> None:
    ((message, hint),) = ask(app, "answer = unit().problems()", user="otrs")
    assert message == "otrs may not restart otrs-web.service."
    assert "polkit" in hint
    assert "sudo" in hint
    said = ask(app, "answer = failure(unit().restart)", user="otrs")
    assert said[0] == "otrs-web.service could not be restarted: otrs has no right to do so."


def test_the_polkit_rule_of_the_documentation_is_enough(app: Machine) -> None:
    app.put("/etc/polkit-1/rules.d/50-otrs.rules", POLKIT)
    time.sleep(0.5)  # polkitd watches the folder
    app.inside("systemctl", "restart", "polkit")
    code = "s = unit(); p = s.problems(); s.restart(); s.stop(); s.start(); answer = [p, s.is_up()]"
    assert ask(app, code, user="otrs") == [[], None]
    app.unit("other.service", f"[Service]\nUser=otrs\nWorkingDirectory={ROOT}\nExecStart=/bin/sleep 600\n", start=True)
    assert ask(app, "answer = unit('other').problems()", user="otrs")[0][0] == "otrs may not restart other.service."
    app.inside("systemctl", "stop", "other")


def test_the_sudo_rule_of_the_documentation_is_enough(app: Machine) -> None:
    verbs = ("restart", "stop", "start", "reset-failed")
    commands = ", ".join(f"/usr/bin/systemctl {verb} otrs-web.service" for verb in verbs)
    app.put("/etc/sudoers.d/otrs", f"otrs ALL=(root) NOPASSWD: {commands}\n", 0o440)
    code = "s = unit(); p = s.problems(); s.restart(); s.stop(); s.start(); answer = [p, s.is_up()]"
    assert ask(app, code, user="otrs") == [[], None]


def test_root_touches_no_unit_that_is_not_of_the_checkouts_owner(app: Machine) -> None:
    write_unit(app, "backup.service", user="root")
    ((message, hint),) = ask(app, "answer = unit('backup').problems()")
    assert message == (
        "backup.service runs as root, and the checkout belongs to otrs: root does not restart it for otrs's app."
    )
    assert "User=otrs" in hint
    for verb in ("restart", "stop", "start"):
        assert ask(app, f"answer = failure(unit('backup').{verb})")[0] == message
    app.unit("elsewhere.service", "[Service]\nUser=otrs\nWorkingDirectory=/tmp\nExecStart=/bin/sleep 600\n")
    assert "does not run from /srv/otrs-web" in ask(app, "answer = unit('elsewhere').problems()")[0][0]
    app.unit("backup.socket", "[Socket]\nListenStream=/run/backup.sock\n")
    assert "backup.service runs as root" in ask(app, "answer = unit('backup.socket').problems()")[0][0]
    assert ask(app, "answer = unit('dbus.socket').problems()") != []


def test_a_name_that_is_an_option_reaches_no_systemctl(app: Machine) -> None:
    said = ask(
        app,
        "from gitdeploy.services.systemd import SystemdUnit\n"
        "answer = [failure(lambda n=n: SystemdUnit(n, root, 0)) for n in ('--force', 'a b', 'a\\nb', '../x', '')]",
    )
    assert all("not a name of a systemd unit" in each[0] for each in said)


# ---- a manager of the user's own ----


def test_a_unit_of_the_users_own_manager_is_restarted_by_the_user_and_by_root(app: Machine) -> None:
    app.inside("loginctl", "enable-linger", "otrs")
    app.wait_for("test", "-S", "/run/user/1000/bus")
    app.put(
        "/home/otrs/.config/systemd/user/mine.service",
        f"[Service]\nWorkingDirectory={ROOT}\nExecStart=/bin/sh -c 'echo up; exec sleep 600'\n",
        owner=1000,
    )
    for user in ("otrs", None):
        code = "s = unit('mine'); p = s.problems(); s.restart(); answer = [p, s.is_up(), len(s.processes()), s.user]"
        assert ask(app, code, user=user) == [[], None, 1, True]
    assert "mine.service" in ask(app, "answer = discover(root, None)", user="otrs")
    ask(app, "unit('mine').stop(); answer = None", user="otrs")


# ---- never killed by its own restart ----

JOB = """#!/bin/sh
# What a request handler of the app starts: gitdeploy, inside the app's own unit.
exec gitdeploy-python /srv/job.py "$1"
"""
JOB_CODE = f"""
import os, sys, time
from pathlib import Path
from gitdeploy.config import ServiceConfig
from gitdeploy.services import *
root = Path({ROOT!r}); log = open(f"/srv/log-{{sys.argv[1]}}", "a", buffering=1)
service, = open_services(ServiceConfig(systemd=("otrs-web",)), root)
if shares_cgroup_with(service) and sys.argv[1] != "plain":
    argv = escape_argv(["/srv/job", sys.argv[1]], f"gitdeploy-job-{{os.getpid()}}", cwd=root)
    log.write("moving out\\n" if argv else " ".join(NO_ESCAPE) + "\\n")
    if argv:
        os.execv(argv[0], argv)
    sys.exit(1)
log.write("begin\\n")
service.restart()
log.write("restarted\\n")
"""


def started_from_the_page(machine: Machine, how: str, user: str) -> list[str]:
    """The log of a deployment that a request handler of the app started."""
    machine.put("/srv/job", JOB, 0o755)
    machine.put("/srv/job.py", JOB_CODE)
    log = machine.put(f"/srv/log-{how}", "", 0o666)
    write_unit(machine, user=user)
    machine.inside("systemctl", "restart", "otrs-web")
    machine.wait_for("curl", "-sf", "http://127.0.0.1:8000/")
    before = machine.inside("systemctl", "show", "-p", "MainPID", "otrs-web").stdout
    machine.inside("curl", "-sf", f"http://127.0.0.1:8000/start/{how}")

    def ended() -> bool:
        if how == "plain" and machine.inside("systemctl", "show", "-p", "MainPID", "otrs-web").stdout != before:
            time.sleep(0.5)  # what could still be written
            return True
        return "restarted\n" in log.read_text() or "linger" in log.read_text()

    wait_until(ended, log.read_text, seconds=30, every=0.1)
    return log.read_text().splitlines()


def test_a_restart_from_inside_the_unit_would_end_the_deployment(app: Machine) -> None:
    app.inside("chown", "-R", "root", ROOT)
    assert started_from_the_page(app, "plain", "root") == ["begin"]
    app.inside("chown", "-R", "otrs", ROOT)


def test_started_from_the_apps_own_page_it_moves_out_first_and_goes_on_to_the_end(app: Machine) -> None:
    app.inside("chown", "-R", "root", ROOT)
    assert started_from_the_page(app, "root", "root") == ["moving out", "begin", "restarted"]
    app.inside("chown", "-R", "otrs", ROOT)


def test_the_apps_user_moves_out_into_a_manager_of_its_own(app: Machine) -> None:
    app.put("/etc/polkit-1/rules.d/50-otrs.rules", POLKIT)
    app.inside("systemctl", "restart", "polkit")
    app.inside("loginctl", "enable-linger", "otrs")
    app.wait_for("test", "-S", "/run/user/1000/bus")
    assert started_from_the_page(app, "linger", "otrs")[-3:] == ["moving out", "begin", "restarted"]


def test_where_there_is_no_way_out_it_refuses_and_says_how(app: Machine) -> None:
    app.inside("loginctl", "disable-linger", "otrs")
    app.inside("systemctl", "stop", "user@1000")
    (line,) = started_from_the_page(app, "nowhere", "otrs")
    assert "would be ended with it" in line
    assert "loginctl enable-linger" in line


def test_the_environment_reaches_the_other_unit_as_it_was(machine: Machine) -> None:
    """With every sign that could be read as something else, and never in a command line."""
    values = {
        "A": "two words",
        "B": 'say "it" with $HOME and `id` \\ \'',
        "C": "line one\nline two\n",
        "D": "# 你好",
        "E": "",
    }
    text = machine.inside(
        "gitdeploy-python", "-c",
        f"from gitdeploy.deployment.outside.launch import environment_file; print(environment_file({values!r}), end='')",
    ).stdout  # fmt: skip
    machine.put("/etc/other.env", text, 0o600)
    program = f"import json, os; print(json.dumps({{name: os.environ.get(name) for name in {list(values)!r}}}))"
    words = ("systemd-run", "-q", "--wait", "--pipe", "--collect", "--property=EnvironmentFile=/etc/other.env")
    assert json.loads(machine.inside(*words, "/usr/bin/python3", "-c", program).stdout) == values
