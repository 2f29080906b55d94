"""What a request asks for: its query and body, taken with their types."""

from __future__ import annotations

from typing import Any

from flask import request

from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import UsageError
from gitdeploy.messages import LANGUAGES, joined, tr
from gitdeploy.web.errors import BadRequest
from gitdeploy.web.shared.body import read_object


def options_for(local_changes: str | None) -> Options:
    """An upgrade's options with what becomes of LOCAL_CHANGES; None leaves that to deploy.yaml. Raises `UsageError`."""
    if local_changes not in (None, "refuse", "merge", "discard"):
        raise UsageError(tr("`local_changes` must be refuse, merge or discard."))
    return Options(local_changes=local_changes)  # type: ignore[arg-type]  # checked just above


def json_object() -> dict[str, Any]:
    """The request's body. Raises `BadRequest` for anything but one JSON object without doubled names."""
    return read_object(request.get_data())


def number(name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises `BadRequest`."""
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and least <= int(text) <= most):
        raise BadRequest(
            tr("`{name}` must be a whole number from {least} to {most}.", name=name, least=least, most=most)
        )
    return int(text)


def chosen_language() -> str:
    """In which language the log's lines are wanted: English unless the query has another `lang` of ours. Raises
    `BadRequest`."""
    chosen = request.args.get("lang", "en")
    if chosen not in LANGUAGES:
        raise BadRequest(tr("`lang` must be {languages}.", languages=joined(" or ", LANGUAGES)))
    return chosen


def flag(name: str) -> bool:
    """true or false in the query. Raises `BadRequest`."""
    text = request.args.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise BadRequest(tr("`{name}` must be true or false.", name=name))
    return text in ("true", "1")
