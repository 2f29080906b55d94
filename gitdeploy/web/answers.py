"""What the API answers: one shape, and the status that each error of ours means in HTTP."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import joined, render, said
from gitdeploy.sources.webhooks import WebhookRefused
from gitdeploy.web.errors import NotLoggedIn, WebError
from gitdeploy.web.words.taste import LANGUAGE_COOKIE, THEME_COOKIE, taste

RETRY_AFTER = "Retry-After"
_YEAR = 365 * 86400


class Answer(Struct, frozen=True):
    """A body with a status other than 200."""

    body: dict[str, Any]
    status: int = 200


def success(data: Any = None, **more: Any) -> dict[str, Any]:
    """`{"success": true, "data": ...}`; MORE stands beside them, DATA is left out where there is none."""
    return {"success": True, **({} if data is None else {"data": data}), **more}


# By exit code: usage and configuration, rolled back, roll-back failed, locked, source, policy.
_STATUS = {1: 503, 2: 400, 3: 503, 4: 503, 5: 409, 6: 502, 7: 422}
_STATUS_BY_KIND = {"not_found": 404, "configuration": 503}


def status_of(error: GitDeployError) -> int:
    """The HTTP status that an error means."""
    if isinstance(error, WebError | WebhookRefused):
        return error.status
    return _STATUS_BY_KIND.get(error.kind, _STATUS.get(error.exit_code, 503))


def error_answer(error: GitDeployError) -> Response:
    """`{"success": false, "error": "...", "hint": "...", "kind": "..."}`; `translated` beside them for who reads another
    language, as far as that is known."""
    own = {"error": _translated(error.message), "hint": _translated(error.hint)}
    more = {"translated": own} if any(own.values()) else {}
    message = joined("\n", (error.message, *error.details))
    answer = jsonify(success=False, kind=error.kind, **said(message, "error"), **said(error.hint, "hint"), **more)
    answer.status_code = status_of(error)
    wait = getattr(error, "wait", None)
    if wait is not None:
        answer.headers[RETRY_AFTER] = str(wait)
    if isinstance(error, NotLoggedIn):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="gitdeploy"'
    return answer


def keep_taste(answer: Response, path: str) -> Response:
    """Keep a choice that the address carries (language, colours), for a year and what is below PATH."""
    language, theme = taste(request.args, {}, "")
    for name, cookie, chosen in (("lang", LANGUAGE_COOKIE, language), ("theme", THEME_COOKIE, theme)):
        if request.args.get(name) == chosen:
            answer.set_cookie(cookie, chosen, max_age=_YEAR, samesite="Lax", secure=request.is_secure, path=path)
    return answer


def _translated(text: str) -> str | None:
    language, _ = taste(request.args, request.cookies, request.headers.get("Accept-Language", ""))
    shown = render(text, language)
    return shown if shown != text else None
