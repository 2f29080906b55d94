"""Whoever looks at another user's checkout runs nothing that its owner has prepared: every command, every page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from support import needs

from gitdeploy.cli import COMMANDS
from gitdeploy.web.serving.blueprint import ROUTES

pytestmark = needs.another_user
OWNER, STRANGER = needs.NOBODY, 4321

# Runs each command line of a list as it is, in a process of its own that is forked from this one: loaded once.
_EACH = """
import contextlib, io, json, os, sys
os.environ["HOME"] = "/"
from gitdeploy.cli import run
from gitdeploy.web import blueprint
from gitdeploy.deployment.outside import as_owner, launch
from flask import Flask
folder, commands, routes = json.loads(sys.argv[1])
os.chdir(folder)
def page():
    app = Flask("x")
    app.register_blueprint(blueprint(folder, authorize=lambda: True, auto_check=False))
    client = app.test_client()
    said = []
    for method, path in routes:
        body = {"json": {}, "headers": {"Origin": "http://localhost"}} if method == "POST" else {}
        said.append([path, client.open("/upgrade" + path, method=method, **body).status_code])
    return json.dumps(said)
answers = []
for words in commands:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = run(words) if words != ["page"] else print(page()) or 0
        except BaseException as error:
            code = 99
            print(repr(error), file=out)
        with open(writing, "w") as pipe:
            json.dump([code, out.getvalue()], pipe)
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        answers.append(json.load(pipe))
    os.wait()
print(json.dumps(answers))
"""

# What is typed of each command. None of it may run a thing of the owner's.
TYPED: dict[str, list[str]] = {
    "init": ["init", "init --print", "init --force"],
    "status": ["status", "status --json"],
    "check": ["check", "check --force"],
    "releases": ["releases", "releases --all", "releases v1.0.0"],
    "plan": ["plan", "plan v2.0.0"],
    "upgrade": ["upgrade --yes", "upgrade v2.0.0", "upgrade v2.0.0 --dry-run"],
    "prepare": ["prepare v2.0.0"],
    "rehearse": ["rehearse v2.0.0"],
    "backup": ["backup"],
    "backups": [
        "backups",
        "backups show latest",
        "backups diff latest",
        "backups delete latest --yes",
        "backups label latest x",
        "backups export latest /dev/null",
        "backups import /dev/null",
    ],
    "restore": ["restore latest --yes", "restore latest --dry-run"],
    "rollback": ["rollback --yes", "rollback --dry-run"],
    "recover": ["recover", "recover --boot", "recover --print-unit", "recover --install-unit"],
    "contract": ["contract"],
    "lock": ["lock"],
    "unlock": ["unlock"],
    "log": ["log", "log 1"],
    "prune": ["prune", "prune --dry-run"],
    "hooks": ["hooks", "hooks list", "hooks run pre-deploy", "hooks library", "hooks install maintenance-on"],
    "doctor": ["doctor", "doctor --repair", "doctor --notify"],
    "notify": ["notify test"],
    "config": ["config show", "config schema", "config example", "config edit", "config accept source.url"],
    "apps": [
        "apps",
        "apps --json",
        "apps add . --name again",
        "apps remove listed",
        "-A listed status",
        "-A listed plan",
    ],
    "web": ["web --port 1", "web --print-unit", "web token list", "web token add x"],
    "watch": ["watch --once", "watch --print-unit"],
    "self": ["self"],
    "skip": ["skip", "skip v2.0.0"],
    "unskip": ["unskip v2.0.0"],
    "fleet": ["fleet status -f nothing.yaml"],
    "demo": ["demo --help"],
    "completion": ["completion bash"],
}
PRINTED_WITHOUT_LOOKING = {"hooks library", "config schema", "config example", "demo --help", "completion bash", "self"}
WITNESS = "#!/bin/sh\necho $(id -u) {what} >> {marks}\n"


class Trap(NamedTuple):
    """A checkout of OWNER's in which everything that runs writes down who ran it."""

    folder: Path
    marks: Path

    def ran(self) -> dict[str, set[int]]:
        """What ran, and as whom, since the last time."""
        found: dict[str, set[int]] = {}
        for line in self.marks.read_text().splitlines():
            uid, _, what = line.partition(" ")
            found.setdefault(what, set()).add(int(uid))
        self.marks.write_text("")
        return found

    def each(self, uid: int, *commands: str) -> dict[str, tuple[int, str]]:
        """Each of COMMANDS typed by UID: exit code and text."""
        python, environment = needs.python_for_others() if uid == 0 else (sys.executable, {})
        routes = [
            (route.method, route.path.replace("<name>", "status").replace("<source>", "github")) for route in ROUTES
        ]
        asked = json.dumps([str(self.folder), [command.split() for command in commands], routes])
        become = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        done = subprocess.run(
            ["setpriv", *become, python, "-P", "-c", _EACH, asked],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "GITDEPLOY_APPS": str(self.folder.parent / "apps.yaml"), **environment}, cwd="/", capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {command: (code, text) for command, (code, text) in zip(commands, json.loads(done.stdout), strict=True)}


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    needs.gitdeploy_for_others()
    with TemporaryDirectory(prefix="gitdeploy-looked-at-") as temporary:
        top = Path(temporary)
        top.chmod(0o755)
        made = Trap(top / "app", top / "marks")
        made.folder.mkdir()
        made.marks.touch()
        made.marks.chmod(0o666)
        (top / "apps.yaml").write_text(f"apps: {{listed: {made.folder}}}\n")
        for what in ("filter", "fsmonitor", "python", "hook", "textconv", "git-hook", "uploadpack", "credential"):
            (top / what).write_text(WITNESS.format(what=what, marks=made.marks) + ("cat\n" if what == "filter" else ""))
            (top / what).chmod(0o755)
        (top / "python").write_text((top / "python").read_text() + 'exec /usr/bin/python3 "$@"\n')
        prepare = f"""set -e
git init -q; git config user.name a; git config user.email a@b
printf 'venv\\n' > .gitignore; echo 1 > a; git add .; git commit -qm one; git tag v1.0.0
echo 2 > a; git commit -qam two; git tag v2.0.0; git checkout -q --detach v1.0.0
mkdir -p venv/bin venv/lib/python3.11/site-packages hooks
printf 'home = /usr/bin\\nversion = 3.11.2\\n' > venv/pyvenv.cfg; cp {top}/python venv/bin/python
cp {top}/hook hooks/pre-deploy; for hook in post-index-change reference-transaction post-checkout; do cp {top}/git-hook .git/hooks/$hook; done
printf '* filter=x diff=x\\n' > .git/info/attributes
git config filter.x.clean {top}/filter; git config diff.x.textconv {top}/textconv; git config core.fsmonitor {top}/fsmonitor
git config remote.origin.url file://{top}/app; git config remote.origin.uploadpack {top}/uploadpack; git config credential.helper {top}/credential
printf 'app: {{name: trap}}\\nsource: {{type: git}}\\nhealth: {{command: "echo $(id -u) health >> {made.marks}"}}\\nservice: {{command: "echo $(id -u) service >> {made.marks}"}}\\n' > deploy.yaml
touch -d 2020-01-01 a
"""
        os.chown(made.folder, OWNER, OWNER)
        subprocess.run(
            ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", "sh", "-c", prepare],
            cwd=made.folder, env={"PATH": os.environ["PATH"], "HOME": temporary, "GIT_CONFIG_NOSYSTEM": "1"}, check=True,
        )  # fmt: skip
        yield made


