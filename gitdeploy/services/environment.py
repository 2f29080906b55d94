"""The environment that the app's service has, so that hooks and checks talk to the same database as the app.

Of a systemd unit: its Environment and EnvironmentFile; of supervisor: `environment`; of Compose: the service's own. Where
those can't be read, and of other kinds, what the running process has (/proc, proc(5)). Nothing is changed.
"""

from __future__ import annotations

import configparser
import glob
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services.base import Service
from gitdeploy.services.command import Command
from gitdeploy.services.compose import Compose
from gitdeploy.services.pidfile import PidFile
from gitdeploy.services.privileged import ThroughRoot
from gitdeploy.services.supervisor import Supervisor, config_files
from gitdeploy.services.systemd import SystemdUnit
from gitdeploy.text import path_text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What belongs to a process, a login or a manager, and not to the app.
_NOT_THE_APPS = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|SHLVL|_|TERM|COLUMNS|LINES|MAIL|HOSTNAME|TMPDIR|LS_COLORS|DISPLAY|VIRTUAL_ENV"
    r"|INVOCATION_ID|JOURNAL_STREAM|NOTIFY_SOCKET|MAINPID|MANAGERPID|EXEC_PID|TRIGGER_\w+|LISTEN_\w+|WATCHDOG_\w+|SYSTEMD_\w+"
    r"|MEMORY_PRESSURE_\w+|CREDENTIALS_DIRECTORY|(?:SSH|SUDO|XDG|DBUS|GITDEPLOY|GIT|LC|SUPERVISOR|GUNICORN|LD)_\w+|LANG"
    r"|LANGUAGE|SERVER_SOFTWARE|PYTHONHOME|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|__PYVENV_LAUNCHER__|BASH_FUNC_.*"
)


class Told(Struct, frozen=True):
    """`values`: the variables; `unread`: sentences on what could not be found out."""

    values: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def environment_of(services: Sequence[Service]) -> Told:
    """The variables of the first of SERVICES that has a name for each: an app's web process comes before its workers."""
    values: dict[str, str] = {}
    unread: list[str] = []
    for service in services:
        with suppress(GitDeployError, OSError):
            told = _environment(service.service if isinstance(service, ThroughRoot) else service)
            values = {**told.values, **values}
            unread += told.unread
    return Told(of_the_app(values), tuple(unread))


def of_the_app(values: Mapping[str, str]) -> dict[str, str]:
    """VALUES without what belongs to a process or a login, and without names that no variable can have."""
    return {
        name: value
        for name, value in values.items()
        if _NAME.fullmatch(name) and not _NOT_THE_APPS.fullmatch(name) and "\0" not in value
    }


def _environment(service: Service) -> Told:
    if isinstance(service, SystemdUnit):
        return _systemd(service)
    if isinstance(service, Supervisor):
        return _supervisor(service)
    if isinstance(service, Compose):
        return _compose(service)
    if isinstance(service, Command):
        return Told(_of(service))
    if isinstance(service, PidFile):
        return Told(_running([service.main().pid]))
    return Told()


def _of(service: Service) -> dict[str, str]:
    return _running(each.pid for each in service.processes())


def _running(pids: Iterable[int]) -> dict[str, str]:
    """What the first of PIDS that can be read was started with."""
    for pid in pids:
        if pid > 1:
            with suppress(OSError):
                pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                words = (os.fsdecode(pair).partition("=") for pair in pairs if b"=" in pair)
                return {name: value for name, _, value in words}
    return {}


# ---- systemd ----


def _systemd(unit: SystemdUnit) -> Told:
    """Files override what the unit sets itself (systemd.exec(5))."""
    facts = unit.facts()
    values = _pairs(facts.get("Environment", ""))
    unread = []
    for pattern, ignored in re.findall(r"(\S.*?) \(ignore_errors=(yes|no)\)", facts.get("EnvironmentFiles", "")):
        for name in sorted(glob.glob(pattern)) or [pattern]:
            try:
                values.update(environment_file(Path(name).read_text("utf-8", "surrogateescape")))
            except FileNotFoundError:
                if ignored == "no":
                    unread.append(
                        tr("The EnvironmentFile {name} of {unit} does not exist.", name=path_text(name), unit=unit.name)
                    )
            except OSError as error:
                # The running process had it read by systemd.
                running = _of(unit)
                values = {**running, **values}
                if not running:
                    unread.append(
                        tr(
                            "The EnvironmentFile {name} of {unit} can't be read ({strerror}): hooks and checks do "
                            "without what is in it.",
                            name=path_text(name),
                            unit=unit.name,
                            strerror=error.strerror,
                        )
                    )
    for name in facts.get("UnsetEnvironment", "").split():
        values.pop(name.partition("=")[0], None)
    return Told(values, tuple(unread))


def _pairs(text: str) -> dict[str, str]:
    """`A=1 "B=two words"` as `systemctl show` prints it."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def environment_file(text: str) -> dict[str, str]:
    """The variables of an EnvironmentFile (systemd.exec(5)): comments begin a line; quotes may enclose a value, and a
    backslash at its end goes on in the next line."""
    found = {}
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals:
            continue
        value = value.strip()
        while _goes_on(value):
            try:
                after = next(lines)
            except StopIteration:
                break
            value = value[:-1] + after if value.endswith("\\") and value[:1] != "'" else f"{value}\n{after}"
        found[name.strip().removeprefix("export ").strip()] = _unquoted(value)
    return found


def _goes_on(value: str) -> bool:
    mark = value[:1]
    if mark in ("'", '"'):
        return len(value) == 1 or not value.rstrip().endswith(mark) or (mark == '"' and value.rstrip().endswith('\\"'))
    return value.endswith("\\") and not value.endswith("\\\\")


def _unquoted(value: str) -> str:
    mark = value[:1]
    if mark in ("'", '"') and value.rstrip().endswith(mark) and len(value.rstrip()) > 1:
        inner = value.rstrip()[1:-1]
        return inner if mark == "'" else re.sub(r"\\([\"\\`$])", r"\1", inner)
    return re.sub(r"\\(.)", r"\1", value)


# ---- supervisor, Compose ----


def _supervisor(service: Supervisor) -> Told:
    """`environment` of supervisord and of the program; the running one's where that has expansions, or can't be read."""
    program = service.name.rpartition(":")[2].removesuffix("*") or service.name.partition(":")[0]
    texts: dict[str, str] = {}
    for file in config_files():
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(file, encoding="utf-8")
        for section in ("supervisord", f"program:{program}"):
            if parser.has_option(section, "environment"):
                texts[section] = parser.get(section, "environment")
    if not texts or any("%(" in text for text in texts.values()):
        return Told(_of(service) or {k: v for text in texts.values() for k, v in _listed(text).items()})
    order = ("supervisord", f"program:{program}")
    return Told({name: value for section in order for name, value in _listed(texts.get(section, "")).items()})


def _listed(text: str) -> dict[str, str]:
    """`A="1",B='x'`."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace = ",\n\t "
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return {}
    return {name.strip(): value for name, equals, value in (word.partition("=") for word in words) if equals}


def _compose(service: Compose) -> Told:
    done = service.config("--format", "json")
    if not done.ok:
        return Told(
            {},
            (
                tr(
                    "The environment of the compose service {service} can't be told: {error_text}",
                    service=service.name,
                    error_text=done.error_text,
                ),
            ),
        )
    try:
        found = json.loads(done.stdout)["services"][service.name].get("environment") or {}
        return Told({str(name): str(value) for name, value in found.items() if value is not None})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Told()
