"""Two apps in two threads of one process: each deployment is told of its own children, and of no other's."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from support.sample import Program, Sample

SCRIPT = """
import sys, threading
from gitdeploy import App

ended = {}

def deploy(folder):
    ended[folder] = App.open(folder).upgrade("v2.0.0").status

threads = [threading.Thread(target=deploy, args=(folder,)) for folder in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*(ended.get(folder) for folder in sys.argv[1:]))
"""


def made(folder: Path, name: str) -> Sample:
    """An app whose hook waits until the other's runs too, so that both deployments are under way at once."""
    app = Sample(folder / name, venv=False)
    meet = Program(
        f"#!/bin/sh\ntouch {folder}/{name}-runs\n"
        f"for _ in $(seq 600); do [ -e {folder}/one-runs ] && [ -e {folder}/two-runs ] && exit 0; sleep 0.1; done; exit 1\n"
    )
    for version in ("1.0.0", "2.0.0"):
        app.release(
            f"v{version}",
            {
                "deploy.yaml": f"app: {{name: {name}}}\nsource: {{type: git}}\nhooks: {{dir: hooks}}\n",
                "VERSION": version,
                "hooks/post-deploy": meet,
            },
        )
    app.install("v1.0.0")
    return app


def test_both_succeed_and_each_journal_has_its_own_children(tmp_path: Path) -> None:
    apps = [made(tmp_path, name) for name in ("one", "two")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *(str(app.app) for app in apps)],
        env=apps[0].environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["succeeded", "succeeded"], done.stderr
    for app, other in (apps, apps[::-1]):
        assert (app.app / "VERSION").read_text() == "2.0.0"
        (deployment,) = json.loads(app.gitdeploy("--json", "log").out)
        told = app.gitdeploy("log", str(deployment["id"])).text
        assert str(other.app) not in told
        with closing(sqlite3.connect(app.app / ".gitdeploy/state.db")) as database:
            children = "".join(data for (data,) in database.execute("SELECT data FROM record WHERE kind = 'child'"))
        assert "post-deploy" in children
        assert f"{other.app}/" not in children
