"""A web app on a machine with its own systemd: gunicorn in a unit, run by the app's user from a git checkout with a venv.

app = MachineApp(machine)
app.publish("v1.0.0"); app.install("v1.0.0")     # /srv/otrs-web, user otrs, otrs-web.service, answering
app.publish("v2.0.0", body="…")                  # a release whose wsgi.py has BODY in it
app.gitdeploy("upgrade", "v2.0.0")               # as otrs, in a unit of its own as a login shell would be
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from systemd_root import Machine

from support.sample import Done, Files, Sample, Tree, accepting
from support.waiting import wait_until

ROOT = "/srv/otrs-web"
PORT = 8000
URL = f"http://127.0.0.1:{PORT}"

APP = """\
import json, os, subprocess
import greeting

VERSION = "{version}"
{body}

def application(environ, start):
    path = environ["PATH_INFO"]
    status = "200 OK"
    if path.startswith("/upgrade/"):  # the app's own page starts its upgrade, without any precaution
        subprocess.Popen(["/usr/local/bin/upgrade-app", path[9:]], stdin=subprocess.DEVNULL)
    if path == "/health":
        status = health() if "health" in globals() else status
    start(status, [("Content-Type", "application/json")])
    return [json.dumps({"version": VERSION, "greeting": greeting.VERSION, "pid": os.getpid()}).encode()]
"""

SETTINGS = f"""\
app: {{name: otrs-web}}
source: {{type: git}}
hooks: {{dir: hooks}}
service: {{systemd: otrs-web, timeout: 20}}
health:
  url: {URL}/health
  version: {{json: version}}
  successes: 2
  interval: 0.1
  timeout: 4
"""

UNIT = f"""
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
User=otrs
WorkingDirectory={ROOT}
ExecStart={ROOT}/venv/bin/python -m gunicorn -w 2 -b 127.0.0.1:{PORT} wsgi
ExecReload=/bin/kill -HUP $MAINPID
TimeoutStopSec=5
Restart=on-failure
RestartSec=0.3
[Install]
WantedBy=multi-user.target
"""

# The socket stays open while the service behind it is restarted: requests wait instead of failing.
SOCKET_UNIT = UNIT.replace(f" -b 127.0.0.1:{PORT}", "").replace("[Service]", "Requires=otrs-web.socket\n[Service]")
SOCKET = f"[Socket]\nListenStream=127.0.0.1:{PORT}\n"

TRAFFIC = f"""
import collections, http.client, json, os, sys, threading, time
end, counts, slowest = time.monotonic() + 90, collections.Counter(), [0.0]
def visitor():
    while time.monotonic() < end and not os.path.exists("/tmp/traffic-ends"):
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", {PORT}, timeout=20)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            said = json.loads(answer.read())["version"] if answer.status == 200 else str(answer.status)
        except Exception as error:
            said = type(error).__name__
        finally:
            connection.close()
        counts[said] += 1
        slowest[0] = max(slowest[0], time.monotonic() - begun)
        time.sleep(0.03)  # a hundred a second: more would only take the cores from what is tested
