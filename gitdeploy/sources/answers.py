"""What hosts answer, read strictly: JSON without tricks, and fields of the types that they must have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gitdeploy.errors import SourceError
from gitdeploy.messages import tr
from gitdeploy.sources.changelog import unsigned
from gitdeploy.text import clean

NOTES_LIMIT = 64 * 1024  # characters of release notes that are looked at


class NotJson(ValueError):
    """An answer that is not JSON, or none that can be trusted; the message says why."""


def read_json(raw: bytes) -> Any:
    """The document in RAW (UTF-8). Raises `NotJson`: for cut or broken text, NaN, repeated keys, lone surrogates,
    numbers of thousands of digits or without bounds, and nesting without end."""
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except NotJson:
        raise
    except RecursionError as error:
        raise NotJson(tr("it is nested without end")) from error
    except UnicodeError as error:
        raise NotJson(tr("it holds bytes or characters that are no text")) from error
    except ValueError as error:
        raise NotJson(clean(str(error), limit=120)) from error
    return data


def depth_of(value: Any) -> int:
    """How deeply VALUE, of a JSON document, is nested."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        waiting += [(child, depth + 1) for child in inner]
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson(tr("a key stands twice in one object"))
    return made


def _constant(name: str) -> Any:
    raise NotJson(tr("{name} is not JSON", name=name))


class Item:
    """One object of an answer, its fields read with their types. Raises `SourceError` where one is not what it must be."""

    def __init__(self, data: Any, host: str, what: str) -> None:
        self.host, self.what = host, what
        if not isinstance(data, dict):
            raise _wrong(host, what, "it", tr("an object"), data)
        self.data: dict[str, Any] = data

    def text(self, name: str) -> str:
        value = self.data.get(name)
        if not isinstance(value, str) or not value:
            raise self._wrong(f"`{name}`", "text", value)
        return value

    def maybe(self, name: str) -> str | None:
        """Text, or None where there is none (missing, null, empty)."""
        value = self.data.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(f"`{name}`", "text", value)
        return value or None

    def notes(self, name: str) -> str:
        """Long text, cut and made safe to show; the signature at its end is none of it."""
        return clean(unsigned(self.maybe(name) or "")[:NOTES_LIMIT], lines=True).strip()

    def line(self, name: str) -> str:
        """One line that is fit to show; empty where there is none."""
        return clean(self.maybe(name) or "", limit=200).strip()

    def link(self, name: str) -> str:
        """An http(s) address; empty where there is none, or another scheme."""
        value = self.maybe(name) or ""
        return clean(value, limit=2000) if value.startswith(("https://", "http://")) else ""

    def flag(self, name: str) -> bool:
        value = self.data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(f"`{name}`", tr("true or false"), value)
        return bool(value)

    def inner(self, name: str) -> Item | None:
        """An object inside; None where there is none."""
        value = self.data.get(name)
        return None if value is None else Item(value, self.host, tr("{what}, `{name}`", what=self.what, name=name))

    def _wrong(self, what: str, wanted: str, found: object) -> SourceError:
        return _wrong(self.host, self.what, what, wanted, found)


def _wrong(host: str, place: str, what: str, wanted: str, found: object) -> SourceError:
    kind = {
        dict: tr("an object"),
        list: tr("a list"),
        str: tr("text"),
        bool: tr("true or false"),
        type(None): tr("nothing"),
    }
    where = "" if place == "it" else tr("in {place}, ", place=place)
    return SourceError(
        tr(
            "{host}'s answer is not what it should be: {where}{what} must be {wanted}, not {kind}.",
            host=host,
            where=where,
            what=what,
            wanted=wanted,
            kind=kind.get(type(found), "a number"),
        ),
        tr("If source.url is set, see that it is the address of the API; else the host may have changed it."),
    )


def items(data: Any, host: str, what: str) -> Iterator[Item]:
    """The objects of a list. Raises `SourceError` for anything else."""
    if not isinstance(data, list):
        raise _wrong(host, "it", "it", tr("a list"), data)
    for number, each in enumerate(data, 1):
        yield Item(each, host, tr("{what} {number}", what=what, number=number))
