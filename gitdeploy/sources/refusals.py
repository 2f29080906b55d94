"""Why a host gave no list of releases, in sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from gitdeploy.errors import SourceError, Unreachable
from gitdeploy.sources.answers import NotJson, read_json
from gitdeploy.sources.base import Host
from gitdeploy.text import clean, duration_text, redact

_BURST = ("secondary rate limit", "secondary-rate-limit", "abuse detection", "abuse-rate-limit")
_RIGHTS = (
    "not accessible by",
    "insufficient_scope",
    "insufficient scope",
    "required scope",
    "permission",
    "unauthorized",
)
_FALLBACK = "Check the network, then try again; source.fallback names another source for such times."


def refusal(
    host: Host, status: int, headers: Mapping[str, str], body: bytes, token: str | None, now: float
) -> SourceError:
    """The error for an answer that is neither 200 nor 304. HEADERS by lower-case names."""
    said = _said(body)
    low = body[:65536].decode("utf-8", "replace").lower()
    if status in (403, 429) and any(mark in low for mark in _BURST):
        return _burst(host, headers, now)
    if status in (403, 429) and _is_limit(status, headers, low):
        return _limit(host, headers, token, now)
    if status == 401:
        return _unauthorized(host, said, token)
    if status == 403:
        return _forbidden(host, headers, low, said, token)
    if status == 404:
        return SourceError(
            f"{host.name} has no such repository, or hides it from {'this token' if token else 'those without a token'} "
            f"(404){said}",
            "Check source.repo. "
            + (
                f"The token needs {host.rights}." if token
                else host.withheld or f"A private one needs {host.token_variable}: {host.rights}."
            ),
        )  # fmt: skip
    if status >= 500:
        return SourceError(f"{host.name} has a fault of its own ({status}){said}", _FALLBACK)
    return SourceError(f"{host.name} answers with status {status}{said}", host.address_hint)


def _forbidden(host: Host, headers: Mapping[str, str], low: str, said: str, token: str | None) -> SourceError:
    """A 403 that is no limit: the host's own words say which of its reasons it is."""
    if token is None:
        hint = host.withheld or f"Set {host.token_variable}: a token with {host.rights}."
        return SourceError(f"{host.name} forbids that (403){said}", hint)
    if "x-github-sso" in headers or "saml" in low:
        url = re.search(r"url=(https://[^\s;,]+)", headers.get("x-github-sso", ""))
        where = f": {clean(url[1], limit=300)}" if url else " (in its settings: Configure SSO)."
        return SourceError(
            f"{host.name} wants the token of {host.token_variable} authorized for single sign-on (SAML, 403){said}",
            f"Authorize the token for the organization{where}",
        )
    if "ip allow list" in low or "ip address" in low:
        return SourceError(
            f"{host.name} refuses this server's address, not the token (403){said}",
            "Have the address of this server added to the organization's list of allowed addresses.",
        )
    if any(mark in low for mark in _RIGHTS):
        return SourceError(
            f"The token of {host.token_variable} lacks a right at {host.name} (403){said}",
            f"The token needs {host.rights}.",
        )
    return SourceError(
        f"{host.name} forbids that (403){said}",
        f"Where it doesn't say why: the token of {host.token_variable} needs {host.rights}, and its owner access.",
    )


def _unauthorized(host: Host, said: str, token: str | None) -> SourceError:
    if token is None:
        return SourceError(
            f"{host.name} wants to know who asks (401){said}",
            host.withheld or f"Set {host.token_variable} in .env or the environment: a token with {host.rights}.",
        )
    return SourceError(
        f"{host.name} refused the token of {host.token_variable} (401){said}",
        f"It may have expired. Make a new one with {host.rights} and put it into {host.token_variable}.",
    )


def _is_limit(status: int, headers: Mapping[str, str], low: str) -> bool:
    left = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
    return status == 429 or left == "0" or "retry-after" in headers or "rate limit" in low


def _burst(host: Host, headers: Mapping[str, str], now: float) -> SourceError:
    """A secondary limit: too many requests in a short time, whatever the hourly limit still has."""
    wait = retry_after(headers, now)
    when = f"; free again in {_minutes(wait)}" if wait is not None else ""
    return SourceError(
        f"{host.name}'s secondary rate limit: too many requests came from here in a short time{when}.",
        "Wait a few minutes, then try again. The token and its rights are not the reason.",
    )


