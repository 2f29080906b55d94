"""Root runs gitdeploy on a checkout that is somebody else's, and that somebody is hostile."""

from __future__ import annotations

import json
import os
import re
import stat

import pytest
from support.machine_app import ROOT, UNIT, MachineApp
from support.sample import Files, Program
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

# Whoever runs it writes down who it was. Nothing of the owner's may ever say "uid 0" there.
WITNESS = '#!/bin/sh\necho "$(id -u) $(id -G) $(umask) $HOME $0" >> /tmp/witness\n'


@pytest.fixture(scope="module")
def app(machine_for_app: Machine) -> MachineApp:
    made = MachineApp(machine_for_app)
    hooks: Files = {
        f"hooks/{stage}": Program(WITNESS) for stage in ("pre-deploy", "build", "migrate", "post-deploy", "on-failure")
    }
    made.files = {**hooks, ".gitattributes": "*.flt filter=spy\n", "a.flt": "text\n"}
    made.publish("v1.0.0")
    made.publish("v2.0.0", greeting="2.0", files={"a.flt": "other\n"})
    made.publish("v3.0.0", body="def health():\n    return '500 Sick'\n")
    made.install("v1.0.0")
    machine_for_app.put("/tmp/witness", "", 0o666)
    machine_for_app.put("/usr/local/bin/upgrade-app", f"#!/bin/sh\nexec gitdeploy -C {ROOT} upgrade $1\n", 0o755)
    return made


@pytest.fixture(autouse=True)
def fresh_witness(app: MachineApp) -> None:
    app.machine.inside("sh", "-c", "rm -f /tmp/witness; umask 0; : > /tmp/witness")


def witness(app: MachineApp) -> list[list[str]]:
    return [line.split(" ") for line in app.machine.inside("cat", "/tmp/witness").stdout.splitlines()]


def other(app: MachineApp) -> str:
    """The good release that is not live."""
    return "v1.0.0" if app.version() == "2.0.0" else "v2.0.0"


def everything_is_the_owners(app: MachineApp) -> None:
    others = app.machine.inside("find", ROOT, "!", "-user", "otrs", "-o", "!", "-group", "otrs").stdout
    assert others == "", others


def test_root_upgrades_it_as_its_owner_and_restarts_its_unit(app: MachineApp) -> None:
    """otrs has neither polkit nor sudo: only root may restart the unit."""
    before = app.ask()["pid"]
    done = app.gitdeploy("upgrade", "v2.0.0", user=None)
    assert "restart: otrs-web.service" in done.err
    assert app.version() == "2.0.0"
    assert app.ask()["pid"] != before
    ran = witness(app)
    assert {line[-1] for line in ran} >= {f"{ROOT}/hooks/{stage}" for stage in ("pre-deploy", "build", "post-deploy")}
    groups = app.machine.inside("id", "-G", "otrs").stdout.strip()
    for line in ran:
        assert (line[0], " ".join(line[1:-3]), line[-3], line[-2]) == (str(app.uid), groups, "0022", "/home/otrs")
    everything_is_the_owners(app)
    row = app.deployments()[0]
    assert row["performer"] == "root (as otrs)"


def test_a_failed_one_shows_what_the_service_said_and_goes_back(app: MachineApp) -> None:
    """Its log is root's to read, too: otrs is in no group that may."""
    live = app.version()
    done = app.gitdeploy("upgrade", "v3.0.0", user=None, code=3)
    assert "500 instead of 200" in done.err
    assert "otrs-web.service said: " in done.err
    assert app.version() == live
    everything_is_the_owners(app)


