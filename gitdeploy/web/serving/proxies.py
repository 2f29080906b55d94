"""X-Forwarded-*: believed from the proxies that the operator named, thrown away from everybody else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX",
            "HTTP_X_FORWARDED_PORT", "HTTP_FORWARDED")  # fmt: skip
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,60}){1,6}")


class BelieveProxies:
    """WSGI middleware: the client's address, scheme, host and the prefix as a trusted proxy tells them."""

    def __init__(self, inner: Callable[..., Any], trusted: Callable[[], Sequence[str]]) -> None:
        self._inner = inner
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = {name: environ.pop(name, "") for name in _HEADERS}
        trusted = [ipaddress.ip_network(text, strict=False) for text in self._trusted()]
        if trusted and _within(environ.get("REMOTE_ADDR", ""), trusted):
            environ["REMOTE_ADDR"] = _client(environ["REMOTE_ADDR"], said["HTTP_X_FORWARDED_FOR"], trusted)
            proto = said["HTTP_X_FORWARDED_PROTO"].split(",")[-1].strip().lower()
            if proto in ("http", "https"):
                environ["wsgi.url_scheme"] = proto
            if host := said["HTTP_X_FORWARDED_HOST"].split(",")[-1].strip():
                environ["HTTP_HOST"] = host
            prefix = said["HTTP_X_FORWARDED_PREFIX"].rstrip("/")
            if _PREFIX.fullmatch(prefix) and ".." not in prefix:
                environ["SCRIPT_NAME"] = prefix
                if environ["PATH_INFO"].startswith(prefix + "/"):
                    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return self._inner(environ, start_response)  # type: ignore[no-any-return]


def _client(peer: str, forwarded: str, trusted: list[Any]) -> str:
    """The nearest address that is not a trusted proxy, read from the right: what stands left of it anybody may have sent."""
    for text in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        try:
            peer = str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            return peer
        if not _within(peer, trusted):
            return peer
    return peer


def _within(address: str, trusted: list[Any]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in trusted)
