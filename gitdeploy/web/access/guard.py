"""What every request must pass before a view sees it, and the headers that every answer carries."""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING

from flask import Request, Response

from gitdeploy.messages import tr
from gitdeploy.text import clean
from gitdeploy.web.errors import Forbidden, NotLoggedIn, TooLarge, WrongContentType

if TYPE_CHECKING:
    from gitdeploy.web.access.access import Access

BODY_LIMIT = 256 * 1024
CSRF_HEADER = "X-CSRF-Token"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ),
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Nothing to other sites. Not `no-referrer`: browsers then send `Origin: null` with a form of our own too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def check_host(request: Request, hosts: tuple[str, ...], file: str) -> None:
    """Only by names that the operator gave, and by loopback (FILE has them): else any site could point its own name at this server (DNS
    rebinding). Raises `Forbidden`."""
    host = host_of(request.headers.get("Host", ""))
    if host is None or not (is_loopback(host) or host in {name.lower() for name in hosts}):
        shown = clean(request.headers.get("Host", ""), limit=80) or "none"
        raise Forbidden(
            tr("This page does not answer to the name `{shown}`.", shown=shown),
            tr("The operator adds the name that it is asked for by to `web.hosts` in {file}.", file=file),
        )


def host_of(header: str) -> str | None:
    """The name or address in a Host header, without the port, in lower case; None for what is no such header."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?", header)
    return found[1].lower().rstrip(".") if found else None


def is_loopback(host: str) -> bool:
    """Whether HOST is this machine for whoever asks."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_size(request: Request) -> None:
    """A body is not large. Raises `TooLarge`; where its length isn't told, reading it does."""
    request.max_content_length = BODY_LIMIT
    if request.content_length is not None and request.content_length > BODY_LIMIT:
        raise TooLarge(tr("A body may hold {body_limit} KB.", body_limit=BODY_LIMIT // 1024))


def check_type(request: Request, content_type: str) -> None:
    """A body is of just one type: what a form of another site can send is none. Raises `WrongContentType`."""
    if request.mimetype != content_type or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise WrongContentType(
            tr("The body must be {content_type}.", content_type=content_type),
            tr("Send it with: Content-Type: {content_type}", content_type=content_type),
        )


def check_origin(request: Request, *, needed: bool) -> None:
    """A change comes from our own page, or from no page at all where it isn't NEEDED. Raises `Forbidden`."""
    origin = request.headers.get("Origin")
    if origin is None:
        if needed:
            raise Forbidden(
                tr("A change needs the header Origin."), tr("Browsers send it; scripts use a token instead.")
            )
        return
    own = f"{request.scheme}://{request.headers.get('Host', '')}"
    if _normal(origin) != _normal(own):
        raise Forbidden(
            tr("The request comes from another site ({origin}).", origin=clean(origin, limit=80)),
            tr("Behind a proxy: let it pass Host on, send X-Forwarded-Proto, and be named in `web.trusted_proxies`."),
        )


def _normal(origin: str) -> str:
    origin = origin.lower()
    for scheme, port in (("http://", ":80"), ("https://", ":443")):
        if origin.startswith(scheme):
            return origin.removesuffix(port)
    return origin


def check_access(access: Access | None, needs: str, command: str) -> Access:
    """Somebody is there, and may do it; COMMAND makes tokens. Raises `NotLoggedIn`, `Forbidden`."""
    if access is None:
        raise NotLoggedIn(
            tr("You are not logged in."),
            tr(
                "Log in on the page, or send a token: Authorization: Bearer TOKEN (`{command} token add NAME` makes one)",
                command=command,
            ),
        )
    if needs == "change" and access.read_only:
        raise Forbidden(tr("{access} may only look.", access=access.name), tr("An administrator's token is needed."))
    return access


def check_csrf(access: Access, given: str | None) -> None:
    """A session's change carries what only a page of that session knows. Raises `Forbidden`."""
    if access.how == "session" and not hmac.compare_digest(
        (given or "").encode("utf-8", "replace"), access.csrf.encode()
    ):
        raise Forbidden(tr("The page's proof is missing or old."), tr("Load the page again, then repeat what you did."))


def with_headers(response: Response) -> Response:
    """Every answer's headers; nothing but static files may be kept by anybody."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response
