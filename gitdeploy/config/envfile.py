"""`.env` read as python-dotenv reads it (without interpolation), and one value in it replaced byte by byte.

The grammar is that of python-dotenv 1.x (`dotenv/parser.py`): `export `, quoted keys, single and double quotes with
their escapes, values over several lines, comments. Where python-dotenv warns and skips a line, this refuses the file:
what cannot be read surely cannot be edited surely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import clean

_BLANK = re.compile(r"\s*")
_SPACE = re.compile(r"[^\S\r\n]*")
_EXPORT = re.compile(r"(?:export[^\S\r\n]+)?")
_QUOTED_KEY = re.compile(r"'([^']+)'")
_KEY = re.compile(r"([^=\#\s]+)")
_EQUALS = re.compile(r"=[^\S\r\n]*")
_QUOTED = {"'": re.compile(r"'((?:\\'|[^'])*)'"), '"': re.compile(r'"((?:\\"|[^"])*)"')}
_ESCAPES = {"'": re.compile(r"\\[\\']"), '"': re.compile(r"\\[\\'\"abfnrtv]")}
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_TO_LINE_END = re.compile(r"[^\r\n]*")
_COMMENT_BEHIND = re.compile(r"\s+#.*")
_COMMENT = re.compile(r"(?:[^\S\r\n]*#[^\r\n]*)?")
_LINE_END = re.compile(r"[^\S\r\n]*(?:\r\n|\n|\r|\Z)")
_ANY_NEWLINE = re.compile(r"\r\n|\r|\n")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Means the same to python-dotenv, a shell and systemd without quotes.
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_.,:/@%+=-]*")
_BOM = "\ufeff"


class Binding(Struct, frozen=True):
    """One `NAME=value`. `value` is None for a name without `=`; `start` and `end` (characters of the decoded file)
    enclose what is to be replaced, quotes included; `line` counts from 1."""

    name: str
    value: str | None
    start: int
    end: int
    line: int
    quote: str = ""


class EnvFile(Struct, frozen=True):
    """A `.env` file: its bindings in order, and its exact text. Its repr shows no value."""

    bindings: tuple[Binding, ...] = ()
    text: str = ""
    name: str = ".env"

    def __repr__(self) -> str:
        return f"EnvFile(name={self.name!r})"

    @classmethod
    def parse(cls, raw: bytes, name: str = ".env") -> EnvFile:
        """Read RAW. Bytes that are not UTF-8 survive as in `os.environ` (surrogateescape).

        Raises ConfigError, naming line and file, where a line can't be read: an unclosed quote, `NAME: value`.
        """
        if b"\0" in raw:
            line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
            raise _unreadable(name, line, tr("holds a NUL byte"))
        text = raw.decode("utf-8", "surrogateescape")
        return cls(tuple(_bindings(text, name)), text, name)

    def get(self, name: str) -> str | None:
        """The value of NAME (of its last line, as python-dotenv); None where it isn't set or has no `=`."""
        return next((each.value for each in reversed(self.bindings) if each.name == name), None)

    def line_of(self, name: str) -> int | None:
        """The line of the last binding of NAME."""
        return next((each.line for each in reversed(self.bindings) if each.name == name), None)

    def count(self, name: str) -> int:
        """How often NAME is set: more than once deserves a warning."""
        return sum(each.name == name for each in self.bindings)

    def with_value(self, name: str, value: str) -> bytes:
        """The file's bytes with NAME set to VALUE at every place where it is set, else in a line at the end; all other
        bytes (line ends, BOM, quotes, comments, `export`) are the same.

        Raises ConfigError for a value that can't be written so that every reader of the file reads it alike.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(tr("{name} is not a name of a variable.", name=clean(name, limit=60)))
        pieces = []
        done = 0
        for each in self.bindings:
            if each.name == name:
                equals = "=" if each.value is None else ""
                pieces += [self.text[done : each.start], equals, _written(name, value, each.quote)]
                done = each.end
        pieces.append(self.text[done:])
        if not done:
            newline = found[0] if (found := _ANY_NEWLINE.search(self.text)) else "\n"
            first = newline if self.text not in ("", _BOM) and not self.text.endswith(("\n", "\r")) else ""
            pieces += [first, name, "=", _written(name, value, ""), newline]
        return "".join(pieces).encode("utf-8", "surrogateescape")


def _unreadable(name: str, line: int, what: str) -> ConfigError:
    return ConfigError(
        tr("{name} line {line} {what}.", name=clean(name), line=line, what=what),
        tr("Each line is NAME=value, a comment (#) or empty; a value with quotes must end with the same quote."),
    )


def _bindings(text: str, name: str) -> Iterator[Binding]:
    place = 1 if text.startswith(_BOM) else 0
    line, counted = 1, 0
    while True:
        place = _end(_BLANK, text, place)
        if place == len(text):
            return
        line += len(_ANY_NEWLINE.findall(text, counted, place))
        counted = place
        found, place = _binding(text, place, line, name)
        if found:
            yield found


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _binding(text: str, place: int, line: int, name: str) -> tuple[Binding | None, int]:
    """The binding that begins at PLACE (None for a comment) and where the next line begins."""
    place = _end(_EXPORT, text, place)
    found: Binding | None = None
    if text[place : place + 1] != "#":
        key = (_QUOTED_KEY if text[place : place + 1] == "'" else _KEY).match(text, place)
        if not key:
            raise _unreadable(name, line, tr("can't be read: it begins with no name"))
        after_space = _end(_SPACE, text, key.end())
        equals = _EQUALS.match(text, after_space)
        if equals:
            found = _value(text, equals.end(), key[1], line, name)
            place = found.end
        else:
            found = Binding(key[1], None, key.end(), key.end(), line)
            place = after_space
    place = _end(_COMMENT, text, place)
    end = _LINE_END.match(text, place)
    if not end:
        raise _unreadable(name, line, tr("can't be read: there is more than a name and a value"))
    return found, end.end()


def _value(text: str, start: int, key: str, line: int, name: str) -> Binding:
    quote = text[start : start + 1]
    if quote in ("'", '"'):
        found = _QUOTED[quote].match(text, start)
        if not found:
            raise _unreadable(name, line, tr("opens a quote ({quote}) that is never closed", quote=quote))
        inner = _ANY_NEWLINE.sub("\n", found[1])
        value = _ESCAPES[quote].sub(lambda escape: _ESCAPED.get(escape[0][1], escape[0][1]), inner)
        return Binding(key, value, start, found.end(), line, quote)
    part = text[start : _end(_TO_LINE_END, text, start)]
    value = _COMMENT_BEHIND.sub("", part).rstrip()
    return Binding(key, value, start, start + len(value), line)


def _written(name: str, value: str, quote: str) -> str:
    """VALUE as it stands in the file, in QUOTE where the old one had it."""
    plain = _NEEDS_NO_QUOTES.fullmatch(value) is not None
    if not plain and (not value.isprintable() or "\\" in value or "${" in value):
        raise ConfigError(
            tr(
                "The value for {name} can't be written to .env: it has a line break, a backslash, a "
                "`${{` or a character that can't be printed.",
                name=name,
            )
        )
    if plain:
        return f"{quote}{value}{quote}"
    for mark in (quote, "'", '"') if quote else ("'", '"'):
        if mark not in value and not (mark == '"' and ("$" in value or "`" in value)):
            return f"{mark}{value}{mark}"
    raise ConfigError(tr("The value for {name} can't be written to .env: it has both kinds of quotes.", name=name))
