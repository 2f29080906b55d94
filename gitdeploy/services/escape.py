"""Which unit runs the app, and whether its restart would end this very process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.messages import tr
from gitdeploy.services.base import Service
from gitdeploy.services.privileged import ThroughRoot
from gitdeploy.services.systemd import SystemdUnit, booted
from gitdeploy.services.units import is_gitdeploy, only_starts, unit_of
from gitdeploy.system import proc
from gitdeploy.system.environment import which

NO_ESCAPE = (
    tr("gitdeploy runs inside the service that it has to restart, and would be ended with it."),
    tr(
        "Start it from outside: a login shell, a unit of its own (docs/services.md), or give the app's user a manager of its "
        "own: loginctl enable-linger USER"
    ),
)


def shares_cgroup_with(service: Service) -> bool:
    """Whether restarting SERVICE would end this process: it is in the unit's control group, or in the process group of
    one of the service's processes. A new session does not lead out of a control group."""
    if isinstance(service, ThroughRoot):
        service = service.service
    if isinstance(service, SystemdUnit):
        own = proc.control_group() or ""
        if unit_of(own) is None:
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
    own = proc.control_group() or ""
    if unit_of(own) is None:
        return False
    return any(
        pid != os.getpid() and proc.runs_from(pid, root) and not is_gitdeploy(pid) and not only_starts(pid)
        for pid in proc.in_control_group(own)
    )


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
