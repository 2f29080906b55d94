"""The lines of a drafted deploy.yaml: a key, its value, why it stands there; and how they are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gitdeploy.messages import render
from gitdeploy.text import clean, width_of, wrapped

SECTIONS = ("app", "source", "git", "venv", "backup", "hooks", "service", "health", "rehearse")
_COMMENTS_AT = 34  # the column in which comments begin
_WIDTH = 118
_RESERVED = frozenset("true false null yes no on off y n ~".split())


class Line(Struct, frozen=True):
    """One setting of the draft. key: `venv.requirements`. why: the comment behind it. question: what isn't sure; then the
    line stands commented, for a person to decide."""

    key: str
    value: Any
    why: str = ""
    question: str = ""

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def sure(self) -> bool:
        return not self.question


def written(lines: Iterable[Line], notes: Mapping[str, Sequence[str]]) -> str:
    """The text of a deploy.yaml with LINES. NOTES: comments without a setting, by section; under "" those of the top."""
    found = list(lines)
    parts = list(_comments("", notes.get("", ())))
    for section in SECTIONS:
        here = [line for line in found if line.section == section]
        said = notes.get(section, ())
        if not here and not said:
            continue
        live = any(line.sure for line in here)
        parts += ["", f"{section}:" if live else f"# {section}:"]
        for line in here:
            parts += _written(line, section_is_live=live)
        parts += _comments("  " if live else "", said)
    return "\n".join(parts) + "\n"


def _written(line: Line, *, section_is_live: bool) -> Iterator[str]:
    name = line.key.partition(".")[2]
    start = "  " if line.sure else "  # " if section_is_live else "#   "
    rows = [f"{start}{name}: {flow(line.value)}".rstrip()]
    if len(rows[0]) > _WIDTH and isinstance(line.value, list | tuple):
        rows = [f"{start}{name}:", *(f"{start}  - {flow(each)}" for each in line.value)]
    said = clean(render(line.question or line.why))
    together = f"{rows[0]:<{_COMMENTS_AT}} # {said}" if said else rows[0]
    if said and (width_of(together) > _WIDTH or len(rows) > 1):
        yield from _comments("  " if section_is_live else "", [said])
        yield from rows
    else:
        yield from [together, *rows[1:]]


def _comments(start: str, said: Iterable[str]) -> Iterator[str]:
    for text in said:
        yield from (f"{start}# {row}" for row in wrapped(clean(render(text)), _WIDTH - len(start) - 2) or [""])


def flow(value: Any) -> str:
    """VALUE in one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_text(str(key))}: {flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return _text(str(value))


def _text(text: str) -> str:
    """TEXT as a YAML scalar: plain where that is safe, else a JSON string, which is a YAML one."""
    plain = text.isascii() and text[:1].isalpha() and all(c.isalnum() or c in "._/-" for c in text)
    plain = plain or (
        text[:1] in "./" and len(text) > 1 and text.isascii() and all(c.isalnum() or c in "._/-" for c in text)
    )
    return text if plain and text.lower() not in _RESERVED else json.dumps(text)
