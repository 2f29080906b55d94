"""A URL is asked with the standard library: no proxy, no redirect, one deadline over the whole answer, TLS unverified
for loopback only."""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

from packaging.version import InvalidVersion, Version

from gitdeploy.config import HealthConfig, HealthVersion
from gitdeploy.health.answer import Answer, connection_problem
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact

_BODY_LIMIT = 1024 * 1024  # bytes of an answer that are read


class _TimedInput(io.RawIOBase):
    """What comes from a socket until a moment: a server that sends a byte now and then can't hold us."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection, self.deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.connection.settimeout(_left(self.deadline))
        return self.connection.recv_into(buffer)


class _TimedSocket:
    """As much of a socket as http.client needs, every call of it under one deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection, self.deadline = connection, deadline

    def sendall(self, data: bytes) -> None:
        self.connection.settimeout(_left(self.deadline))
        self.connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedInput(self.connection, self.deadline))

    def close(self) -> None:
        """http.client closes before the body is read; a true socket lives on in its file then. We close it at the end."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def ask_url(url: str, health: HealthConfig, version: str | None, limit: float) -> Answer:
    """GET it within LIMIT seconds. `seen` is `200`, or `200, version 1.2.9.1` where the answer says one."""
    try:
        status, headers, body = _get(url, health, limit)
    except ssl.SSLError as error:
        return Answer(
            tr(
                "TLS: {error}",
                error=clean(getattr(error, "verify_message", "") or error.reason or str(error), limit=200),
            )
        )
    except OSError as error:
        return Answer(connection_problem(error, limit))
    except http.client.RemoteDisconnected:
        return Answer(tr("connection closed without an answer"))
    except (http.client.HTTPException, ValueError) as error:
        return Answer(tr("no valid HTTP answer ({kind})", kind=type(error).__name__))
    if status != health.expect:
        return Answer(
            tr(
                "{status} instead of {expect}{explained}",
                status=status,
                expect=health.expect,
                explained=_explained(status, headers, body),
            )
        )
    if health.expect_body and health.expect_body not in body.decode("utf-8", "replace"):
        return Answer(
            tr(
                "{status}, but the answer does not contain `{expect_body}`",
                status=status,
                expect_body=clean(health.expect_body, limit=60),
            )
        )
    if health.version is None or version is None:
        return Answer(None, str(status))
    said = _version_said(health.version, headers, body)
    if said is None:
        where = health.version.header or health.version.json
        return Answer(
            tr(
                "{status}, but the answer says no version (looked for `{where}`)",
                status=status,
                where=clean(str(where)),
            )
        )
    if not same_version(said, version):
        return Answer(tr("it says version {said}, not {version}", said=clean(said, limit=40), version=version))
    return Answer(None, tr("{status}, version {said}", status=status, said=clean(said, limit=40)))


def _get(url: str, health: HealthConfig, limit: float) -> tuple[int, http.client.HTTPMessage, bytes]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    deadline = time.monotonic() + limit
    connection: socket.socket = socket.create_connection((host, parts.port or (443 if secure else 80)), timeout=limit)
    try:
        if secure:
            connection.settimeout(_left(deadline))
            connection = _context(host).wrap_socket(connection, server_hostname=host)
        client = http.client.HTTPConnection(_host_header(parts), timeout=limit)
        client.sock = _TimedSocket(connection, deadline)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        names = {name.lower() for name in health.headers}
        client.putrequest("GET", path, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in {"User-Agent": "gitdeploy-health", "Accept": "*/*", "Connection": "close"}.items():
            if name.lower() not in names:
                client.putheader(name, value)
        for name, value in health.headers.items():
            client.putheader(name, value.encode("latin-1"))
        client.endheaders()
        with client.getresponse() as response:
            body = response.read(_BODY_LIMIT)
        return response.status, response.headers, body
    finally:
        connection.close()


def _host_header(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _context(host: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if is_loopback(host):  # its certificate is for the public name, and nobody stands between
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Whether HOST can only be this machine, whatever a name server says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _explained(status: int, headers: http.client.HTTPMessage, body: bytes) -> str:
    """What helps a person: where a redirect leads, the first words of an error page of plain text or JSON."""
    if 300 <= status < 400 and (place := headers.get("Location")):
        return tr(" (redirects to {place}; ask that address itself)", place=redact(clean(place, limit=120)))
    kind = headers.get_content_type()
    if status >= 400 and kind in ("text/plain", "application/json") and body.strip():
        return tr(" ({body})", body=redact(clean(body[:400].decode("utf-8", "replace").strip(), limit=120)))
    return ""


def _version_said(place: HealthVersion, headers: http.client.HTTPMessage, body: bytes) -> str | None:
    if place.header:
        return headers.get(place.header)
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for key in (place.json or "").split("."):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def same_version(said: str, wanted: str) -> bool:
    """`v1.2` and `1.2.0` are the same version; what is not a version must be the same text."""
    first, second = said.strip(), wanted.strip()
    if first.removeprefix("v") == second.removeprefix("v"):
        return True
    try:
        return len(first) < 100 and Version(first) == Version(second)
    except (InvalidVersion, ValueError):
        return False