threads = [threading.Thread(target=visitor) for _ in range(3)]
[each.start() for each in threads]; [each.join() for each in threads]
print(json.dumps([counts, slowest[0]]))
"""

POLKIT = """
polkit.addRule(function(action, subject) {
  if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "otrs" &&
      action.lookup("unit") == "otrs-web.service") { return polkit.Result.YES; }
});
"""


# Its releases bring settings of their own, and the operator lets them.
ACCEPTS = (
    "service.systemd", "service.supervisor", "service.pidfile", "service.signal", "service.command", "service.log",
    "service.stop_for_switch", "service.timeout", "maintenance.file", "backup.restore_data", "backup.databases",
)  # fmt: skip


@dataclass
class MachineApp:
    """One app on MACHINE. `settings`: the deploy.yaml of what is published from now on."""

    machine: Machine
    settings: str = SETTINGS
    files: Files = field(default_factory=dict)
    prepare: str = "true"  # a shell line, run in the checkout before the app is started first
    unit_text: str = ""

    def __post_init__(self) -> None:
        self.uid = self.machine.add_user("otrs")
        self.source = Sample(self.machine.root / "srv/source")
        for version in ("1.0", "2.0"):
            self.source.wheel("greeting", version)
        self.machine.put("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /srv/source/wheels\n")

    # ---- the releases and the server ----

    def publish(self, tag: str, *, body: str = "", greeting: str = "1.0", files: Tree | None = None) -> None:
        version = tag.removeprefix("v")
        tree: Files = {
            "wsgi.py": APP.replace("{version}", version).replace("{body}", body),
            "requirements.txt": f"greeting=={greeting}\n",
            "deploy.yaml": self.settings,
            ".gitignore": "/venv\n__pycache__/\n/run/\n",
            **self.files,
            **(files or {}),
        }
        self.machine.inside("chown", "-R", "root:root", "/srv/source")  # git works in no other user's repository
        self.source.release(tag, tree)
        self.machine.inside("chown", "-R", "otrs:otrs", "/srv/source")

    def checkout(self, tag: str) -> None:
        """A checkout of TAG with its venv, not started."""
        machine = self.machine
        machine.inside("install", "-d", "-o", "otrs", "-g", "otrs", ROOT)
        self.user("git", "clone", "-q", "/srv/source/remote", ROOT)
        self.user("git", "-c", "advice.detachedHead=false", "checkout", "-q", tag)
        self.user("/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", "venv")
        uv = "/opt/gitdeploy/venv/bin/uv"
        self.user(uv, "pip", "install", "-q", "--no-config", "--no-index", "--find-links", "/srv/source/wheels",
                  "--link-mode", "copy", "-p", "venv/bin/python", "-r", "requirements.txt")  # fmt: skip
        self.user("sh", "-c", self.prepare)

    def install(self, tag: str, unit: str = UNIT, socket: str | None = None) -> None:
        """A checkout of TAG that runs in otrs-web.service."""
        machine = self.machine
        self.checkout(tag)
        self.unit_text = unit
        if socket is not None:
            machine.unit("otrs-web.socket", socket)
        machine.unit("otrs-web.service", unit)
        self.start()

    def start(self) -> None:
        self.machine.inside("systemctl", "reset-failed", "otrs-web", check=False)
        self.machine.inside("systemctl", "restart", "otrs-web")
        self.machine.wait_for("curl", "-sf", f"{URL}/health")

    def bring_to(self, tag: str) -> None:
        """TAG is live, whichever tests ran before."""
        if self.version() != tag.removeprefix("v"):
            self.gitdeploy("upgrade", tag, "--allow-downgrade", user=None)
            assert self.version() == tag.removeprefix("v")

    def allow(self) -> None:
        """otrs may restart just this unit, and has a manager of its own that outlives a login."""
        self.machine.put("/etc/polkit-1/rules.d/50-otrs.rules", POLKIT)
        self.machine.inside("systemctl", "restart", "polkit")
        self.machine.inside("loginctl", "enable-linger", "otrs")
        self.machine.wait_for("test", "-S", f"/run/user/{self.uid}/bus")

    # ---- using it ----

    def user(self, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run something as otrs in the checkout."""
        return self.machine.inside(*words, user="otrs", cwd=ROOT, check=check, timeout=timeout)

    def gitdeploy(self, *words: str, code: int | None = 0, user: str | None = "otrs") -> Done:
        """Run gitdeploy as USER (None: root). CODE None: any exit code will do."""
        done = self.machine.inside("gitdeploy", "-C", ROOT, *accepting(words, ACCEPTS), user=user, check=False)
        ended = Done(done.returncode, done.stdout, done.stderr)
        assert code is None or done.returncode == code, f"exit code {done.returncode}, not {code}:\n{ended.text}"
        assert not re.search("^Traceback", ended.text, re.MULTILINE), (
            ended.text
        )  # what the app's own log says may hold one
        return ended

    @contextmanager
    def traffic(self, counts: Counter[str]) -> Iterator[None]:
        """Three visitors ask a hundred times a second; COUNTS has each version, status or error that they met."""
        self.machine.inside("rm", "-f", "/tmp/traffic-ends")
        with ThreadPoolExecutor(1) as pool:
            visitors = pool.submit(self.machine.inside, "python3", "-c", TRAFFIC)
            try:
                yield
            finally:
                time.sleep(0.5)
                self.machine.inside("touch", "/tmp/traffic-ends")
            found, slowest = json.loads(visitors.result().stdout)
        counts.update(found)
        print(f"answers: {dict(counts)}, the slowest after {slowest:.2f} s")

    def ask(self, path: str = "/health") -> dict[str, Any]:
        return dict(json.loads(self.machine.wait_for("curl", "-s", "-m", "5", f"{URL}{path}")))

    def version(self) -> str:
        return str(self.ask()["version"])

    def deployments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.gitdeploy("--json", "log").out)
        return found

    def next_deployment(self) -> int:
        """The id that the next one will have."""
        return max((int(each["id"]) for each in self.deployments()), default=0) + 1

    def wait_deployment(self, number: int, seconds: float = 60) -> dict[str, Any]:
        """The deployment NUMBER with its log, once it has ended."""

        def ended() -> dict[str, Any]:
            done = self.gitdeploy("--json", "log", str(number), code=None)
            found: dict[str, Any] = json.loads(done.out) if done.code == 0 else {}
            return found if found.get("ended_at") else {}

        return wait_until(ended, f"the end of deployment {number}", seconds=seconds, every=0.3)

    def restart_count(self) -> int:
        text = self.machine.inside("journalctl", "-u", "otrs-web", "--output=cat", "--no-pager").stdout
        return text.count("Starting otrs-web.service")
