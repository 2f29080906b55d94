"""Who asks: the token, session or login of the app that a request proves itself by."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable
from http import HTTPStatus
from inspect import iscoroutine
from typing import TYPE_CHECKING, Literal, cast

from flask import Request
from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.text import clean
from gitdeploy.web.errors import TooManyTries, WebError

if TYPE_CHECKING:
    from gitdeploy.web.access.store import Store

COOKIE = "gitdeploy_session"
ENVIRONMENT_TOKEN = "GITDEPLOY_WEB_TOKEN"  # noqa: S105  # the variable's name
SHORTEST_TOKEN = 16
IDLE = 4 * 3600.0  # seconds that a session lasts without a request
LONGEST = 24 * 3600.0  # seconds that a session lasts at all
CODE_LASTS = 15 * 60.0  # seconds that the link of the first start can be used
TRIES, TRIES_WITHIN = 5, 300.0  # wrong tokens from one address, and the seconds that they count for


class Access(Struct, frozen=True):
    """Somebody who may look, and change things unless `read_only`. `how`: what they proved themselves by; `csrf`: what
    the page of a session must send with every change."""

    name: str
    read_only: bool = False
    how: Literal["session", "token", "app"] = "app"
    csrf: str = ""


Authorize = Callable[[], "Access | str | bool | None"]
_LONGEST_NAME = 64  # characters
_IN_NO_NAME = re.compile(r"[<>{}\x00-\x1f]|[.!?。！？]\s*$|^\s*\d*\s*$")  # full-width marks end sentences too
_NO_NAMES = frozenset(status.phrase.lower() for status in HTTPStatus) | frozenset(
    "access denied|permission denied|denied|not allowed|not authorized|not logged in|login required|log in|please log in|"
    "anonymous|anonymoususer|anonymous user|guest|nobody|none|null|false|true|no|yes|error".split("|")
)


class AuthorizeBroken(WebError):
    """What the app's own login answered is none of what it may answer: nobody gets in."""

    kind = "failed"
    status = 500


def by_app(authorize: Authorize) -> Access | None:
    """What the app's own login says: an `Access`, the administrator's name, True, or nothing.

    Raises `AuthorizeBroken` for anything else, however true it is: a redirect, a user who may be anonymous, a coroutine, a
    pair of text and status, the text of an error.
    """
    said: object = authorize()
    kind = type(said)  # not isinstance: a proxy says that it is whatever it stands for
    if said is True:
        return Access("administrator")
    if issubclass(kind, Access):
        return cast(Access, said)
    if said is None or said is False:
        return None
    if issubclass(kind, str) and not hasattr(kind, "__html__"):
        if not (name := str(said)):
            return None
        if _is_name(name):
            return Access(clean(name, limit=100))
    if iscoroutine(said):
        said.close()
    raise AuthorizeBroken(
        tr("The app's own login answered with something that names nobody ({kind}).", kind=kind.__name__),
        tr("Its developer sees to it that `authorize` returns True, a name or an Access, and None for everybody else."),
    )


def _is_name(text: str) -> bool:
    """Whether TEXT can be somebody's name, and is not what a page says to those who may not."""
    return len(text) <= _LONGEST_NAME and not _IN_NO_NAME.search(text) and text.strip().lower() not in _NO_NAMES


def by_request(request: Request, store: Store, environment_token: str | None) -> Access | None:
    """What the request's own token or session says. Raises `TooManyTries`."""
    header = request.headers.get("Authorization")
    if header is not None:
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        found = check_token(token.strip(), request.remote_addr or "", store, environment_token)
        return Access(found.name, found.read_only, "token") if found is not None else None
    session = request.cookies.get(COOKIE)
    return store.session(session, environment_token) if session else None


class Proven(Struct, frozen=True):
    """A token that is right: its name, what it may, and what a session that it opens is bound to."""

    name: str
    read_only: bool
    binding: str


def check_token(token: str, address: str, store: Store, environment_token: str | None) -> Proven | None:
    """Whose TOKEN it is. A right one is never kept out; None for a wrong one, which is counted against ADDRESS. Raises
    `TooManyTries` for one wrong token too many."""
    found = _proven(token, store, environment_token)
    if found is None:
        count_wrong(network_of(address), TRIES, store)
    return found


def check_login(given: str, address: str, store: Store, environment_token: str | None) -> Proven | None:
    """The same for what is typed into the form: a token, or the code of the first login. Raises `TooManyTries`."""
    return store.redeem(given) or check_token(given, address, store, environment_token)


def count_wrong(key: str, tries: int, store: Store) -> None:
    """Count what was wrong against KEY. Raises `TooManyTries` where it was wrong TRIES times lately."""
    if (wait := store.count_failure(key, tries, TRIES_WITHIN)) > 0:
        raise TooManyTries(wait)


def is_right(token: str, store: Store, environment_token: str | None) -> bool:
    """Whether TOKEN still is one; a wrong one is not a try to guess."""
    return _proven(token, store, environment_token) is not None


def _proven(token: str, store: Store, environment_token: str | None) -> Proven | None:
    given = token.encode("utf-8", "surrogateescape")
    if environment_token is not None and hmac.compare_digest(given, environment_token.encode()):
        return Proven("administrator", False, environment_binding(environment_token))
    row = store.token(hashlib.sha256(given).hexdigest())
    return Proven(row.name, row.read_only, f"token:{row.id}") if row is not None else None


def environment_binding(token: str) -> str:
    """What a session opened by the environment's token is bound to: ends with that token."""
    return "environment:" + hashlib.sha256(token.encode()).hexdigest()


def network_of(address: str) -> str:
    """The address that tries are counted against; of IPv6 the /64 that one customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
