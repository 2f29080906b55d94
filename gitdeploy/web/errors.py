"""Requests that are refused, each with its HTTP status."""

from __future__ import annotations

from typing import ClassVar

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr


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


class NotAgreed(WebError):
    """What would be replaced was not agreed to: `yes` is missing."""

    kind = "not_agreed"
    status = 409


class Unprocessable(WebError):
    """Understood, and not possible."""

    kind = "refused"
    status = 422


class TooManyTries(WebError):
    """Too many wrong tokens from one address."""

    kind = "too_many_tries"
    status = 429

    def __init__(self, wait: float) -> None:
        super().__init__(
            tr("Too many wrong tokens from your address."),
            tr("Try again in {seconds} seconds.", seconds=max(1, round(wait))),
        )
        self.wait = max(1, round(wait))


class Busy(WebError):
    """More streams than the server has room for."""

    kind = "busy"
    status = 503
    wait: ClassVar[int] = 30
