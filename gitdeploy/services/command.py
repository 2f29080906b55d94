"""A command that restarts the app: whatever else there is. Nothing more can be known of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.services.base import OnLine, ServiceFailed, said_by
from gitdeploy.services.logfile import LogFile
from gitdeploy.system import environment, process
from gitdeploy.system import owner as owners
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, redact


class Command(Struct):
    """`service.command`: run by /bin/sh in the checkout, always as the checkout's owner. What it leaves running (the
    app itself) lives on. `log`: the file that the app writes, `service.log`."""

    command: str
    root: Path
    owner: int
    timeout: float = 60.0
    log: str | None = None
    _log: LogFile | None = None
    kind: ClassVar[str] = "command"

    def __post_init__(self) -> None:
        self._log = LogFile(self.log, self.root, self.owner) if self.log else None

    @property
    def name(self) -> str:
        return redact(clean(self.command, limit=60))

    def restart(self, on_line: OnLine | None = None) -> None:
        begun = time.time()
        if self._log:
            self._log.mark()
        done = process.run(
            owners.command_as(["/bin/sh", "-c", self.command], self.owner),
            cwd=self.root,
            env=environment.clean_environment(owners.variables(self.owner)),
            timeout=self.timeout,
            on_line=on_line,
            marked=True,
            leave_daemons=True,
        )
        if not done.ok:
            ending = (
                tr("not done after {timeout}", timeout=duration_text(self.timeout)) if done.timed_out else done.ending
            )
            *lines, last = done.error_text.splitlines() or [""]
            error = ServiceFailed(
                tr("The restart command `{name}` failed ({ending})", name=self.name, ending=ending)
                + (f": {last}" if last else "."),
                tr("service.command in deploy.yaml"),
                details=(*lines, *said_by(self, begun)),
            )
            error.fault = "release"
            raise error

    def stop(self, on_line: OnLine | None = None) -> None:
        raise ServiceFailed(tr("`{name}` restarts the app, but nothing says how to stop it.", name=self.name))

    def start(self, on_line: OnLine | None = None) -> None:
        self.restart(on_line)

    def is_up(self) -> str | None:
        return None

    def changing(self) -> str | None:
        return None

    def gave_up(self) -> str | None:
        return None

    def processes(self) -> tuple[Identity, ...]:
        return ()

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        return self._log.last_lines(most, since) if self._log else []

    def restarts(self) -> int | None:
        return None

    def problems(self) -> list[tuple[str, str]]:
        return []

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "command": self.command,
            "root": str(self.root),
            "owner": self.owner,
            "timeout": self.timeout,
            "log": self.log,
        }
