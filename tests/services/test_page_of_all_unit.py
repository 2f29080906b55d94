"""`gitdeploy web --all` in the unit that root installs: two apps of two owners, and what systemd does with the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from support.waiting import wait_until
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

PAGE = "http://127.0.0.1:15001/upgrade"
UNIT = "gitdeploy-page"
OWN_PLACE = "/usr/local/lib/gitdeploy/bin/gitdeploy"  # where an installed package has its script: beside its Python
MAKE = """set -e
git init -q -b main remote; cd remote
printf 'app: {name: app}\\nsource: {type: git}\\nvenv: {path: null}\\nhooks: {dir: hooks}\\nservice: {command: "true"}\\n' > deploy.yaml
mkdir hooks; printf '#!/bin/sh\\ncat /proc/self/cgroup > ../of; id -un > ../migrated-by; while [ -e ../holds ]; do sleep 0.1; done\\n' > hooks/migrate
chmod +x hooks/migrate; git add -A; git commit -qm one; git tag -a -m one v1.0.0
echo 2 > VERSION; git add -A; git commit -qm two; git tag -a -m two v2.0.0
cd ..; git clone -q remote app; cd app; git checkout -q v1.0.0
"""


@dataclass
class Page:
    machine: Machine
    token: str = ""

    def make(self, name: str) -> None:
        self.machine.add_user(name)
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.machine.inside("sh", "-c", MAKE, user=name, cwd=f"/home/{name}", env=identity)
        self.machine.inside("gitdeploy", "apps", "add", f"/home/{name}/app", "--name", name)

    def ask(self, path: str, body: Any = None) -> Any:
        words = ["curl", "-s", "-m", "60", "-H", f"Authorization: Bearer {self.token}"]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(self.machine.inside(*words, PAGE + path).stdout)

    def answers(self) -> bool:
        self.machine.wait_for("curl", "-sf", f"{PAGE}/healthz", seconds=60)

        def rows() -> Any:
            return self.ask("/api/apps")["data"]

        return wait_until(lambda: all(row["error"] is None for row in rows()), rows)

    def processes(self) -> dict[str, str]:
        """pid -> user, of all that the unit has."""
        listed = self.machine.inside("cat", f"/sys/fs/cgroup/system.slice/{UNIT}.service/cgroup.procs", check=False)
        pids = listed.stdout.split()
        if not pids:
            return {}
        said = self.machine.inside("ps", "-o", "pid=,user=", "-p", ",".join(pids), check=False).stdout
        words = said.split()
        return dict(zip(words[::2], words[1::2], strict=True))


@pytest.fixture(scope="module")
def page(machine_for_app: Machine) -> Page:
    made = Page(machine_for_app)
    inside = machine_for_app.inside
    machine_for_app.put(OWN_PLACE, (machine_for_app.root / "usr/local/bin/gitdeploy").read_bytes(), 0o755)
    for name in ("shop", "wiki"):
        made.make(name)
    inside("useradd", "--system", "--shell", "/usr/sbin/nologin", "gitdeploy")
    said = inside("gitdeploy", "web", "--all", "--install-unit").stdout
    assert f"Enabled and started: {UNIT}.service" in said
    assert f"ExecStart={OWN_PLACE} web --all\n" in inside("systemctl", "cat", UNIT).stdout
    made.token = json.loads(inside("gitdeploy", "--json", "web", "--all", "token", "add", "li").stdout)["token"]
    made.answers()
    return made


def test_the_page_of_two_owners_apps_is_served_from_its_unit_and_ends_with_it(page: Page) -> None:
    inside = page.machine.inside
    inside("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}.service")
    assert sorted(page.processes().values()) == ["gitdeploy", "root", "root", "root", "shop", "wiki"]
    inside("touch", "/home/wiki/holds")
    begun = page.ask("/wiki/api/start-upgrade", {"tag": "v2.0.0", "wait": False})
    assert begun["success"] is True, begun
    page.machine.wait_for("test", "-s", "/home/wiki/migrated-by")
    assert inside("cat", "/home/wiki/migrated-by").stdout.strip() == "wiki"
    assert UNIT not in inside("cat", "/home/wiki/of").stdout, "outside the unit of the page"

    for blow in (("restart", UNIT), ("kill", "-s", "KILL", "--kill-who=main", UNIT)):
        before = page.processes()
        inside("systemctl", *blow, timeout=10)
        wait_until(lambda: not before.keys() & page.processes().keys(), page.processes, seconds=10)  # noqa: B023
        assert page.answers(), blow
    inside("rm", "/home/wiki/holds")
    log = f"/wiki/api/upgrade-log?deployment={begun['deployment']}"
    wait_until(lambda: page.ask(log)["status"] != "running", lambda: page.ask(log))
    assert page.ask(log)["status"] == "succeeded", page.ask(log)["log"]

    inside("systemctl", "stop", UNIT, timeout=10)
    assert page.processes() == {}
    assert inside("pgrep", "-af", "gitdeploy web --all", check=False).stdout == "", "none of its processes is left"
    assert inside("systemctl", "show", "-p", "Result", UNIT).stdout.strip() == "Result=success"
