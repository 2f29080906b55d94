"""How the app is restarted: one file a kind, all on one small protocol (`base.Service`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitdeploy.config import ServiceConfig
from gitdeploy.services.base import Service, ServiceFailed, common
from gitdeploy.services.command import Command
from gitdeploy.services.compose import Compose
from gitdeploy.services.discovery import NO_ESCAPE, discover, escape_argv, shares_cgroup_with, shares_cgroup_with_app
from gitdeploy.services.pidfile import PidFile
from gitdeploy.services.privileged import through_root
from gitdeploy.services.supervisor import Supervisor
from gitdeploy.services.systemd import SystemdUnit

__all__ = [
    "NO_ESCAPE",
    "Service",
    "ServiceFailed",
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
    return tuple(through_root(each) for each in _open(service, root, uid))


def _open(service: ServiceConfig, root: Path, uid: int) -> tuple[Service, ...]:
    if service.systemd:
        return tuple(SystemdUnit(unit, root, uid, service.timeout) for unit in service.systemd)
    if service.supervisor:
        return (Supervisor(service.supervisor, root, uid, service.timeout),)
    if service.compose:
        return (Compose(service.compose, root, uid, service.timeout),)
    if service.pidfile:
        return (PidFile(service.pidfile, root, uid, service.signal or "HUP", service.timeout, service.log),)
    if service.command:
        return (Command(service.command, root, uid, service.timeout, service.log),)
    return ()


_KINDS = {"systemd": SystemdUnit, "supervisor": Supervisor, "compose": Compose, "pidfile": PidFile, "command": Command}


def from_dict(data: Mapping[str, Any]) -> Service:
    """The service that `as_dict` described, in another process."""
    values = common(data)
    values["root"] = Path(values["root"])
    made: Service = _KINDS[data["kind"]](**values)
    return made
