"""The port that `gitdeploy web` serves at: never the app's own, and one that is free; and what nginx needs to find it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from gitdeploy.config import Config
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr

TRIED = 50  # ports after the usual one


class Port(Struct, frozen=True):
    """The port to serve at; `why` says why it isn't the one that was expected, in a sentence, or nothing."""

    number: int
    why: str = ""


def choose_port(config: Config, host: str, asked: int | None) -> Port:
    """ASKED (--port) and a `web.port` of deploy.yaml count as they are; the usual port gives way to the app and to
    whatever has it. Raises `ConfigError` for a port that can't be had, with one that can."""
    chosen = asked is not None or config.where.get("web.port", "default") != "default"
    return free_port(host, asked or config.web.port, chosen=chosen, own=app_ports(config))


def free_port(
    host: str, wanted: int, *, chosen: bool, own: frozenset[int] = frozenset(), command: str = "gitdeploy web"
) -> Port:
    """WANTED, or the next free one where nobody has CHOSEN it; never one that is the app's OWN. COMMAND: what serves there.
    Raises `ConfigError`."""
    if wanted not in own and free(host, wanted):
        return Port(wanted)
    why = tr("is the app's own (health)") if wanted in own else tr("is in use")
    other = next((n for n in range(wanted + 1, min(wanted + TRIED, 65535)) if n not in own and free(host, n)), None)
    if other is None or chosen:
        hint = (
            tr("A free one: {command} --port {other}", command=command, other=other)
            if other
            else tr("Stop what uses that port, or choose another: {command} --port N", command=command)
        )
        raise ConfigError(
            tr("The page can't be served at {host}:{wanted}: the port {why}.", host=host, wanted=wanted, why=why), hint
        )
    return Port(other, tr("Port {wanted} {why}, so the page is at port {other}.", wanted=wanted, why=why, other=other))


def usual_port(config: Config) -> int:
    """`web.port`, or the next one that isn't the app's own: where the page is as long as nobody else has that port."""
    own = app_ports(config)
    return next(number for number in range(config.web.port, 65536) if number not in own)


def app_ports(config: Config) -> frozenset[int]:
    """The ports of this machine at which the app answers, as far as `health` says."""
    found = set()
    for address in (*config.health.url, *(f"tcp://{place}" for place in config.health.tcp)):
        parts = urlsplit(address)
        if parts.hostname and _is_here(parts.hostname):
            found.add(parts.port or (443 if parts.scheme == "https" else 80))
    return frozenset(found)


def _is_here(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def free(host: str, port: int) -> bool:
    """Whether a server could listen there now. An address that isn't this machine's is left to whoever serves."""
    try:
        places = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True
    for family, kind, protocol, _, address in places:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen(1)
            except OSError as error:
                return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def shown_host(host: str) -> str:
    """HOST as whoever is on this machine reaches what listens there."""
    return host if host not in ("0.0.0.0", "::", "[::]") else "127.0.0.1"  # noqa: S104


def nginx_block(host: str, port: int, names: Sequence[str], setting: str = "deploy.yaml") -> str:
    """What nginx needs for the page at HOST:PORT, for its file of the site NAMES. SETTING: the file that knows them."""
    here = shown_host(host)
    return f"""\
# nginx: into the server block of {" ".join(names) or "your site"}. In {setting}: web: {{trusted_proxies: [127.0.0.1]\
{"" if names else ", hosts: [NAME]"}}}
location /upgrade/ {{
    proxy_pass http://{here}:{port};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host "";
    proxy_set_header X-Forwarded-Prefix "";
    proxy_set_header Connection "";
    proxy_read_timeout 1h;
    client_max_body_size 256k;
}}
"""
