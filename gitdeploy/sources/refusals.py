"""Why a host gave no list of releases, in sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from gitdeploy.errors import SourceError, Unreachable
from gitdeploy.messages import joined, tr
from gitdeploy.sources.answers import NotJson, read_json
from gitdeploy.sources.base import Host
from gitdeploy.text import clean, count, duration_text, redact

_BURST = ("secondary rate limit", "secondary-rate-limit", "abuse detection", "abuse-rate-limit")
_RIGHTS = (
    "not accessible by",
    "insufficient_scope",
    "insufficient scope",
    "required scope",
    "permission",
    "unauthorized",
)
_FALLBACK = tr("Check the network, then try again; source.fallback names another source for such times.")


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
            tr("{host} has no such repository, or hides it from {token} (404){said}", host=host.name, token=tr("this token") if token else tr("those without a token"), said=said),
            tr("Check source.repo. ")
            + (
                tr("The token needs {rights}.", rights=host.rights) if token
                else host.withheld or tr("A private one needs {token_variable}: {rights}.", token_variable=host.token_variable, rights=host.rights)
            ),
        )  # fmt: skip
    if status >= 500:
        return SourceError(
            tr("{host} has a fault of its own ({status}){said}", host=host.name, status=status, said=said), _FALLBACK
        )
    return SourceError(
        tr("{host} answers with status {status}{said}", host=host.name, status=status, said=said), host.address_hint
    )


def _forbidden(host: Host, headers: Mapping[str, str], low: str, said: str, token: str | None) -> SourceError:
    """A 403 that is not a limit: the host's own words say which of its reasons it is."""
    if token is None:
        hint = host.withheld or tr(
            "Set {token_variable}: a token with {rights}.", token_variable=host.token_variable, rights=host.rights
        )
        return SourceError(tr("{host} forbids that (403){said}", host=host.name, said=said), hint)
    if "x-github-sso" in headers or "saml" in low:
        url = re.search(r"url=(https://[^\s;,]+)", headers.get("x-github-sso", ""))
        where = tr(": {url}", url=clean(url[1], limit=300)) if url else tr(" (in its settings: Configure SSO).")
        return SourceError(
            tr(
                "{host} wants the token of {token_variable} authorized for single sign-on (SAML, 403){said}",
                host=host.name,
                token_variable=host.token_variable,
                said=said,
            ),
            tr("Authorize the token for the organization{where}", where=where),
        )
    if "ip allow list" in low or "ip address" in low:
        return SourceError(
            tr("{host} refuses this server's address, not the token (403){said}", host=host.name, said=said),
            tr("Have the address of this server added to the organization's list of allowed addresses."),
        )
    if any(mark in low for mark in _RIGHTS):
        return SourceError(
            tr(
                "The token of {token_variable} lacks a right at {host} (403){said}",
                token_variable=host.token_variable,
                host=host.name,
                said=said,
            ),
            tr("The token needs {rights}.", rights=host.rights),
        )
    return SourceError(
        tr("{host} forbids that (403){said}", host=host.name, said=said),
        tr(
            "Where it doesn't say why: the token of {token_variable} needs {rights}, and its owner access.",
            token_variable=host.token_variable,
            rights=host.rights,
        ),
    )


def _unauthorized(host: Host, said: str, token: str | None) -> SourceError:
    if token is None:
        return SourceError(
            tr("{host} wants to know who asks (401){said}", host=host.name, said=said),
            host.withheld
            or tr(
                "Set {token_variable} in .env or the environment: a token with {rights}.",
                token_variable=host.token_variable,
                rights=host.rights,
            ),
        )
    return SourceError(
        tr(
            "{host} refused the token of {token_variable} (401){said}",
            host=host.name,
            token_variable=host.token_variable,
            said=said,
        ),
        tr(
            "It may have expired. Make a new one with {rights} and put it into {token_variable}.",
            rights=host.rights,
            token_variable=host.token_variable,
        ),
    )


def _is_limit(status: int, headers: Mapping[str, str], low: str) -> bool:
    left = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
    return status == 429 or left == "0" or "retry-after" in headers or "rate limit" in low


def _burst(host: Host, headers: Mapping[str, str], now: float) -> SourceError:
    """A secondary limit: too many requests in a short time, whatever the hourly limit still has."""
    wait = retry_after(headers, now)
    when = tr("; free again in {minutes}", minutes=_minutes(wait)) if wait is not None else ""
    return SourceError(
        tr(
            "{host}'s secondary rate limit: too many requests came from here in a short time{when}.",
            host=host.name,
            when=when,
        ),
        tr("Wait a few minutes, then try again. The token and its rights are not the reason."),
    )


