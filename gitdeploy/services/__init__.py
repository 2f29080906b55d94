"""How the app is restarted: one file a kind, all on one small protocol (`base.Service`).

A kind is loaded when an app names it: each brings modules that a command on another app would load for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitdeploy.config import ServiceConfig
from gitdeploy.lazy import face
from gitdeploy.services.base import Service, ServiceFailed, common

if TYPE_CHECKING:
    from gitdeploy.services.boot import boot_unit
    from gitdeploy.services.escape import NO_ESCAPE, escape_argv, shares_cgroup_with, shares_cgroup_with_app
    from gitdeploy.services.units import discover

__all__ = [
    "NO_ESCAPE",
    "Service",
    "ServiceFailed",
    "boot_unit",
    "discover",
    "escape_argv",
    "from_dict",
    "open_services",
    "shares_cgroup_with",
    "shares_cgroup_with_app",
]


def open_services(service: ServiceConfig, root: Path, *, owner: int | None = None) -> tuple[Service, ...]:
    """The services that SERVICE names, in the order of restart; empty where it names none. Starts no process, but where
    root became the owner of the checkout, and must know whether a unit is of the owner's own manager.

    owner: the uid that the checkout belongs to; default: that of ROOT.
    """
    uid = root.stat().st_uid if owner is None else owner
    made = _open(service, root, uid)
    if not made:
        return ()
    from gitdeploy.services.privileged import through_root

    return tuple(through_root(each) for each in made)


def _open(service: ServiceConfig, root: Path, uid: int) -> tuple[Service, ...]:
    timeout, log = service.timeout, service.log
    made: list[Service] = [_kind("systemd")(unit, root, uid, timeout) for unit in service.systemd]
    if service.supervisor:
        made.append(_kind("supervisor")(service.supervisor, root, uid, timeout))
    if service.compose:
        made.append(_kind("compose")(service.compose, root, uid, timeout))
    if service.pidfile:
        made.append(_kind("pidfile")(service.pidfile, root, uid, service.signal or "HUP", timeout, log))
    if "command" in service.kinds:
        more = (service.stop, service.start, service.pid)
        made.append(_kind("command")(service.command or "", root, uid, timeout, log, *more))
    return tuple(made)


_KINDS = {
    "systemd": "SystemdUnit",
    "supervisor": "Supervisor",
    "compose": "Compose",
    "pidfile": "PidFile",
    "command": "Command",
}


def _kind(name: str) -> type[Any]:
    kind: type[Any] = getattr(import_module(f"{__name__}.{name}"), _KINDS[name])
    return kind


def from_dict(data: Mapping[str, Any]) -> Service:
    """The service that `as_dict` described, in another process."""
    values = common(data)
    values["root"] = Path(values["root"])
    made: Service = _kind(data["kind"])(**values)
    return made


if not TYPE_CHECKING:
    __getattr__ = face(
        __name__,
        {
            "boot_unit": "boot",
            "discover": "units",
            **dict.fromkeys(("NO_ESCAPE", "escape_argv", "shares_cgroup_with", "shares_cgroup_with_app"), "escape"),
        },
    )
