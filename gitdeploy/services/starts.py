"""What the app's service starts, and which part of the release that loads: read from the unit, from supervisor's
configuration, or from the running processes. Nothing is started but what asks the service's manager.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.services.base import Service
from gitdeploy.services.command import Command
from gitdeploy.services.loads import Load, loads_of
from gitdeploy.services.opened import app_processes
from gitdeploy.services.pidfile import PidFile
from gitdeploy.services.privileged import ThroughRoot
from gitdeploy.services.supervisor import Supervisor, config_files
from gitdeploy.services.systemd import SystemdUnit
from gitdeploy.system import proc

_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")


class Start(Struct, frozen=True):
    """A command, and the folder that it is started in."""

    words: tuple[str, ...]
    folder: Path


def loaded_by(services: Sequence[Service], root: Path, venv: Path) -> tuple[Load, ...]:
    """What of the checkout ROOT each of SERVICES loads at its start with the Python of VENV, each once; nothing where that
    can't be told (a container, a shell script, an app that is down), or where it runs as another user than the checkout's owner:
    what it makes at its start would then be the wrong user's."""
    found: dict[Load, None] = {}
    for service in services:
        with suppress(GitDeployError, OSError):
            for start in _starts(service, root, venv):
                found.update(dict.fromkeys(loads_of(start.words, start.folder, root, venv)))
    return tuple(found)


def _starts(asked: Service, root: Path, venv: Path) -> Iterator[Start]:
    owner = root.stat().st_uid
    service = asked.service if isinstance(asked, ThroughRoot) else asked
    if isinstance(service, SystemdUnit):
        facts = service.facts()
        if not service.runs_as(owner, facts):
            return
        folder = facts.get("WorkingDirectory", "").lstrip("-!")
        for words in _ARGV.findall(facts.get("ExecStart", "")):
            yield Start(tuple(words.split()), Path(folder) if folder.startswith("/") else root)
    elif isinstance(service, Supervisor):
        pids = [each.pid for each in asked.processes()]  # by root's process, where only root may ask supervisor
        if all(proc.owner_of(pid) == owner for pid in pids):
            known = list(_supervised(service.name, root)) if pids else []
            yield from known or _running(pids, root)
    elif isinstance(service, PidFile):
        yield from _running([service.main().pid], root)
    elif isinstance(service, Command):
        known_by_file = [each.pid for each in service.processes()[:1]]
        yield from _running(known_by_file or app_processes((service,), root, venv), root)


def _running(pids: Sequence[int], root: Path) -> Iterator[Start]:
    owner = root.stat().st_uid
    for pid in (pid for pid in pids if proc.owner_of(pid) == owner):
        folder = root
        with suppress(OSError):
            folder = Path(os.readlink(f"/proc/{pid}/cwd"))
        yield Start(tuple(proc.command_line(pid)), folder)


def _supervised(name: str, root: Path) -> Iterator[Start]:
    """The commands of supervisor's program or group NAME, where no expansion stands in them."""
    group, _, program = name.rpartition(":")
    for file in config_files():
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(file, encoding="utf-8")
        listed = parser.get(f"group:{group or program}", "programs", fallback="").replace(",", " ").split()
        wanted = listed if program in ("*", "") or (not group and listed) else [program]
        for each in wanted:
            command = parser.get(f"program:{each}", "command", fallback="")
            folder = parser.get(f"program:{each}", "directory", fallback=str(root))
            if command and "%(" not in command + folder:
                with suppress(ValueError):
                    yield Start(tuple(shlex.split(command)), root / folder)
