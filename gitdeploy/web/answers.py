"""What the API answers: one shape, and the status that each error of ours means in HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from flask import Response, jsonify, request
from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.sources.webhooks import WebhookRefused
from gitdeploy.web.document import taste
from gitdeploy.web.messages import translated

RETRY_AFTER = "Retry-After"


class WebError(GitDeployError):
    """A request that is refused, with its HTTP status."""

    kind = "refused"
    status: ClassVar[int] = 400


class BadRequest(WebError):
    """A body or a parameter that can't be taken."""

    kind = "usage"


class NotLoggedIn(WebError):
    """Nothing is shown without a token or a session."""

    kind = "unauthorized"
    status = 401


class Forbidden(WebError):
    """A right is missing, or the request comes from another site."""

    kind = "forbidden"
    status = 403


class NoSuchPage(WebError):
    """There is no such address."""

    kind = "not_found"
    status = 404


class WrongMethod(WebError):
    """The address is right, the method is not."""

    kind = "method"
    status = 405


class TooLarge(WebError):
    """More than a body may hold."""

    kind = "too_large"
    status = 413


class WrongContentType(WebError):
    """A body that isn't JSON."""

    kind = "content_type"
    status = 415


class Unprocessable(WebError):
    """Understood, and not possible."""

    kind = "refused"
    status = 422


class TooManyTries(WebError):
    """Too many wrong tokens from one address."""

    kind = "too_many_tries"
    status = 429

    def __init__(self, wait: float) -> None:
        super().__init__("Too many wrong tokens from your address.", f"Try again in {max(1, round(wait))} seconds.")
        self.wait = max(1, round(wait))


class Busy(WebError):
    """More streams than the server has room for."""

    kind = "busy"
    status = 503
    wait: ClassVar[int] = 30


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
    message = "\n".join((error.message, *error.details))
    answer = jsonify(success=False, error=message, hint=error.hint, kind=error.kind, **more)
    answer.status_code = status_of(error)
    wait = getattr(error, "wait", None)
    if wait is not None:
        answer.headers[RETRY_AFTER] = str(wait)
    if isinstance(error, NotLoggedIn):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="gitdeploy"'
    return answer


def _translated(text: str) -> str | None:
    language, _ = taste(request.args, request.cookies, request.headers.get("Accept-Language", ""))
    return translated(text, language)
