"""gunicorn, started as people start it: `venv/bin/gunicorn`. It starts itself again, or forks, from the venv that is live."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.sample import Sample

from gitdeploy.venvs.scripts import rewrite

pytest.importorskip("gunicorn")

WSGI = """\
import json, os, sys
import greeting
VERSION = open("VERSION").read()
def application(environ, start):
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"version": VERSION, "greeting": greeting.VERSION, "prefix": sys.prefix}).encode()]
"""


class Served(Sample):
    port: int
    signal: str

    def start_app(self, *program: str) -> None:
        subprocess.run(
            [*program, "-w", "1", "-b", f"127.0.0.1:{self.port}", "--pid", "run/pid", "--daemon", "--log-file",
             "run/log", "wsgi"],
            cwd=self.app,
            env={**self.environment, "PYTHONPATH": ""},
            check=True,
        )  # fmt: skip
        self.ask()

    def stop_app(self) -> None:
        file = self.app / "run/pid"
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGTERM)
        end = time.monotonic() + 20
        while file.exists() and time.monotonic() < end:
            time.sleep(0.05)

    def ask(self) -> dict[str, str]:
        end = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                    found: dict[str, str] = json.load(answer)
                    return found
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def tree(self, number: int, greeting: int) -> dict[str | bytes, str]:
        return {
            ".gitignore": "/venv\n/run/\n/deploy.yaml\n__pycache__/\n",
            "VERSION": f"{number}.0.0",
            "wsgi.py": WSGI,
            "requirements.txt": f"gunicorn\ngreeting=={greeting}.0\n",
        }

    def settings(self, kind: str) -> None:
        self.signal = kind
        (self.app / "deploy.yaml").write_text(
            "app: {name: shop}\nsource: {type: git}\n"
            f"service: {{pidfile: run/pid, signal: {kind}, timeout: 15}}\n"
            f"health: {{url: 'http://127.0.0.1:{self.port}/', version: {{json: version}}, timeout: 8, interval: 0.1}}\n"
        )


@pytest.fixture(params=["USR2", "HUP"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    shop = Served(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shop.port = free.getsockname()[1]
    shop.real_wheels("gunicorn")
    for number in (1, 2, 3):
        shop.wheel("greeting", f"{number}.0")
        shop.release(f"v{number}.0.0", shop.tree(number, number))
    shop.release("v4.0.0", shop.tree(4, 3))
    shop.install("v1.0.0")
    (shop.app / "run").mkdir()
    shop.settings(request.param)
    yield shop
    shop.stop_app()


def assert_live(shop: Served, number: int, greeting: int) -> None:
    said = shop.ask()
    assert (said["version"], said["greeting"]) == (f"{number}.0.0", f"{greeting}.0")


def test_a_gunicorn_of_the_venv_comes_to_the_venv_that_is_live(served: Served) -> None:
    served.start_app("venv/bin/gunicorn")
    served.gitdeploy("upgrade", "v2.0.0")
    assert_live(served, 2, 2)
    served.stop_app()
    served.start_app("venv/bin/gunicorn")  # from a generation now
    served.gitdeploy("upgrade", "v3.0.0")
    assert_live(served, 3, 3)
    served.gitdeploy("rollback", "--yes")
    assert_live(served, 2, 2)


def test_one_that_would_stay_on_an_old_venv_is_known_before_anything_begins(served: Served) -> None:
    """Scripts of generations that were built by earlier versions name the generation itself."""
    served.gitdeploy("upgrade", "v2.0.0", "--no-restart")
    generation = (served.app / "venv").resolve()
    rewrite(generation, [str(served.app / "venv")], generation)
    served.start_app("venv/bin/gunicorn")
    refused = served.gitdeploy("upgrade", "v3.0.0", code=1)
    assert f"{generation}/bin/python" in refused.err
    assert_live(served, 2, 2)
    command = refused.err.partition("start it once as:  ")[2].splitlines()[0]
    served.stop_app()
    # As it is pasted, in a shell.
    words = ["sh", "-c", command]
    subprocess.run(words, cwd=served.app, env={**served.environment, "PYTHONPATH": ""}, check=True, timeout=60)
    served.gitdeploy("upgrade", "v3.0.0")
    assert_live(served, 3, 3)
    served.gitdeploy("upgrade", "v4.0.0")  # the same venv
    assert_live(served, 4, 3)


@pytest.mark.parametrize(
    ("words", "variables", "by"),
    [
        (("--preload",), {}, "--preload"),
        ((), {"GUNICORN_CMD_ARGS": "--preload"}, "GUNICORN_CMD_ARGS"),
        ((), {}, "preload_app in gunicorn.conf.py"),
        (("-c", "run/my.py"), {}, "preload_app in my.py"),
    ],
)
@pytest.mark.parametrize("served", ["HUP"], indirect=True)
def test_a_preloaded_app_that_hup_would_leave_as_it_is_is_known_before(
    served: Served, words: tuple[str, ...], variables: dict[str, str], by: str
) -> None:
    (served.app / ".git/info/exclude").write_text("/gunicorn.conf.py\n")
    if by.startswith("preload_app"):
        (served.app / ("run/my.py" if words else "gunicorn.conf.py")).write_text("preload_app = True\n")
    served.extra_environment.update(variables)
    served.start_app("venv/bin/gunicorn", *words)
    refused = served.gitdeploy("upgrade", "v2.0.0", code=1)
    assert f"gunicorn has the app preloaded ({by}), so HUP keeps the old code." in refused.err
    assert "Set service.signal to USR2" in refused.err
    served.settings("USR2")
    served.gitdeploy("upgrade", "v2.0.0")
    assert_live(served, 2, 2)
