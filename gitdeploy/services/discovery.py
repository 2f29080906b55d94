"""Which unit runs the app, and whether its restart would end this very process."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.process import which
from gitdeploy.services import processes
from gitdeploy.services.base import Service
from gitdeploy.services.privileged import ThroughRoot
from gitdeploy.services.systemd import SystemdUnit, booted

_UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_SETTING = re.compile(r"^\s*(?:WorkingDirectory|ExecStart)\s*=\s*[-@:+!~]*(\S+)", re.MULTILINE)
_STARTERS = frozenset(
    "sh bash dash ash zsh ksh fish sudo su runuser setpriv env timeout nice ionice flock cron setsid nohup".split()
)
_UNIT_LIMIT = 256 * 1024  # bytes of a unit file that are looked at

NO_ESCAPE = (
    "gitdeploy runs inside the service that it has to restart, and would be ended with it.",
    "Start it from outside: a login shell, a unit of its own (docs/services.md), or give the app's user a manager of its "
    "own: loginctl enable-linger USER",
)


def discover(root: Path, venv: Path | None) -> list[str]:
    """Names of the units whose processes run from this checkout, then of those whose unit file names it. Read from
    /proc and the unit files: no process is started. gitdeploy's own processes don't count."""
    units: dict[str, None] = {}
    places = [root] if venv is None else [root, venv]
    for pid in processes.running():
        if pid == os.getpid() or not any(processes.runs_from(pid, place) for place in places):
            continue
        if not is_gitdeploy(pid) and (unit := _unit_of(processes.control_group(pid) or "")):
            units[unit] = None
    for unit in _by_unit_files(root):
        units[unit] = None
    return list(units)


def _unit_of(path: str) -> str | None:
    """`/system.slice/app.service/worker` is `app.service`; a login session or a user's manager itself is none."""
    for part in path.split("/"):
        if part.endswith(".service") and not part.startswith(("user@", "gitdeploy")):
            return part
    return None


def is_gitdeploy(pid: int) -> bool:
    """Whether it is a gitdeploy: a deployment, the page, `watch`."""
    words = processes.command_line(pid)[:4]
    return any(os.path.basename(word) == "gitdeploy" for word in words)


def _by_unit_files(root: Path) -> list[str]:
    found = []
    tops = {str(root), os.path.realpath(root)}
    for folder in (*_UNIT_FOLDERS, os.path.expanduser("~/.config/systemd/user")):
        for file in sorted(Path(folder).glob("*.service")) if os.path.isdir(folder) else ():
            if file.name.endswith("@.service") or file.name.startswith("gitdeploy"):
                continue
            try:
                with open(file, encoding="utf-8", errors="replace") as text:
                    values = _SETTING.findall(text.read(_UNIT_LIMIT))
            except OSError:
                continue
            if any(value == top or value.startswith(top + "/") for value in values for top in tops):
                found.append(file.name)
    return found


def shares_cgroup_with(service: Service) -> bool:
    """Whether restarting SERVICE would end this process: it is in the unit's control group, or in the process group of
    one of the service's processes. A new session does not lead out of a control group."""
    if isinstance(service, ThroughRoot):
        service = service.service
    if isinstance(service, SystemdUnit):
        own = processes.control_group() or ""
        if _unit_of(own) is None:
            return False
        unit = service.facts().get("ControlGroup", "")
        return bool(unit) and (own == unit or own.startswith(unit + "/"))
    if os.getpgrp() == os.getpid():
        return False
    for each in service.processes():
        try:
            if os.getpgid(each.pid) == os.getpgrp():
                return True
        except OSError:
            continue
    return False


def shares_cgroup_with_app(root: Path) -> bool:
    """Whether this process is in a service's control group in which the app of ROOT runs too: whatever restarts the app
    (a command, say) may then end the whole group. A shell that stands in the checkout is not the app."""
    own = processes.control_group() or ""
    if _unit_of(own) is None:
        return False
    return any(
        pid != os.getpid() and processes.runs_from(pid, root) and not is_gitdeploy(pid) and not only_starts(pid)
        for pid in processes.in_control_group(own)
    )


def only_starts(pid: int) -> bool:
    """Whether it is a shell or the like, which runs other programs and is no app itself."""
    words = processes.command_line(pid)[:1]
    return not words or os.path.basename(words[0]).lstrip("-") in _STARTERS


def escape_argv(
    argv: Sequence[str], unit_name: str, *, cwd: Path | None = None, environment_file: Path | None = None
) -> list[str] | None:
    """The command that runs ARGV in a transient unit of its own, outside the service's control group (systemd-run(1)).

    None where that can't be: no systemd, or neither root nor a user manager of our own (`NO_ESCAPE` says what to do).
    environment_file: a file of `NAME=value` lines, mode 0600; values in the command itself could be read by every user.
    """
    systemd_run = which("systemd-run")
    if systemd_run is None or not booted():
        return None
    words = [systemd_run, "--quiet", "--collect", "--no-ask-password", f"--unit={unit_name}", "--service-type=exec"]
    words += ["--property=KillMode=mixed", f"--working-directory={cwd or '/'}"]
    if environment_file is not None:
        words.append(f"--property=EnvironmentFile={environment_file}")
    if os.geteuid() == 0:
        return [*words, "--", *argv]
    runtime = f"/run/user/{os.geteuid()}"
    if not os.path.exists(f"{runtime}/bus"):
        return None
    env = which("env") or "/usr/bin/env"
    return [env, f"XDG_RUNTIME_DIR={runtime}", words[0], "--user", *words[1:], "--", *argv]
