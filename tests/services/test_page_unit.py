"""The page in the unit that it prints: whatever happens to its server, a deployment that it started goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.machine_app import ROOT, SETTINGS, MachineApp
from support.sample import Program
from support.waiting import wait_until
from systemd_root import Machine

pytestmark = pytest.mark.xdist_group(__name__)

PAGE = "http://127.0.0.1:15001/upgrade"
SLOW = {"hooks/migrate": "#!/bin/sh\nfor i in 1 2 3 4 5 6; do echo migrating $i; sleep 0.5; done\n"}


class Page(MachineApp):
    """The app and its page."""

    token = ""

    def call(self, path: str, body: Any = None) -> Any:
        words = ["curl", "-s", "-m", "60", "-H", f"Authorization: Bearer {self.token}"]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return json.loads(self.machine.inside(*words, PAGE + path).stdout)

    def wait_up(self) -> None:
        self.machine.wait_for("curl", "-sf", f"{PAGE}/healthz", seconds=60)

    def ended(self, number: int) -> Any:
        def state() -> Any:
            return self.call(f"/api/upgrade-log?deployment={number}")

        return wait_until(
            lambda: now if (now := state())["status"] != "running" else None, state, seconds=90, every=0.2
        )


@pytest.fixture(scope="module")
def page(machine_for_app: Machine) -> Page:
    made = Page(machine_for_app, settings=f"{SETTINGS}check: {{auto: false, upgrade: all}}\n")
    slow = {"hooks/migrate": Program(SLOW["hooks/migrate"])}
    for number in range(4):
        made.publish(f"v1.{number}.0", files=slow)
    made.install("v1.0.0")
    made.allow()
    made.token = json.loads(made.user("gitdeploy", "-C", ROOT, "--json", "web", "token", "add", "li").stdout)["token"]
    unit = made.user("gitdeploy", "-C", ROOT, "web", "--print-unit").stdout
    assert "User=otrs" in unit
    # Inside this machine gitdeploy is not an installed package: its own script stands for the interpreter's call.
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    made.machine.unit(
        "otrs-web-page.service", unit.replace(command, f"ExecStart=/usr/local/bin/gitdeploy -C {ROOT} web")
    )
    made.machine.inside("systemctl", "start", "otrs-web-page")
    made.wait_up()
    return made


@pytest.mark.parametrize(
    ("tag", "linger", "blow"),
    [
        ("v1.1.0", True, ("systemctl", "restart", "otrs-web-page")),
        ("v1.2.0", True, ("systemctl", "kill", "-s", "KILL", "--kill-who=main", "otrs-web-page")),
        ("v1.3.0", False, ("systemctl", "restart", "otrs-web-page")),
    ],
    ids=["restarted", "killed", "restarted, without a user manager"],
)
def test_a_deployment_outlives_the_pages_server(page: Page, tag: str, linger: bool, blow: tuple[str, ...]) -> None:
    if not linger:
        page.machine.inside("loginctl", "disable-linger", "otrs")
        page.machine.inside("systemctl", "stop", f"user@{page.uid}")
    begun = page.call("/api/start-upgrade", {"tag": tag, "wait": False})
    assert begun["success"] is True, begun
    log = f"/api/upgrade-log?deployment={begun['deployment']}"
    wait_until(lambda: any("migrating" in line for line in page.call(log)["log"]), every=0.1)
    page.machine.inside(*blow)
    page.machine.inside("systemctl", "start", "otrs-web-page")
    page.wait_up()
    state = page.ended(begun["deployment"])
    assert state["status"] == "succeeded", state["log"]
    assert state["performer"] == "li (web, from 127.0.0.1)"
    assert [line for line in state["log"] if "migrating" in line][-1].strip().endswith("migrating 6")
    assert page.version() == tag.removeprefix("v")


# (what a deployment or hook in such a unit tries, whether it can)
TRIES = {
    "write to /etc": ("touch /etc/otrs-own/file", False),
    "write to /usr": ("touch /usr/local/otrs-own/file", False),
    "gain root's rights": ("test $(/usr/local/bin/id-of-root) != 0", True),
    "see others' /tmp": ("test -e /tmp/of-others", False),
    "write to /tmp": ("touch /tmp/own", True),
    "write to the checkout": (f"touch {ROOT}/.gitdeploy/own && rm {ROOT}/.gitdeploy/own", True),
    "make a folder setgid": (
        f"mkdir {ROOT}/.gitdeploy/d && chmod g+s {ROOT}/.gitdeploy/d; rmdir {ROOT}/.gitdeploy/d",
        True,
    ),
    "change the kernel's settings": ("echo 1 > /proc/sys/vm/own", False),
    "let the group write by default": ("test $(umask) = 0022", True),
    "reach the network": (f"curl -sf {PAGE}/healthz", True),
}


@pytest.fixture(scope="module")
def tried(page: Page) -> dict[str, bool]:
    """What becomes of TRIES in a unit with the sandbox that the page's has."""
    unit = page.machine.inside("systemctl", "cat", "otrs-web-page").stdout
    inside = page.machine.inside
    inside("sh", "-c", "mkdir -p /etc/otrs-own /usr/local/otrs-own && chown otrs /etc/otrs-own /usr/local/otrs-own")
    inside(
        "sh",
        "-c",
        "echo x > /tmp/of-others; cp /usr/bin/id /usr/local/bin/id-setuid; chmod u+s /usr/local/bin/id-setuid",
    )
    inside(
        "sh",
        "-c",
        "printf '#!/bin/sh\\n/usr/local/bin/id-setuid -u\\n' > /usr/local/bin/id-of-root; chmod 755 /usr/local/bin/id-of-root",
    )
    lines = "\n".join(
        f'({words}) >/dev/null 2>&1 && echo "yes {name}" || echo "no {name}"' for name, (words, _) in TRIES.items()
    )
    page.machine.put("/usr/local/bin/tries", f"#!/bin/sh\n{lines}\n", mode=0o755)
    kept = [
        line
        for line in unit.splitlines()
        if not line.startswith(("#", "ExecStart", "Restart", "KillMode", "EnvironmentFile", "WantedBy", "[Install]"))
    ]
    page.machine.unit("tries.service", "\n".join(kept) + "\nType=oneshot\nExecStart=/usr/local/bin/tries\n")
    inside("systemctl", "start", "tries")
    said = inside("journalctl", "-u", "tries", "-o", "cat").stdout
    found = {
        line.partition(" ")[2]: line.startswith("yes ") for line in said.splitlines() if line[:3] in ("yes", "no ")
    }
    assert found.keys() == TRIES.keys(), said
    return found


