"""Root's only own acts for another user's app: control of a checked unit, and reading its log.

Started by root on a checkout of somebody else, gitdeploy splits in two before it reads anything there. The main process
becomes the owner for good (`gitdeploy.system.owner.become`). A small one stays root, opens no file of the checkout, and does
what it is asked through a socket that only the main process holds, which no program that it starts inherits: restart,
stop or start a unit or a supervisor program that runs as the owner from this checkout (it looks itself, each time), read
that unit's log, and start a further `gitdeploy` for this checkout outside, which becomes the owner in its turn. The
unit for boot is written only where root's own command line asked for that. So even if the main process were taken over,
it could do nothing with root's right but restart its own app.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from gitdeploy.messages import heard, tr
from gitdeploy.services.base import OnLine, Service, ServiceFailed
from gitdeploy.services.logfile import LogFile
from gitdeploy.services.supervisor import Supervisor
from gitdeploy.services.systemd import SystemdUnit
from gitdeploy.system import interruption
from gitdeploy.system.proc import Identity

MOST = 60_000  # bytes of one message
_PATIENCE = 60.0  # seconds more than the service's own time limit until an answer must be there

Launch = Callable[[list[str], str, str, bool], tuple[str, Identity | None]]
"""(words, request, performer, plain) -> where it runs, and its process where that is not a unit: starts a gitdeploy as root in a
unit of its own; PLAIN: else in a plain process."""

_channel: socket.socket | None = None


def available() -> bool:
    """Whether there is a process of root that does it for us."""
    return _channel is not None


def use(channel: socket.socket | None) -> None:
    """Ask through CHANNEL from now on; None: nobody."""
    global _channel
    _channel = channel


# ---- the side that asks ----


class ThroughRoot(Struct):
    """A service whose control and log go through root's process. What else is asked of systemd everybody may ask;
    supervisor's socket is root's."""

    service: SystemdUnit | Supervisor

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def kind(self) -> str:
        return self.service.kind

    def restart(self, on_line: OnLine | None = None) -> None:
        self._ask("restart", on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        self._ask("stop", on_line)

    def start(self, on_line: OnLine | None = None) -> None:
        self._ask("start", on_line)

    def is_up(self) -> str | None:
        return self._sentence("is_up") if self.kind == "supervisor" else self.service.is_up()

    def changing(self) -> str | None:
        return self._sentence("changing") if self.kind == "supervisor" else self.service.changing()

    def gave_up(self) -> str | None:
        return self._sentence("gave_up") if self.kind == "supervisor" else self.service.gave_up()

    def _sentence(self, verb: str) -> str | None:
        said = self._ask(verb, None)
        return None if said is None else str(said)

    def processes(self) -> tuple[Identity, ...]:
        if self.kind == "supervisor":
            return tuple(Identity(*each) for each in self._ask("processes", None))
        return self.service.processes()

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        lines: list[str] = []
        with suppress(ServiceFailed):
            lines += [str(line) for line in self._ask("last_lines", None, most=most, since=since)]
            if isinstance(self.service, Supervisor):  # what the owner could exchange, the owner reads
                for path in self._ask("owners_logs", None):
                    lines += LogFile(str(path), self.service.root, self.service.owner).last_lines(most, since)
        return lines[-most:]

    def restarts(self) -> int | None:
        return self.service.restarts()

    def problems(self) -> list[tuple[str, str]]:
        return [(str(message), str(hint)) for message, hint in self._ask("problems", None)]

    def as_dict(self) -> dict[str, Any]:
        return self.service.as_dict()

    def _ask(self, verb: str, on_line: OnLine | None, **arguments: Any) -> Any:
        service = {"kind": self.kind, "name": self.name, "timeout": self.service.timeout}
        return _request({"verb": verb, "service": service, **arguments}, self.service.timeout, on_line)


def through_root(service: Service) -> Service:
    """SERVICE, or where root's process must do it, one that asks it. A unit of the owner's own manager needs no root."""
    if not available() or not isinstance(service, SystemdUnit | Supervisor):
        return service
    if isinstance(service, SystemdUnit) and service.is_users():
        return service
    return ThroughRoot(service)


def launch_as_root(words: list[str], request: str, performer: str, *, plain: bool) -> tuple[str, Identity | None]:
    """Start `gitdeploy WORDS` for our checkout in a transient unit of the system's manager; PLAIN: where there is none, in a
    process of root's. Returns where it runs, and that process; raises `ServiceFailed`."""
    message = {"verb": "launch", "words": words, "request": request, "performer": performer, "plain": plain}
    where, process = _request(message, _PATIENCE, None)
    return str(where), None if process is None else Identity(*process)


def install_boot_unit(units: Sequence[str]) -> list[str]:
    """Write and enable the unit that recovers our checkout before UNITS at boot; the files written. Raises
    `ServiceFailed`, also for a unit that is not the owner's: the boot must wait for nothing that the owner makes up."""
    return [str(path) for path in _request({"verb": "install_boot_unit", "units": list(units)}, _PATIENCE, None)]


def _request(message: Mapping[str, Any], timeout: float, on_line: OnLine | None) -> Any:
    """Ask root's process, each time with a socket of its own for the answer: several processes may ask."""
    assert _channel is not None
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine:
        try:
            with its:
                socket.send_fds(_channel, [json.dumps(message).encode()], [its.fileno()])
        except OSError as error:
            raise _gone() from error
        end = time.monotonic() + timeout + _PATIENCE
        while time.monotonic() < end:
            interruption.check()
            if not select.select([mine], [], [], 0.2)[0]:
                continue
            data = mine.recv(MOST)
            if not data:
                raise _gone()
            answer = json.loads(data)
            if "line" in answer:
                if on_line:
                    on_line(str(answer["line"]))
            elif "error" in answer:
                refused = answer["error"]
                failure = ServiceFailed(heard(refused), heard(refused, "hint"), details=tuple(refused["details"]))
                failure.fault = "release" if refused.get("fault") == "release" else "server"
                raise failure
            else:
                return answer["done"]
    raise ServiceFailed(
        tr("The process of root that controls services did not answer."), "systemctl status shows more."
    )


def _gone() -> ServiceFailed:
    return ServiceFailed(tr("The process of root that controls services is gone."), tr("Run gitdeploy again."))
