"""Root's side of the socket: the process that stays root for one checkout, and the few things that it does."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import said, tr
from gitdeploy.services import boot, privileged
from gitdeploy.services.base import OnLine, ServiceFailed
from gitdeploy.services.privileged import MOST, Launch
from gitdeploy.services.supervisor import Supervisor
from gitdeploy.services.systemd import SystemdUnit
from gitdeploy.text import clean

_LONGEST = 3600.0  # seconds that a service may take, whatever is asked
_CONTROL = ("restart", "stop", "start")
_QUESTIONS = ("is_up", "gave_up", "changing")
_KINDS: Mapping[str, type[SystemdUnit] | type[Supervisor]] = {"systemd": SystemdUnit, "supervisor": Supervisor}


def split(root: Path, owner: int, launch: Launch, *, boot_unit: bool = False) -> None:
    """Leave a process of root behind that serves us; the caller becomes OWNER right after this. BOOT_UNIT: root typed that the
    unit for boot be installed; else nothing makes root write it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _serve(theirs, root, owner, launch, boot_unit)
    theirs.close()
    privileged.use(ours)


def _serve(channel: socket.socket, root: Path, owner: int, launch: Launch, boot_unit: bool) -> NoReturn:
    """Answer until nobody holds the other end any more. Never returns into the code that forked."""
    privileged.use(None)  # here we are root ourselves
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # We end with those whom we serve, not before. Not SIG_IGN: what we start would inherit that.
            signal.signal(number, lambda _number, _frame: None)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        while True:
            data, descriptors, _, _ = socket.recv_fds(channel, MOST, 1)
            if not data and not descriptors:
                break
            if descriptors:
                with socket.socket(fileno=descriptors[0]) as reply, suppress(OSError):
                    _answer(reply, data, root, owner, launch, boot_unit)
    except BaseException:  # noqa: BLE001  # nothing of the forked code may run on as root
        os._exit(1)
    os._exit(0)


def _fitting(lines: list[str]) -> list[str]:
    """The last of LINES, as many as go into one message."""
    while len(json.dumps(lines)) > MOST - 100:
        lines = lines[1:]
    return lines


def _answer(reply: socket.socket, data: bytes, root: Path, owner: int, launch: Launch, boot_unit: bool) -> None:
    def say(message: Mapping[str, Any]) -> None:
        reply.sendall(json.dumps(message).encode()[:MOST])

    try:
        message = json.loads(data)
        on_line = lambda line: say({"line": clean(line, limit=4000)})  # noqa: E731
        say({"done": _do(message, root, owner, launch, on_line, boot_unit=boot_unit)})
    except GitDeployError as error:
        details = [line[:1000] for line in error.details[-20:]]
        message, hint = (
            said(clean(error.message, limit=8000, lines=True)),
            said(clean(error.hint, limit=4000, lines=True), "hint"),
        )
        say({"error": {**message, **hint, "details": details, "fault": error.fault}})
    except (ValueError, KeyError, TypeError, AttributeError):
        say({"error": {"message": tr("That is not asked of root."), "hint": "", "details": []}})


def _do(
    message: Mapping[str, Any], root: Path, owner: int, launch: Launch, on_line: OnLine, *, boot_unit: bool = False
) -> Any:
    """What is asked, if it is one of the few things that root does. MESSAGE is not trusted."""
    if message["verb"] == "launch":
        words = [str(word) for word in message["words"]]
        where, begun = launch(words, str(message["request"]), str(message["performer"]), message["plain"] is True)
        return [where, None if begun is None else [begun.pid, begun.started, begun.boot]]
    if message["verb"] == "install_boot_unit":
        if not boot_unit:
            raise ServiceFailed(
                tr("The unit for boot is installed only where root types that."),
                tr("As root: gitdeploy recover --install-unit"),
            )
        return _install_boot_unit([str(unit) for unit in message["units"]], root, owner)
    verb, wanted = message["verb"], message["service"]
    timeout = min(max(float(wanted["timeout"]), 0.0), _LONGEST)
    service = _KINDS[wanted["kind"]](str(wanted["name"]), root, owner, timeout)
    if isinstance(service, SystemdUnit):
        service.user = False
    if verb in _CONTROL:
        return getattr(service, verb)(on_line)  # each looks first whose it is
    if verb == "problems":
        return service.problems()
    if verb in _QUESTIONS:
        return getattr(service, verb)()
    if verb == "processes":
        return [[each.pid, each.started, each.boot] for each in service.processes()]
    if verb == "owners_logs" and isinstance(service, Supervisor):
        return service.owners_logs()
    if verb == "last_lines":  # the one answer that could tell a secret
        if problems := service.problems():
            raise ServiceFailed(*problems[0])
        since = message["since"]
        lines = service.last_lines(min(max(int(message["most"]), 1), 100), None if since is None else float(since))
        return _fitting([line[:500] for line in lines])
    raise ValueError("unknown verb")


def _install_boot_unit(units: list[str], root: Path, owner: int) -> list[str]:
    for unit in units:
        if unit == "supervisor.service":
            continue
        for message, hint in SystemdUnit(unit, root, owner, user=False).problems():
            raise ServiceFailed(message, hint)
    return [str(path) for path in boot.boot_unit(root, units, owner=owner).install()]
