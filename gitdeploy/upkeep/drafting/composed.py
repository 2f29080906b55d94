"""What a Docker Compose file of the checkout says: which service is the app, and the port that it is published at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from gitdeploy.config import ServiceConfig
from gitdeploy.errors import GitDeployError
from gitdeploy.services import open_services

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")  # the first counts, as for Compose
_LARGEST = 256 << 10  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DEFAULT = re.compile(r"\$\{[A-Za-z0-9_]+:?-([^}]*)\}")
_PUBLISHED = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?P<port>\d{1,5}):\d{1,5}(?:/tcp)?")


class Composed(Struct, frozen=True):
    """A service that is made from the checkout: built here, or with its folder mounted. `ports`: HOST:PORT to ask it at."""

    name: str
    file: str
    ports: tuple[str, ...]


def composed(root: Path) -> list[Composed]:
    """The services of ROOT's Compose file that are the app's own, those with a published port first; none where the file
    can't be read."""
    file = next((name for name in FILES if (root / name).is_file()), None)
    if file is None:
        return []
    services: Any = None
    with suppress(OSError, yaml.YAMLError, ValueError, RecursionError):
        if (root / file).stat().st_size <= _LARGEST:
            made = yaml.safe_load((root / file).read_bytes())
            services = made.get("services") if isinstance(made, Mapping) else None
    if not isinstance(services, Mapping):
        return []
    found = [
        Composed(name, file, tuple(_ports(service)))
        for name, service in services.items()
        if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(service, Mapping) and _is_the_apps(service)
    ]
    return sorted(found, key=lambda each: not each.ports)


def is_up(root: Path, name: str) -> bool:
    """Whether Docker runs the service NAME of ROOT's now."""
    with suppress(GitDeployError):
        (service,) = open_services(ServiceConfig(compose=name), root)
        return not service.problems() and service.is_up() is None
    return False


def _is_the_apps(service: Mapping[str, Any]) -> bool:
    build = service.get("build")
    context = build.get("context", ".") if isinstance(build, Mapping) else build
    if isinstance(context, str) and _is_inside(context):
        return True
    volumes = service.get("volumes")
    return isinstance(volumes, list) and any(map(_mounts_the_checkout, volumes))


def _is_inside(path: str) -> bool:
    return not path.startswith(("/", "~", "git@")) and "://" not in path and ".." not in path.split("/")


def _mounts_the_checkout(volume: Any) -> bool:
    source = volume.get("source") if isinstance(volume, Mapping) else str(volume).partition(":")[0]
    return source in (".", "./", "$PWD", "${PWD}")


def _ports(service: Mapping[str, Any]) -> Iterator[str]:
    ports = service.get("ports")
    for each in ports if isinstance(ports, list) else ():
        if isinstance(each, Mapping):
            host, port = str(each.get("host_ip") or ""), str(each.get("published") or "")
        else:
            found = _PUBLISHED.fullmatch(_DEFAULT.sub(r"\1", str(each)))
            host, port = (found["host"] or "", found["port"]) if found is not None else ("", "")
        if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            yield f"{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"  # noqa: S104  # compared