def test_the_table_has_every_command() -> None:
    assert TYPED.keys() == set(COMMANDS)


def test_the_trap_springs_for_the_owner(trap: Trap) -> None:
    trap.ran()
    trap.each(OWNER, "status", "doctor")
    ran = trap.ran()
    assert {"filter", "python", "health"} <= ran.keys()
    assert set.union(*ran.values()) == {OWNER}
    assert trap.folder.joinpath(".gitdeploy").exists()


def test_a_stranger_is_told_what_needs_no_child_and_refused_the_rest(trap: Trap) -> None:
    trap.ran()
    said = trap.each(STRANGER, *(command for commands in TYPED.values() for command in commands))
    assert trap.ran() == {}
    for command, (code, text) in said.items():
        assert code in (0, 1, 2), (command, code, text)
        assert "did not foresee" not in text, (command, text)
        if command == "apps remove listed":
            assert "apps.yaml can't be written: Permission denied." in text
        elif command == "apps add . --name again":
            assert "To rename it, remove it first: gitdeploy apps remove listed" in text
        elif code == 1:
            assert "belongs to nobody, and you are user 4321" in text, (command, text)
            assert "sudo -u nobody " in text or "As root: sudo " in text, (command, text)
    told = {command for command, (code, _) in said.items() if code == 0}
    assert told >= PRINTED_WITHOUT_LOOKING | {"status", "status --json", "hooks", "-A listed status", "apps"}
    head = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", trap.folder, "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    _, text = said["status"]
    assert text.splitlines()[:2] == [f"trap  {head[:7]}  detached", f"  path         {trap.folder}"]
    assert "  not shown    The checkout" in text
    document = json.loads(said["status --json"][1])
    assert (document["commit"], document["tag"], document["local_changes"]) == (head, None, None)
    assert "sudo -u nobody" in document["limited"]
    assert "sudo -u nobody" in said["doctor"][1]
    (row,) = json.loads(said["apps --json"][1])
    assert (row["name"], row["commit"], row["version"], row["health"]["state"]) == ("listed", head, None, "unknown")
    assert "belongs to nobody" in row["limited"]["message"]


def test_root_looks_as_the_owner_or_not_at_all(trap: Trap) -> None:
    trap.ran()
    said = trap.each(
        0,
        "status",
        "doctor",
        "plan v2.0.0",
        "releases",
        "init --print",
        "hooks",
        "config show",
        "watch --once",
        "page",
        "apps --json",
        "-A listed status",
    )
    ran = trap.ran()
    assert {"filter", "python", "health"} <= ran.keys()
    assert set.union(*ran.values()) == {OWNER}
    assert said["status"][0] == 0
    assert "limited" not in said["status"][1]
    (row,) = json.loads(said["apps --json"][1])
    assert (row["name"], row["version"], row["health"]["state"], row["error"]) == ("listed", "1.0.0", "healthy", None)
    assert said["page"][0] == 99
    assert "Root does not work in" in said["page"][1]


def test_the_page_of_another_users_app_runs_nothing_of_it(trap: Trap) -> None:
    """An app that serves it as `www-data` out of a checkout of the deploying user's."""
    trap.ran()
    said = trap.each(STRANGER, "page")
    assert trap.ran() == {}
    code, text = said["page"]
    assert code == 0, text
    assert "Traceback" not in text
    answers = dict(json.loads(text.splitlines()[-1]))
    assert answers["/healthz"] == 200
    assert 500 not in answers.values()
