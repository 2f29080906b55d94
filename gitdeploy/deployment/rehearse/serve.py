"""The app, started in the copy at a port of its own, and its health."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import health
from gitdeploy.config import HealthConfig
from gitdeploy.deployment.prepare.in_copy import InCopy
from gitdeploy.deployment.rehearse.environment import LOOPBACK
from gitdeploy.messages import tr
from gitdeploy.system import background
from gitdeploy.system.background import Served
from gitdeploy.system.isolation import Isolation
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, redact, telling_line

_MOST_WARNINGS = 10
_WARNING = re.compile(r"\b(?:WARN(?:ING)?|ERROR|CRITICAL|\w+Warning)\b")
_DIFFERS = re.compile(r"\d+")  # times, process ids: what makes two lines of one warning
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def held_port() -> socket.socket:
    """A port of loopback, kept: nobody else is given it while this is open. Who asks to share it (SO_REUSEADDR), as our own
    listener does, may listen there."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((LOOPBACK, 0))
    return made


def at_port(config: HealthConfig, port: int) -> HealthConfig:
    """CONFIG, asked of the app at PORT of loopback instead, as if by its own name. A command is not run: it may ask the live app."""
    urls: dict[str, None] = {}
    headers = dict(config.headers)
    for url in config.url:
        parts = urlsplit(url)
        urls[f"http://127.0.0.1:{port}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")] = None
        if parts.hostname not in _LOOPBACK:
            headers.setdefault("Host", parts.netloc.rpartition("@")[2])
        if parts.scheme == "https":
            headers.setdefault("X-Forwarded-Proto", "https")
    return replace(
        config,
        url=tuple(urls),
        tcp=(f"127.0.0.1:{port}",) if config.tcp else (),
        command=None,
        headers=MappingProxyType(headers),
    )


class RehearsedApp(Struct):
    """The started app, as what waits for its health looks at it."""

    served: Served
    name: str
    kind: str = "rehearsal"

    def is_up(self) -> str | None:
        code = self.served.ended()
        if code is None:
            return None
        if code < 0:
            return tr("{name} was ended by signal {number}", name=self.name, number=-code)
        told = telling_line(self.lines())
        said = tr(": {told}", told=told) if told else ""
        return tr("{name} ended with exit code {code}{said}", name=self.name, code=code, said=said)

    def gave_up(self) -> str | None:
        return self.is_up()

    def processes(self) -> tuple[Identity, ...]:
        return ()

    def restarts(self) -> int | None:
        return None

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        return self.lines()[-most:]

    def lines(self) -> list[str]:
        """The end of what it printed."""
        return [redact(clean(line)) for line in self.served.lines() if line.strip()]

    def warnings(self) -> list[str]:
        """What it warned of, each once."""
        found = {_DIFFERS.sub("", line): line for line in reversed(self.lines()) if _WARNING.search(line)}
        return list(reversed(found.values()))[:_MOST_WARNINGS]


@contextmanager
def started(there: InCopy, command: str, isolation: Isolation, port: int, name: str) -> Iterator[RehearsedApp]:
    """The app runs as COMMAND of `rehearse.command` while the block does. Raises `CommandFailed`."""
    words = isolation.words(["/bin/sh", "-c", command.replace("{port}", str(port))], serve=port)
    environment = {**there.environment("rehearse"), "PORT": str(port)}
    with background.serving(words, cwd=there.copy, env=environment, memory=there.memory) as served:
        yield RehearsedApp(served, name)


def ask(app: RehearsedApp, there: InCopy, config: HealthConfig, version: str | None, port: int) -> str:
    """Wait until the app is healthy; what was answered. Raises `HealthFailed`."""
    journal = there.preparation.work.journal
    return health.wait_healthy(
        at_port(config, port),
        [app],
        expected_version=version,
        on_line=journal.output,
        on_progress=lambda text: journal.progress("health", text),
        root=there.copy,
    ).summary
