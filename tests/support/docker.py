"""A real Docker engine with everything of its own (data, socket, mounts), or Podman's in its place, and an app that runs in a
container of it: the checkout is bind-mounted, the network is the machine's own.

with engine("docker", folder) as docker:
    app = ContainerApp(folder / "app-1", docker)
    app.publish("v1.0.0"); app.start("v1.0.0")

Packages: docker.io docker-compose (Debian); for Podman: podman runc. Its root is that of `systemd_root`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import systemd_root

from support.sample import PROJECT, Content
from support.served import Served
from support.waiting import wait_until

PROGRAMS = {
    "docker": {"dockerd": "docker.io", "docker": "docker.io", "docker-compose": "docker-compose"},
    "podman": {"podman": "podman", "runc": "runc", "docker": "docker.io", "docker-compose": "docker-compose"},
}
IMAGE = "minimal:1"
# Of the machine's root, what a container needs: a tenth of it, since every container is a copy.
_LEFT_OUT = (
    "boot dev proc run sys tmp usr/share usr/lib/postgresql usr/lib/uwsgi usr/lib/systemd usr/lib/python3 var".split()
)

APP = """\
import http.server, json, os, signal, subprocess, sys
import greeting

VERSION = "{version}"
{body}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if self.path == "/upgrade":  # the app starts its own upgrade, without any precaution
            done = subprocess.run([*{gitdeploy!r}, "upgrade", "v9.0.0"], capture_output=True, text=True)
            said = {{"code": done.returncode, "said": done.stderr}}
        else:
            said = {{"version": VERSION, "greeting": greeting.VERSION}}
            if "health" in globals():
                status = health()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *words):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("serving", VERSION, flush=True)
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
SETTINGS = """\
app: {{name: shop}}
source: {{type: git}}
service: {{compose: web, timeout: 40{more}}}
health:
  url: http://127.0.0.1:{port}/health
  version: {{json: version}}
  successes: 2
  interval: 0.1
  timeout: 6
"""
SICK = "def health():\n    print('no route to the queue', flush=True)\n    return 500\n"
CRASHING = "sys.exit('no licence')\n"


def missing(kind: str) -> str | None:
    """Why there can be no such engine here, naming the package; None where there can."""
    for program, package in PROGRAMS[kind].items():
        if shutil.which(program) is None:
            return f"needs {program} (Debian package {package})"
    return systemd_root.missing()


@dataclass
class Engine:
    """A running engine; `variables` say which to Docker's programs."""

    kind: str
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def variables(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    def docker(self, *words: str, **options: Any) -> str:
        done = subprocess.run(["docker", *words], env={**os.environ, **self.variables}, capture_output=True, **options)
        assert done.returncode == 0, (words, done.stderr)
        return str(done.stdout.decode().strip())

    def import_image(self) -> None:
        base = systemd_root.base_root()
        words = ["tar", "-C", str(base), "-c", *(f"--exclude=./{name}/*" for name in _LEFT_OUT), "."]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as packing:
            self.docker("import", "-", IMAGE, stdin=packing.stdout)
        assert packing.returncode == 0


@contextmanager
def engine(kind: str, folder: Path) -> Iterator[Engine]:
    """An engine of KIND that keeps everything in FOLDER, with the image."""
    made = Engine(kind, folder)
    folder.mkdir(parents=True)
    environment = dict(os.environ)
    if kind == "docker":
        words = ["dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--host=unix://{made.socket}",
                 f"--pidfile={folder}/pid", "--iptables=false", "--bridge=none", "--storage-driver=vfs"]  # fmt: skip
    else:
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/data"\nrunroot = "{folder}/exec"\n'
        )
        # Not more than we have ourselves, and runc, which also knows the older layout of control groups.
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n[engine]\nruntime = "runc"\n'
        )
        environment |= {
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_CONF": f"{folder}/containers.conf",
        }
        words = ["podman", "system", "service", "--time=0", f"unix://{made.socket}"]
    # In a mount namespace of its own, without what other tests have mounted: each container would hold that busy.
    alone = 'grep -oE " (/tmp|/dev/shm)/[^ ]+" /proc/self/mounts | sort -r | xargs -r umount -l 2>/dev/null; exec "$@"'
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", alone, "sh", *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: made.docker("version") or True, (folder / "log").read_text, errors=AssertionError, every=0.1)
        made.import_image()
        yield made
    finally:
        if names := made.docker("ps", "--all", "--quiet").split():
            made.docker("rm", "--force", *names)
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class ContainerApp(Served):
    """An app that runs in a container of ENGINE."""

    engine: Engine = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.extra_environment = {**self.extra_environment, **self.engine.variables}
        self.accepts = ("service.timeout", "service.stop_for_switch")
        for version in ("1.0", "2.0"):
            self.wheel("greeting", version)

    def publish(self, tag: str, *, body: str = "", greeting: str = "1.0", more: str = "") -> None:
        """A release whose app has BODY in it; MORE settings of the service."""
        version = tag.removeprefix("v")
        gitdeploy = [sys.executable, "-m", "gitdeploy", "-C", str(self.app)]
        tree: dict[str | bytes, Content] = {
            "app.py": APP.format(version=version, body=body, port=self.port, gitdeploy=gitdeploy),
            "docker-compose.yml": self.compose_file(),
            "requirements.txt": f"greeting=={greeting}\n",
            "deploy.yaml": SETTINGS.format(port=self.port, more=more),
            ".gitignore": "/venv\n__pycache__/\n",
        }
        self.release(tag, tree)

    def compose_file(self) -> str:
        """The app's own; what gitdeploy itself needs is there too, so that the app can try to upgrade itself."""
        docker = [shutil.which("docker"), shutil.which("docker-compose"), "/usr/libexec/docker", "/usr/lib/docker"]
        own = [str(PROJECT), sys.prefix, "/usr/lib/python3", str(self.folder), str(self.engine.socket.parent)]
        own += [sys.base_prefix] if sys.base_prefix != "/usr" else []
        places = dict.fromkeys(os.path.realpath(place) for place in (*docker, *own) if place and os.path.exists(place))
        service = {
            "image": IMAGE,
            "network_mode": "host",
            "working_dir": str(self.app),
            "command": ["venv/bin/python", "-B", "app.py"],
            "environment": {**self.engine.variables, "PIP_NO_INDEX": "1", "PATH": "/usr/local/bin:/usr/bin:/usr/sbin"},
            "volumes": [f"{place}:{place}" for place in places],
            "stop_grace_period": "1s",
        }
        return json.dumps({"version": "3.4", "services": {"web": service, "database": {"image": IMAGE}}}, indent=1)

    def start_app(self, tag: str) -> None:
        """A checkout of TAG that runs in its container."""
        self.install(tag)
        self.compose("up", "--detach", "web")
        self.wait(tag)

    def compose(self, *words: str) -> None:
        self._run("docker-compose", *words)

    def log(self) -> str:
        return self.engine.docker("logs", self.container())

    def container(self) -> str:
        """The id of the app's container."""
        label = f"label=com.docker.compose.project.working_dir={self.app}"
        return self.engine.docker("ps", "--all", "--quiet", "--no-trunc", f"--filter={label}")

    def started_at(self) -> str:
        return self.engine.docker("inspect", "--format={{.State.StartedAt}}", self.container())
