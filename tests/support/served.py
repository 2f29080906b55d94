"""A sample app that answers HTTP: asked, waited for, ended by its pid file."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from contextlib import suppress
from typing import Any

from gitdeploy.system.proc import start_ticks
from support.sample import Sample
from support.waiting import free_port, wait_until


class Served(Sample):
    """`/health` answers JSON with its version; it writes `run/pid` and `run/log`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"  # where it is asked: behind a proxy another one

    def ask(self, path: str = "/health", data: bytes | None = None) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}{path}", data=data, timeout=60) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}

    def version(self) -> str:
        """What the running app says; empty where nothing answers."""
        with suppress(OSError):
            return str(self.ask()["version"])
        return ""

    def wait(self, version: str, seconds: float = 20) -> dict[str, Any]:
        """What it answers once that is VERSION (a tag will do)."""
        wanted = version.removeprefix("v")
        wait_until(lambda: self.version() == wanted, self.log, seconds=seconds, every=0.1)
        return self.ask()

    def log(self) -> str:
        return (self.app / "run/log").read_text()

    def stop(self) -> None:
        """End it, and wait until it has: it would answer in place of the next one."""
        with suppress(OSError, ValueError):
            pid = int((self.app / "run/pid").read_text())
            started = start_ticks(pid)
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: start_ticks(pid) != started, f"the app's process {pid} ends", seconds=20)