def test_from_inside_the_unit_it_moves_out_as_root(app: MachineApp) -> None:
    done = app.machine.inside(
        "sh", "-c",
        "echo $$ > /sys/fs/cgroup/system.slice/otrs-web.service/cgroup.procs; "
        f"gitdeploy -C {ROOT} --json upgrade v{app.version()}",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "nothing_to_do"
    everything_is_the_owners(app)


def test_nothing_that_the_owner_planted_is_run_as_root(app: MachineApp) -> None:
    app.machine.put("/usr/local/bin/spy", WITNESS + "cat\n", 0o755)
    program = f"""
cd {ROOT}
for hook in pre-commit post-checkout reference-transaction post-index-change pre-auto-gc; do cp /usr/local/bin/spy .git/hooks/$hook; done
git config core.fsmonitor /usr/local/bin/spy; git config core.sshCommand /usr/local/bin/spy; git config core.pager /usr/local/bin/spy
git config diff.external /usr/local/bin/spy; git config gpg.program /usr/local/bin/spy; git config credential.helper '!/usr/local/bin/spy'
git config core.hooksPath {ROOT}/.git/hooks; git config core.askPass /usr/local/bin/spy
git config filter.spy.clean /usr/local/bin/spy; git config filter.spy.smudge /usr/local/bin/spy; git config filter.spy.process ''
mv venv/bin/python venv/bin/python.real
printf '#!/bin/sh\\n/usr/local/bin/spy </dev/null\\nexec {ROOT}/venv/bin/python.real "$@"\\n' > venv/bin/python; chmod +x venv/bin/python
mkdir -p ~/.config/pip ~/.config/git; printf '[core]\\nfsmonitor = /usr/local/bin/spy\\n' > ~/.config/git/config
"""
    app.user("sh", "-c", program)
    app.gitdeploy("status", user=None)
    app.gitdeploy("plan", "v3.0.0", user=None, code=None)
    app.gitdeploy("upgrade", other(app), "--allow-downgrade", user=None, code=None)
    app.gitdeploy("rollback", "--yes", user=None, code=None)
    app.gitdeploy("recover", user=None, code=None)
    ran = witness(app)
    assert ran, "the trap must be able to spring"
    assert [line for line in ran if line[0] == "0"] == []
    everything_is_the_owners(app)
    undo = "mv venv/bin/python.real venv/bin/python; rm -f .git/hooks/*; git config --remove-section core"
    app.user("sh", "-c", f"{undo}; git config --remove-section filter.spy; git config core.bare false")


@pytest.mark.parametrize("name", ["state.db", "lock", "README", "requests", "backups", "reserve", "stage"])
def test_nothing_is_written_through_a_link_that_the_owner_planted(app: MachineApp, name: str) -> None:
    victim = app.machine.put("/etc/victim", "root's\n", 0o600)
    app.machine.inside("mkdir", "-p", "/etc/victims")
    target = "/etc/victims" if name in ("requests", "backups", "reserve", "stage") else "/etc/victim"
    place = f"{ROOT}/.gitdeploy/{name}"
    app.user("sh", "-c", f"mv {place} /tmp/kept-{name} 2>/dev/null; ln -s {target} {place}")
    app.gitdeploy("backup", user=None, code=None)
    if name in ("stage", "requests"):
        app.gitdeploy("upgrade", other(app), "--allow-downgrade", user=None, code=None)
    app.user("sh", "-c", f"rm -rf {place}; mv /tmp/kept-{name} {place} 2>/dev/null; true")
    assert victim.read_text() == "root's\n"
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (0, 0o600)
    assert os.listdir(app.machine.root / "etc/victims") == []


def test_a_state_directory_that_is_a_link_leads_root_nowhere(app: MachineApp) -> None:
    app.user("sh", "-c", "mv .gitdeploy /tmp/kept-state; ln -s /etc/victims .gitdeploy")
    done = app.gitdeploy("backup", user=None, code=None)
    assert done.code != 0
    assert os.listdir(app.machine.root / "etc/victims") == []
    app.user("sh", "-c", "rm .gitdeploy; mv /tmp/kept-state .gitdeploy")


def test_a_deploy_yaml_of_the_owners_makes_root_touch_no_other_unit(app: MachineApp) -> None:
    app.machine.unit("backup.service", UNIT.replace("User=otrs\n", ""))
    kept = app.user("cat", "deploy.yaml").stdout
    for service, says in {
        "systemd: backup": "backup.service runs as root",
        "systemd: [otrs-web, dbus.socket]": "dbus",
        "command: /usr/local/bin/spy": "",
        "pidfile: /tmp/pid": "",
    }.items():
        target = other(app) if service.startswith(("command", "pidfile")) else "v3.0.0"
        text = kept.replace("service: {systemd: otrs-web, timeout: 20}", f"service: {{{service}}}")
        app.machine.put(f"{ROOT}/deploy.yaml", text, owner=app.uid)
        app.machine.put("/tmp/pid", "1\n", 0o644)
        done = app.gitdeploy("upgrade", target, "--allow-downgrade", "--discard-local-changes", user=None, code=None)
        assert says in done.text
    assert app.machine.inside("systemctl", "is-active", "backup", check=False).stdout.strip() == "inactive"
    assert all(line[0] != "0" for line in witness(app))
    app.machine.put(f"{ROOT}/deploy.yaml", kept, owner=app.uid)


def test_the_process_of_root_does_nothing_else_whoever_asks(app: MachineApp) -> None:
    """Asked in its own tongue, as if the main process had been taken over."""
    program = f"""
import json, os
from pathlib import Path
from gitdeploy.deployment.outside.as_owner import become_owner
from gitdeploy.services import privileged
os.chdir("/")
become_owner(Path({ROOT!r}))
said = []
def ask(**message):
    try:
        said.append(privileged._request(message, 5, None))
    except Exception as error:
        said.append(error.message)
def unit(name, kind="systemd"):
    return {{"kind": kind, "name": name, "timeout": 5}}
for verb in ("restart", "stop", "start"):
    ask(verb=verb, service=unit("backup"))
ask(verb="last_lines", service=unit("dbus"), most=20, since=None)
ask(verb="restart", service=unit("otrs-web; reboot"))
ask(verb="restart", service=unit("--user"))
ask(verb="reload", service=unit("otrs-web"))
ask(verb="_call", service=unit("otrs-web"))
ask(verb="__init__", service=unit("otrs-web"))
ask(verb="restart", service=unit("reboot", kind="command"))
ask(verb="restart")
ask(verb="launch", words=["web"], request="ab" * 16, performer="x")
ask(verb="launch", words=["--config", "/etc/x", "upgrade"], request="ab" * 16, performer="x")
ask(verb="launch", words=["upgrade"], request="../../x", performer="x")
try:
    os.setuid(0); said.append("root again")
except PermissionError:
    said.append([os.getresuid(), os.getresgid(), os.environ.get("HOME"), "SECRET" in os.environ])
print(json.dumps(said))
"""
    said = json.loads(app.machine.inside("gitdeploy-python", "-c", program, env={"SECRET": "root's"}).stdout)
    assert all("backup.service runs as root" in each for each in said[:3])
    assert "dbus.service does not run as" in said[3] or "dbus.service runs as" in said[3]
    assert said[4:6] == ["otrs-web; reboot is not a name of a systemd unit.", "--user is not a name of a systemd unit."]
    assert said[6:14] == ["That is not asked of root."] * 8
    assert said[14] == [[app.uid] * 3, [app.uid] * 3, "/home/otrs", False]


def test_a_gitdeploy_of_the_owners_own_is_not_run_as_root(app: MachineApp) -> None:
    app.user("sh", "-c", "cp -r /opt/gitdeploy/project/gitdeploy /tmp/gitdeploy")
    done = app.machine.inside(
        "env", f"PYTHONPATH=/tmp:{app.machine.packages}", *app.machine.python.split(),
        "-m", "gitdeploy", "-C", ROOT, "status", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Root does not run a gitdeploy that otrs can change (/tmp/gitdeploy, mode 0755)" in done.stderr
    assert re.search(r"sudo -u otrs .*gitdeploy ", done.stderr)


def test_a_script_of_roots_does_not_open_it(app: MachineApp) -> None:
    done = app.machine.inside("gitdeploy-python", "-c", f"from gitdeploy import App; App.open({ROOT!r})", check=False)
    assert f"Root does not work in {ROOT}, which is otrs's" in done.stderr


def test_a_checkout_of_roots_with_a_repository_of_somebody_elses_is_refused(app: MachineApp) -> None:
    app.machine.inside("chown", "root", ROOT)
    done = app.gitdeploy("status", user=None, code=1)
    assert "is root's, but its .git is otrs's" in done.err
    app.machine.inside("chown", "otrs", ROOT)


def test_a_link_of_somebody_elses_on_the_way_is_not_followed(app: MachineApp) -> None:
    app.machine.add_user("mallory")
    app.machine.inside("ln", "-s", ROOT, "/home/mallory/app", user="mallory")
    app.machine.inside("chmod", "755", "/home/mallory")
    done = app.machine.inside("gitdeploy", "-C", "/home/mallory/app", "status", check=False)
    assert done.returncode == 1
    assert "is a link of mallory's" in done.stderr


def test_by_name_root_runs_it_only_where_nobody_else_can_put_a_module(app: MachineApp) -> None:
    """Python itself imports `warnings` from there before gitdeploy can say a word: nobody should get used to it."""
    for folder in (ROOT, "/tmp"):
        done = app.machine.inside("gitdeploy-python", "-m", "gitdeploy", "-C", ROOT, "status", cwd=folder, check=False)
        assert done.returncode == 2
        assert f"Root does not run `python -m gitdeploy` in {folder}: Python imports modules from there" in done.stderr
        assert (
            "Call the program itself, /usr/local/lib/gitdeploy/bin/gitdeploy, or go elsewhere first: cd /"
            in done.stderr
        )
    app.machine.inside("gitdeploy-python", "-Pm", "gitdeploy", "-C", ROOT, "status", cwd=ROOT)
    app.user("gitdeploy-python", "-m", "gitdeploy", "status")