def _limit(host: Host, headers: Mapping[str, str], token: str | None, now: float) -> SourceError:
    wait = retry_after(headers, now)
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    if wait is None and re.fullmatch(r"[0-9]{1,12}", reset):
        wait = max(0.0, int(reset) - now)
    most = headers.get("x-ratelimit-limit", headers.get("ratelimit-limit", ""))
    if not re.fullmatch(r"[0-9]{1,9}", most):
        most = str(host.hourly_without_token or "") if token is None else ""
    who = "" if token else " without a token"
    allowed = (
        f"allows {most} requests an hour{who}, and they are used up" if most else f"allows no more requests now{who}"
    )
    when = ""
    if wait is not None:
        at = datetime.fromtimestamp(now + wait).astimezone()
        when = f"; free again at {at:%H:%M}, in {_minutes(wait)}"
    hint = (
        f"Set {host.token_variable}: with a token the limit is far higher."
        if token is None
        else "Ask less often (check.interval), or wait."
    )
    return SourceError(f"{host.name} {allowed}{when}.", hint)


def _minutes(wait: float) -> str:
    minutes = round(wait / 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}" if 1 <= minutes < 120 else duration_text(wait)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (a number or a date); None where it asks for nothing."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return None


def redirected(host: Host, target: str) -> SourceError:
    """The answer leads to another origin, where the token must not go."""
    where = clean(urlsplit(target).hostname or "?", limit=100)
    login = "a login page" if "login" in target.lower() or "signin" in target.lower() else "another address"
    return SourceError(
        f"{host.name} redirects to {login} ({where}), which is not followed: the address or the token is wrong.",
        host.address_hint,
    )


def web_page(host: Host, base: str) -> SourceError:
    """HTML where JSON should be."""
    return SourceError(
        f"{host.name} answers with a web page instead of data: {clean(urlsplit(base).hostname or base, limit=100)} is "
        "not its API there, or a login page or proxy is in between.",
        host.address_hint,
    )


def connection_failure(host: Host, address: str, error: Exception) -> tuple[SourceError, bool]:
    """The sentence for a connection that failed, and whether it may work in a moment."""
    text = redact(clean(_innermost(error), limit=200))
    whole = f"{type(error).__name__} {error} {text}".lower()
    if "proxy" in whole and ("407" in whole or "tunnel" in whole or "proxyerror" in whole):
        return Unreachable(
            f"The proxy on the way to {host.name} refused the connection: {text}.",
            "Check https_proxy and no_proxy in the environment (and git's http.proxy).",
        ), False
    if "name or service not known" in whole or "resolve" in whole or "name resolution" in whole:
        return Unreachable(
            f"{host.name} can't be found: the name {address} has no address (DNS).", _FALLBACK
        ), "temporary" in whole
    if "certificate" in whole or "ssl" in whole:
        return Unreachable(
            f"The TLS certificate of {address} can't be trusted: {text}.",
            "Check the clock, and REQUESTS_CA_BUNDLE where the host has a CA of its own.",
        ), "eof" in whole
    if "timed out" in whole or "timeout" in whole:
        return Unreachable(f"{host.name} ({address}) gave no answer in time.", _FALLBACK), True
    if "refused" in whole:
        return Unreachable(f"{host.name} ({address}) refuses connections.", _FALLBACK), True
    if "incomplete" in whole or "cut short" in whole or "aborted" in whole or "reset" in whole or "closed" in whole:
        why = "" if "incomplete" in text.lower() or "cut short" in text else f": {text}"
        return Unreachable(f"The answer of {host.name} was cut short{why}.", _FALLBACK), True
    return Unreachable(f"{host.name} ({address}) can't be reached: {text}.", _FALLBACK), True


def _innermost(error: BaseException) -> str:
    """The words of the error at the bottom, which says what happened without addresses and object ids."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        deeper = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
        if not isinstance(deeper, BaseException):
            break
        error = deeper
    words = getattr(error, "strerror", None) or str(error)
    return re.sub(r"<[^>]*object at 0x[0-9a-f]+>:?\s*", "", str(words)).strip().rstrip(".") or type(error).__name__


def _said(body: bytes) -> str:
    """What the host itself says: `: Bad credentials.`; a full stop where it says nothing."""
    try:
        data = read_json(body[:65536])
    except NotJson:
        return "."
    words: list[str] = []
    if isinstance(data, dict):
        for name in ("message", "errorMessage", "error_description", "errorCode", "error"):
            value = data.get(name)
            if isinstance(value, str) and value and value not in words:
                words.append(value)
    said = redact(clean(" ".join(words), limit=200)).rstrip(".")
    return f": {said}." if said else "."
