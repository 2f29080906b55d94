"""Bodies of requests: JSON read strictly, each field taken with its type."""

from __future__ import annotations

from typing import Any

from gitdeploy.messages import tr
from gitdeploy.sources.answers import NotJson, depth_of, read_json
from gitdeploy.web.errors import BadRequest

_DEEPEST = 20


def read_object(raw: bytes) -> dict[str, Any]:
    """RAW as one JSON object. Raises `BadRequest`: no JSON, no object, a key twice, NaN, too deep. Nothing is {}."""
    if not raw.strip():
        return {}
    try:
        found = read_json(raw)
    except NotJson as error:
        raise BadRequest(tr("The body is not JSON object: {error}.", error=error)) from error
    if not isinstance(found, dict):
        raise BadRequest(tr("The body must be a JSON object."))
    if depth_of(found) > _DEEPEST:
        raise BadRequest(tr("The body is nested too deeply."))
    return found


def text(body: dict[str, Any], name: str, *, needed: bool = False, limit: int = 500) -> str | None:
    """A text of the body; None where it is missing, null or empty. Raises `BadRequest`."""
    value = body.get(name)
    if value is None or value == "":
        if needed:
            raise BadRequest(tr("`{name}` is missing.", name=name))
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise BadRequest(tr("`{name}` must be a text of at most {limit} characters.", name=name, limit=limit))
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value) or "\0" in value:
        raise BadRequest(tr("`{name}` holds characters that no text has.", name=name))
    return value


def flag(body: dict[str, Any], name: str, default: bool = False) -> bool:
    """true or false of the body. Raises `BadRequest`."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(tr("`{name}` must be true or false.", name=name))
    return value
