"""`service.stop_for_switch` with build hooks: the old release answers while they run, and is down for the migration alone."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.sample import Program, Sample, Tree
from support.waiting import free_port, wait_until

from gitdeploy.system import faultpoints

pytestmark = pytest.mark.xdist_group("build-while-it-serves")

APP = """\
import http.server, pathlib, sys
version = pathlib.Path("VERSION").read_text()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(version.encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
START = "#!/bin/sh\nPYTHON app.py PORT >/dev/null 2>&1 </dev/null &\nmkdir -p run; echo $! >run/pid\n"
STOP = "#!/bin/sh\n[ -f run/pid ] || exit 0\nkill $(cat run/pid) 2>/dev/null\nwhile kill -0 $(cat run/pid) 2>/dev/null; do sleep 0.02; done\nrm -f run/pid\n"
SETTINGS = """\
app: {name: shop}
source: {type: git}
venv: {path: null}
hooks: {dir: hooks}
service: {stop: ./stop, start: ./start, pid: run/pid, stop_for_switch: true}
health: {url: "http://127.0.0.1:PORT/", successes: 1, interval: 0.05, timeout: 20}
backup: {databases: ["sqlite:///shop.db"]}
"""
# What is answered just before a hook ends is what is served all the time that it runs.
ASK = """#!/bin/sh
sleep 0.8
PYTHON -c '
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:PORT/", timeout=5).read().decode(), end="")' >>asked 2>/dev/null || echo down >>asked
echo ' in NAME' >>asked
"""


class Shop(Sample):
    port: int

    def tree(self, version: str, **hooks: str) -> Tree:
        fill = {"PORT": str(self.port), "PYTHON": "python3"}

        def filled(text: str) -> str:
            for name, value in fill.items():
                text = text.replace(name, value)
            return text

        return {
            "deploy.yaml": filled(SETTINGS),
            ".gitignore": "/run/\n/asked\n/shop.db\n",
            "VERSION": version,
            "app.py": APP,
            "start": Program(filled(START)),
            "stop": Program(filled(STOP)),
            **{f"hooks/{name.replace('_', '-')}": Program(filled(text)) for name, text in hooks.items()},
        }

    def served(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return "down"

    def steps(self) -> list[str]:
        """Those of the last deployment, in order."""
        return [step["name"] for step in json.loads(self.gitdeploy("log", "1", "--json").out)["steps"]]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path, venv=False)
    shop.port = free_port()
    asks = {name: ASK.replace("NAME", name) for name in ("build", "migrate")}
    shop.release("v1.0.0", shop.tree("1.0.0"))
    shop.release("v2.0.0", shop.tree("2.0.0", **asks))
    shop.release("v2.0.1", shop.tree("2.0.1", build="#!/bin/sh\nexit 1\n", migrate=asks["migrate"]))
    shop.release("v2.0.2", shop.tree("2.0.2", migrate=asks["migrate"]))
    shop.install("v1.0.0", branch="main")
    (shop.app / "shop.db").touch()
    subprocess.run(["./start"], cwd=shop.app, check=True)
    wait_until(lambda: shop.served() == "1.0.0", "it serves")
    yield shop
    subprocess.run(["./stop"], cwd=shop.app)


@contextmanager
def asking(shop: Shop) -> Iterator[list[str]]:
    """What is answered all the time."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            answers.append(shop.served())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def test_the_old_release_answers_while_the_new_one_is_built(shop: Shop) -> None:
    with asking(shop) as answers:
        shop.gitdeploy("upgrade", "v2.0.0")
    assert (shop.app / "asked").read_text().splitlines() == ["1.0.0 in build", "down", " in migrate"]
    assert list(dict.fromkeys(answers)) == ["1.0.0", "down", "2.0.0"]
    assert answers == sorted(answers, key=["1.0.0", "down", "2.0.0"].index), "down once, from the end of the build"
    order = shop.steps()
    assert (
        order.index("switch")
        < order.index("build", 1)
        < order.index("stop")
        < order.index("dump")
        < order.index("migrate")
    )


def test_without_build_hooks_it_is_down_before_the_switch(shop: Shop) -> None:
    shop.gitdeploy("upgrade", "v2.0.2")
    order = shop.steps()
    assert order.index("stop") < order.index("dump") < order.index("switch") < order.index("migrate")


def test_a_build_that_fails_never_stopped_the_app(shop: Shop) -> None:
    with asking(shop) as answers:
        shop.gitdeploy("upgrade", "v2.0.1", code=3)
    assert set(answers) == {"1.0.0"}
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    assert "stop" not in shop.steps()


@pytest.mark.parametrize("point", ["applied build", "applied stop", "database dumped", "applied migrate"])
def test_killed_there_the_old_release_serves_again(shop: Shop, point: str) -> None:
    plan = shop.folder / "plan"
    plan.write_text(f"{faultpoints.MAGIC}\nkill-at {point}\n")
    shop.gitdeploy("upgrade", "v2.0.0", code=None, env={faultpoints.VARIABLE: str(plan)})
    assert json.loads(shop.gitdeploy("status", "--json").out)["interrupted"]
    shop.gitdeploy("recover")
    assert (shop.app / "VERSION").read_text() == "1.0.0"
    wait_until(lambda: shop.served() == "1.0.0", "the old release serves")