def _limit(host: Host, headers: Mapping[str, str], token: str | None, now: float) -> SourceError:
    wait = retry_after(headers, now)
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    if wait is None and re.fullmatch(r"[0-9]{1,12}", reset):
        wait = max(0.0, int(reset) - now)
    most = headers.get("x-ratelimit-limit", headers.get("ratelimit-limit", ""))
    if not re.fullmatch(r"[0-9]{1,9}", most):
        most = str(host.hourly_without_token or "") if token is None else ""
    who = "" if token else tr(" without a token")
    allowed = (
        tr("allows {most} requests an hour{who}, and they are used up", most=most, who=who)
        if most
        else tr("allows no more requests now{who}", who=who)
    )
    when = ""
    if wait is not None:
        at = datetime.fromtimestamp(now + wait).astimezone()
        when = tr("; free again at {at}, in {minutes}", at=f"{at:%H:%M}", minutes=_minutes(wait))
    hint = (
        tr("Set {token_variable}: with a token the limit is far higher.", token_variable=host.token_variable)
        if token is None
        else tr("Ask less often (check.interval), or wait.")
    )
    return SourceError(tr("{host} {allowed}{when}.", host=host.name, allowed=allowed, when=when), hint)


def _minutes(wait: float) -> str:
    minutes = round(wait / 60)
    return count(minutes, "minute") if 1 <= minutes < 120 else duration_text(wait)


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
    login = tr("a login page") if "login" in target.lower() or "signin" in target.lower() else tr("another address")
    return SourceError(
        tr(
            "{host} redirects to {login} ({where}), which is not followed: the address or the token is wrong.",
            host=host.name,
            login=login,
            where=where,
        ),
        host.address_hint,
    )


def web_page(host: Host, base: str) -> SourceError:
    """HTML where JSON should be."""
    return SourceError(
        tr(
            "{host} answers with a web page instead of data: {hostname} is not its API there, or a "
            "login page or proxy is in between.",
            host=host.name,
            hostname=clean(urlsplit(base).hostname or base, limit=100),
        ),
        host.address_hint,
    )


def connection_failure(host: Host, address: str, error: Exception) -> tuple[SourceError, bool]:
    """The sentence for a connection that failed, and whether it may work in a moment."""
    text = redact(clean(_innermost(error), limit=200))
    whole = f"{type(error).__name__} {error} {text}".lower()
    if "proxy" in whole and ("407" in whole or "tunnel" in whole or "proxyerror" in whole):
        return Unreachable(
            tr("The proxy on the way to {host} refused the connection: {text}.", host=host.name, text=text),
            tr("Check https_proxy and no_proxy in the environment (and git's http.proxy)."),
        ), False
    if "name or service not known" in whole or "resolve" in whole or "name resolution" in whole:
        return Unreachable(
            tr("{host} can't be found: the name {address} has no address (DNS).", host=host.name, address=address),
            _FALLBACK,
        ), "temporary" in whole
    if "certificate" in whole or "ssl" in whole:
        return Unreachable(
            tr("The TLS certificate of {address} can't be trusted: {text}.", address=address, text=text),
            tr("Check the clock, and REQUESTS_CA_BUNDLE where the host has a CA of its own."),
        ), "eof" in whole
    if "timed out" in whole or "timeout" in whole:
        return Unreachable(
            tr("{host} ({address}) gave no answer in time.", host=host.name, address=address), _FALLBACK
        ), True
    if "refused" in whole:
        return Unreachable(
            tr("{host} ({address}) refuses connections.", host=host.name, address=address), _FALLBACK
        ), True
    if "incomplete" in whole or "cut short" in whole or "aborted" in whole or "reset" in whole or "closed" in whole:
        why = "" if "incomplete" in text.lower() or "cut short" in text else tr(": {text}", text=text)
        return Unreachable(tr("The answer of {host} was cut short{why}.", host=host.name, why=why), _FALLBACK), True
    return Unreachable(
        tr("{host} ({address}) can't be reached: {text}.", host=host.name, address=address, text=text), _FALLBACK
    ), True


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
    said = redact(clean(joined(" ", words), limit=200)).rstrip(".")
    return tr(": {said}.", said=said) if said else tr(".")
