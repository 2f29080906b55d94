"""A whole tour in a temporary folder, without a network: upgrade, a broken release that rolls back, a restore.

Everything in it is real: a git remote with three releases, a checkout, a venv, small packages built on the spot, a web
app that runs, and the very commands that an operator would type.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from uv import find_uv_bin

from gitdeploy.checkout.program import program
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import render, spoken, tr
from gitdeploy.system import environment, process

LIMIT = 120.0

_APP = """\
import http.server, json, os, pathlib, sys
import greeting

VERSION = "{version}"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"version": VERSION, "says": greeting.TEXT}}).encode()
        self.send_response({status} if self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else {port}), Handler)
pathlib.Path("run").mkdir(exist_ok=True)
pathlib.Path("run/app.pid").write_text(str(os.getpid()))
server.serve_forever()
"""

_RESTART = """\
#!/bin/sh
# Stops the app where it runs and starts it anew, in the background.
[ -f run/app.pid ] && kill "$(cat run/app.pid)" 2>/dev/null
mkdir -p run && rm -f run/app.pid
setsid venv/bin/python app.py >run/log 2>&1 </dev/null &
"""

_CONFIG = """\
app: {{name: demo-app}}
source: {{type: git}}
service: {{command: ./restart.sh}}
health:
  url: http://127.0.0.1:{port}/health
  version: {{json: version}}
  timeout: 5
  interval: 0.2