@pytest.mark.parametrize("name", TRIES)
def test_what_the_pages_unit_may_not_do(tried: dict[str, bool], name: str) -> None:
    assert tried[name] is TRIES[name][1]


def test_watch_upgrades_from_inside_its_unit(page: Page) -> None:
    """With all that the sandbox takes away: a migration runs, the app's own unit is restarted, and it is healthy."""
    page.publish("v1.4.0", files={"hooks/migrate": Program(SLOW["hooks/migrate"])})
    unit = page.user("gitdeploy", "-C", ROOT, "watch", "--once", "--print-unit").stdout.partition("# /etc/systemd")[2]
    service = unit.partition("# /etc/systemd")[0]
    assert "NoNewPrivileges=yes" in service
    command = next(line for line in service.splitlines() if line.startswith("ExecStart="))
    service = service.replace(command, f"ExecStart=/usr/local/bin/gitdeploy -C {ROOT} watch --once")
    page.machine.unit("otrs-web-watch.service", service.partition("\n")[2])
    page.machine.inside("systemctl", "start", "otrs-web-watch")
    assert page.version() == "1.4.0", page.machine.inside("journalctl", "-u", "otrs-web-watch", "-o", "cat").stdout


UNITS = {("web",): ["otrs-web-page.service"], ("watch", "--once"): ["otrs-web-watch.service", "otrs-web-watch.timer"]}


@pytest.mark.parametrize("words", UNITS, ids=" ".join)
@pytest.mark.parametrize("user", ["otrs", None], ids=["owner", "root"])
def test_for_a_users_checkout_the_way_to_install_a_unit_is_told_and_is_one(
    page: Page, words: tuple[str, ...], user: str | None
) -> None:
    """Root writes nothing that a user's checkout says; who types what is printed, in a shell of root's, gets the units."""
    folder = "/etc/systemd/system"
    done = page.gitdeploy(*words, "--install-unit", code=2, user=user)
    assert "Only root can install a unit, and only for a checkout of its own." in done.err
    told = [line.strip() for line in done.err.partition("As root, in a shell:\n")[2].splitlines()]
    lines = [line for line in told if line.startswith("systemctl daemon-reload && ") or " > " in line]
    assert [line.rpartition(" > ")[2] for line in lines[:-1]] == [f"{folder}/{name}" for name in UNITS[words]]
    before = {
        name: page.machine.inside("sh", "-c", f"cat {folder}/{name} 2>/dev/null; true").stdout for name in UNITS[words]
    }
    try:
        shell = "\n".join([f"cd {folder}", *(line.strip() for line in lines[:-1])])
        page.machine.inside("sh", "-euc", shell, cwd="/")
        for name in UNITS[words]:
            written = page.machine.inside("cat", f"{folder}/{name}").stdout
            assert ("User=otrs" in written) == name.endswith(".service")
            page.machine.inside("systemd-analyze", "verify", f"{folder}/{name}")
        if words != ("web",):  # whose unit is another here, since gitdeploy is no installed package in this machine
            page.machine.inside("sh", "-euc", lines[-1].strip())
            assert page.machine.inside("systemctl", "is-active", UNITS[words][-1]).stdout.strip() == "active"
            page.machine.inside("systemctl", "disable", "--now", UNITS[words][-1])
    finally:
        for name, text in before.items():
            page.machine.put(f"{folder}/{name}", text)
        page.machine.inside("systemctl", "daemon-reload")
