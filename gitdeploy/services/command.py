"""A command that restarts the app: whatever else there is. Of what it starts only as much is known as /proc tells."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.services.base import OnLine, ServiceFailed, said_by
from gitdeploy.services.logfile import LogFile
from gitdeploy.services.pidfile import PidFile
from gitdeploy.services.units import ancestors, is_gitdeploy
from gitdeploy.system import environment, interruption, proc, process
from gitdeploy.system import owner as owners
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, listing, redact

_WHAT = {"command": tr("restart command"), "stop": tr("stop command"), "start": tr("start command")}
_QUIET = 2.0  # seconds without any process of the app after which none will come
# As the first process of a container they start again what has ended.
_MANAGERS = frozenset(("supervisord", "s6-svscan", "runsvdir", "runit", "circusd", "pm2"))


class Command(Struct):
    """`service.command`: run by /bin/sh in the checkout, always as the checkout's owner. What it leaves running (the
    app itself) lives on. `log`: the file that the app writes, `service.log`; `pid`: the one with its process id. `command` may
    be empty where `stop_command` and `start_command` are set."""

    command: str
    root: Path
    owner: int
    timeout: float = 60.0
    log: str | None = None
    stop_command: str | None = None
    start_command: str | None = None
    pid: str | None = None
    _log: LogFile | None = None
    _file: PidFile | None = None
    _started: frozenset[Identity] = frozenset()
    _gone_since: float | None = None
    kind: ClassVar[str] = "command"

    def __post_init__(self) -> None:
        self._log = LogFile(self.log, self.root, self.owner) if self.log else None
        self._file = PidFile(self.pid, self.root, self.owner) if self.pid else None

    @property
    def name(self) -> str:
        return redact(clean(self.command or self.start_command or "", limit=60))

    def restart(self, on_line: OnLine | None = None) -> None:
        if self.command:
            self._starting("command", self.command, on_line)
        else:
            self.stop(on_line)
            self.start(on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        if self.stop_command is None:
            raise ServiceFailed(tr("`{name}` restarts the app, but nothing says how to stop it.", name=self.name))
        if self._file is not None and self._file.is_up() is not None:
            return
        running = self.processes()
        self._run("stop", self.stop_command, on_line)
        end = time.monotonic() + self.timeout
        while left := [each for each in running if each.alive()]:
            if time.monotonic() > end:
                raise ServiceFailed(
                    tr(
                        "{timeout} after `{name}`, process {pid} still runs.",
                        timeout=duration_text(self.timeout),
                        name=redact(clean(self.stop_command, limit=60)),
                        pid=left[0].pid,
                    ),
                    tr("service.{setting} in deploy.yaml", setting="stop"),
                )
            interruption.sleep(0.05)

    def start(self, on_line: OnLine | None = None) -> None:
        if self._file is None or self._file.is_up() is not None:
            which = "start" if self.start_command else "command"
            self._starting(which, self.start_command or self.command, on_line)

    def _starting(self, which: str, command: str, on_line: OnLine | None) -> None:
        """Run COMMAND, after which the app runs; what it has started is remembered."""
        self._started, self._gone_since = frozenset(), None
        before = frozenset(self._children_of_nobody())
        if self._log:
            self._log.mark()
        self._run(which, command, on_line)
        self._started = frozenset(self._children_of_nobody()) - before

    def _run(self, which: str, command: str, on_line: OnLine | None) -> None:
        """Run COMMAND, the setting WHICH. Raises `ServiceFailed`."""
        begun = time.time()
        done = process.run(
            owners.command_as(["/bin/sh", "-c", command], self.owner),
            cwd=self.root,
            env=environment.clean_environment(owners.variables(self.owner)),
            timeout=self.timeout,
            on_line=on_line,
            marked=True,
            leave_daemons=True,
        )
        if done.ok:
            return
        ending = tr("not done after {timeout}", timeout=duration_text(self.timeout)) if done.timed_out else done.ending
        *lines, last = done.error_text.splitlines() or [""]
        error = ServiceFailed(
            tr(
                "The {what} `{name}` failed ({ending})",
                what=_WHAT[which],
                name=redact(clean(command, limit=60)),
                ending=ending,
            )
            + (tr(": {last}", last=last) if last else tr(".")),
            tr("service.{setting} in deploy.yaml", setting=which),
            details=(*lines, *said_by(self, begun)),
        )
        error.fault = "release"
        raise error

    def is_up(self) -> str | None:
        return self._file.is_up() if self._file is not None else None

    def changing(self) -> str | None:
        return None

    def gave_up(self) -> str | None:
        """Where what the command had started has ended, and nothing runs from the checkout that could start it again."""
        if not self._started or any(each.alive() for each in self._started) or any(self._children_of_nobody()):
            self._gone_since = None
            return None
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since < _QUIET:
            return None
        pids = listing([str(each.pid) for each in sorted(self._started, key=lambda each: each.pid)], 3)
        return tr(
            "What `{name}` started has ended (process {pids}), and nothing starts it again.", name=self.name, pids=pids
        )

    def _children_of_nobody(self) -> Iterator[Identity]:
        """The owner's processes that run from the checkout and that no manager of services has started: those it would start
        again. A shell that does so in a loop is one of them itself."""
        if os.path.basename(" ".join(proc.command_line(1)[:1])) in _MANAGERS:
            return
        ours, group = ancestors(), proc.control_group()
        for pid in proc.running():
            if pid in ours or proc.owner_of(pid) != self.owner or proc.control_group(pid) != group:
                continue
            if proc.runs_from(pid, self.root) and not is_gitdeploy(pid) and (found := proc.identity(pid)) is not None:
                yield found

    def processes(self) -> tuple[Identity, ...]:
        """Those of the pid file, where there is one."""
        if self._file is None or self._file.is_up() is not None:
            return ()
        main = self._file.main()
        return (main, *proc.identities(proc.descendants(main.pid)))

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
            "stop_command": self.stop_command,
            "start_command": self.start_command,
            "pid": self.pid,
        }