rehearse: {{command: "exec venv/bin/python app.py {{port}}"}}
"""


def run_demo(tell: Callable[[str], object], *, keep: bool = False) -> Path | None:
    """Run the tour, telling each line. Returns the folder where KEEP, else it is deleted.

    Raises `GitDeployError` where a step of the tour does not end as it must.
    """
    folder = Path(tempfile.mkdtemp(prefix="gitdeploy-demo-"))
    tour = _Tour(folder, tell)
    try:
        tour.run()
    finally:
        tour.stop()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return folder if keep else None


class _Tour:
    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self.folder = folder
        self.tell = tell
        self.remote, self.app, self.wheels = folder / "remote", folder / "demo-app", folder / "wheels"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.environment = environment.clean_environment(
            {
                "HOME": str(folder),
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "demo",
                "GIT_AUTHOR_EMAIL": "demo@localhost",
                "GIT_COMMITTER_NAME": "demo",
                "GIT_COMMITTER_EMAIL": "demo@localhost",
                "UV_FIND_LINKS": str(self.wheels),
                "UV_NO_INDEX": "1",
                "UV_OFFLINE": "1",
                "GITDEPLOY_LANG": spoken(),
                "PIP_FIND_LINKS": str(self.wheels),
                "PIP_NO_INDEX": "1",
            }
        )

    def run(self) -> None:
        self._say(tr("A git remote with three releases; the third is broken. An app on v1.0.0, with a venv, running."))
        self._make_remote()
        self._make_app()
        self._ask("v1.0.0", "hello")
        self._say(tr("Is there something newer? What would the upgrade do?"))
        self._gitdeploy("releases")
        self._gitdeploy("plan", "v1.1.0")
        self._say(
            tr("The upgrade: a backup first, the new venv off to the side, one switch, a restart, the health check.")
        )
        self._gitdeploy("upgrade", "v1.1.0")
        self._ask("v1.1.0", "hello, world")
        self._say(
            tr("Would v1.2.0 work here? A rehearsal on a copy finds out, and touches nothing live (exit code 1).")
        )
        self._gitdeploy("rehearse", "v1.2.0", expected=1)
        self._say(
            tr("v1.2.0 starts, but it is not healthy. gitdeploy notices and rolls back automatically (exit code 3).")
        )
        self._gitdeploy("upgrade", "v1.2.0", expected=3)
        self._ask("v1.1.0", "hello, world")
        self._say(tr("The backups, and the first state brought back."))
        self._gitdeploy("backups")
        self._gitdeploy("rollback", "--yes")
        self._ask("v1.0.0", "hello")
        self._gitdeploy("status")
        self._gitdeploy("log")
        self._say(tr("That was it: the old release, the new one, never anything between."))

    def stop(self) -> None:
        with suppress(OSError, ValueError):
            os.kill(int((self.app / "run" / "app.pid").read_text()), signal.SIGTERM)

    # ---- making it ----

    def _make_remote(self) -> None:
        self.wheels.mkdir()
        for version, text in (("1.0", "hello"), ("1.1", "hello, world")):
            build_wheel(self.wheels, "greeting", version, {"greeting.py": f"TEXT = {text!r}\n"})
        self._git("init", "-q", "-b", "main", str(self.remote), cwd=self.folder)
        for tag, greeting, status in (("v1.0.0", "1.0", 200), ("v1.1.0", "1.1", 200), ("v1.2.0", "1.1", 500)):
            files = {
                "app.py": _APP.format(version=tag.removeprefix("v"), status=status, port=self.port),
                "requirements.txt": f"greeting=={greeting}\n",
                "restart.sh": _RESTART,
                "deploy.yaml": _CONFIG.format(port=self.port),
                ".gitignore": "/venv\n/run/\n__pycache__/\n",
                "CHANGELOG.md": f"# Changes\n\n## {tag}\n\n- The app says what greeting {greeting} says.\n",
            }
            for name, content in files.items():
                (self.remote / name).write_text(content)
            (self.remote / "restart.sh").chmod(0o755)
            self._git("add", "-A", cwd=self.remote)
            self._git("commit", "-q", "-m", f"Release {tag}", cwd=self.remote)
            self._git("tag", "-a", tag, "-m", f"Release {tag}", cwd=self.remote)

    def _make_app(self) -> None:
        self._git("init", "-q", "-b", "main", str(self.app), cwd=self.folder)
        self._git("remote", "add", "origin", f"file://{self.remote}", cwd=self.app)
        self._git("fetch", "-q", "--no-tags", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0", cwd=self.app)
        self._git("checkout", "-q", "--detach", "v1.0.0", cwd=self.app)
        uv = find_uv_bin()
        self._run([uv, "venv", "-q", "--no-config", "-p", sys.executable, "venv"], self.app)
        self._run(
            [uv, "pip", "install", "-q", "--no-config", "-p", "venv/bin/python", "-r", "requirements.txt"], self.app
        )
        self._run(["./restart.sh"], self.app, leave_daemons=True)

    def _git(self, *words: str, cwd: Path) -> None:
        self._run([program(), "-c", "advice.detachedHead=false", *words], cwd)

    def _run(self, argv: list[str], cwd: Path, *, leave_daemons: bool = False) -> None:
        done = process.run(argv, cwd=cwd, env=self.environment, timeout=LIMIT, leave_daemons=leave_daemons)
        done.check(tr("The demo's {name}", name=Path(argv[0]).name))

    # ---- the tour ----

    def _say(self, text: str) -> None:
        self.tell("")
        self.tell(f"# {render(text)}")

    def _gitdeploy(self, *words: str, expected: int = 0) -> None:
        self.tell(f"$ gitdeploy {' '.join(words)}")
        done = process.run(
            [sys.executable, "-m", "gitdeploy", *words],
            cwd=self.app,
            env={**self.environment, **_import_path()},
            timeout=LIMIT,
            on_line=self.tell,
            leave_daemons=True,
        )
        if done.returncode != expected:
            raise GitDeployError(
                tr(
                    "The demo's `gitdeploy {words}` ended with exit code {returncode}, not {expected}.",
                    words=" ".join(words),
                    returncode=done.returncode,
                    expected=expected,
                ),
                tr("Please report it with the output above."),
            )
        if expected:
            self.tell(render(tr("(exit code {returncode})", returncode=done.returncode)))

    def _ask(self, version: str, says: str) -> None:
        """What the running app answers must be VERSION's."""
        wanted = f'{{"version": "{version.removeprefix("v")}", "says": "{says}"}}'
        answer = ""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with (
                suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(  # our own app on loopback
                    f"http://127.0.0.1:{self.port}/", timeout=2
                ) as reply,
            ):
                answer = reply.read().decode()
                if answer == wanted:
                    self.tell(f"$ curl -s http://127.0.0.1:{self.port}/")
                    self.tell(answer)
                    return
            time.sleep(0.1)
        log = self.app / "run" / "log"
        raise GitDeployError(
            tr("The demo's app answers {answer}, not {wanted}.", answer=answer or "nothing", wanted=wanted),
            log.read_text(errors="replace")[-500:] if log.exists() else "",
        )


def _import_path() -> dict[str, str]:
    """So that the child finds the same gitdeploy, installed or not."""
    return {"PYTHONPATH": str(Path(__file__).parent.parent)}


def build_wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> None:
    """Write a tiny wheel into FOLDER: NAME, VERSION and the texts FILES by path (binary distribution format, PEP 427)."""
    info = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in contents.items():
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in contents.items():
            wheel.writestr(path, text)
