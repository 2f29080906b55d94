"""What a deployment costs while many people look at the page: `python -m bench web`.

`gitdeploy web` serves the measured app; deployments (upgrade, rollback, upgrade ...) are started through its API, first
with nobody looking, then under load: idle event streams and requests at a steady rate, from a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.app import NEW, App, Shape
from bench.packages import made_packages, real_packages

WORDS = (sys.executable, "-m", "gitdeploy")
ROOT = Path(__file__).resolve().parent.parent
GOAL = 1.2  # times as long under load


@dataclass
class Times:
    """Seconds of each deployment, as its own record says."""

    upgrade: list[float] = field(default_factory=list)
    rollback: list[float] = field(default_factory=list)


class Page:
    """The served page of APP."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.token = secrets.token_urlsafe(32)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def environment(self) -> dict[str, str]:
        return {**self.app.environment, "GITDEPLOY_WEB_TOKEN": self.token, "PYTHONPATH": str(ROOT)}

    @contextmanager
    def served(self) -> Iterator[int]:
        """Serve it; the process id."""
        server = subprocess.Popen(
            [*WORDS, "web", "--port", str(self.port)], cwd=self.app.site, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,  # as a service has one
        )  # fmt: skip
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    self.ask("/healthz")
                    break
                except OSError:
                    time.sleep(0.1)
            yield server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/upgrade{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{path}: {error.read().decode()}")

    def deploy(self, path: str, body: dict[str, Any]) -> float:
        """Start it, wait for its end; the seconds that it took by its own record. Ends the program where it fails."""
        answer = self.ask(path, body)
        if not answer["success"]:
            sys.exit(f"{path}: {answer}")
        return float(self.ask(f"/api/upgrade-log?deployment={answer['deployment']}")["duration"])

    def both(self, times: Times) -> None:
        times.upgrade.append(self.deploy("/api/start-upgrade", {"tag": NEW}))
        times.rollback.append(self.deploy("/api/rollback", {}))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench web", description="A deployment while many people look at the page."
    )
    parser.add_argument("--streams", type=int, default=200, help="event streams that stay open (200)")
    parser.add_argument("--rate", type=float, default=50, help="requests a second beside them (50)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=8,
        help="upgrades and rollbacks with nobody looking, half before and half after (8)",
    )
    parser.add_argument(
        "--made", action="store_true", help="packages made here instead of ten real ones from the index"
    )
    parser.add_argument(
        "--cache", type=Path, help="where the app is kept between runs (BENCH_CACHE, or a temporary folder)"
    )
    asked = parser.parse_args(arguments)
    cache = asked.cache or Path(os.environ.get("BENCH_CACHE") or Path(tempfile.gettempdir()) / "gitdeploy-bench-own")
    packages = None if asked.made else real_packages(cache / "wheels")
    app = App(cache, Shape(), packages or made_packages(cache / "wheels-made"))
    app.restore("web", lambda: None)
    page = Page(app)
    alone, loaded = Times(), Times()
    with page.served() as pid:
        page.both(Times())  # the first adopts the venv and fills caches
        for _ in range(asked.rounds // 2):
            page.both(alone)
        before = _cpu(pid)
        words = [f"127.0.0.1:{page.port}", str(asked.streams), str(asked.rate), str(asked.seconds)]
        client = subprocess.Popen(
            [sys.executable, "-m", "bench.web_client", *words], cwd=ROOT, env=page.environment, stdout=subprocess.PIPE
        )
        time.sleep(3)  # until all streams stand
        end = time.monotonic() + asked.seconds - 3
        while time.monotonic() < end - max(alone.upgrade) - max(alone.rollback):
            page.both(loaded)
        said = json.loads(client.communicate()[0])
        busy = (_cpu(pid) - before) / asked.seconds
        for _ in range(asked.rounds - asked.rounds // 2):
            page.both(alone)  # half before and half after: whatever else the machine does meanwhile counts for both
        memory = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
    _report(asked, said, alone, loaded, memory, busy)


def _report(
    asked: argparse.Namespace, said: dict[str, Any], alone: Times, loaded: Times, memory: float, busy: float
) -> None:
    print(f"{said['streams']} event streams of {asked.streams}, {said['events']} events; {asked.seconds:.0f} s")
    print(f"requests: {said['answers']} answered, {said['rate']:.1f} a second of {asked.rate:.0f}")
    print(
        f"  median {said['median'] * 1000:.0f} ms, 99 % within {said['p99'] * 1000:.0f} ms, slowest {said['slowest'] * 1000:.0f} ms"
    )
    print(f"failed: {len(said['failed'])}")
    for line in said["failed"][:5]:
        print(f"  {line}")
    for name in ("upgrade", "rollback"):
        one, other = getattr(alone, name), getattr(loaded, name)
        if not other:
            print(f"{name}: no time for one under load; more --seconds")
            continue
        print(
            f"{name}: {median(one):.2f} s with nobody looking ({len(one)}), {median(other):.2f} s under load ({len(other)}): "
            f"{median(other) / median(one):.2f} x (goal: {GOAL} x)"
        )
    print(
        f"memory of the web process: {memory:.0f} MB at its peak; processor: {busy:.2f} cores, the client {said['cpu']:.2f}"
    )


def _cpu(pid: int) -> float:
    """Seconds of processor time that PID has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
