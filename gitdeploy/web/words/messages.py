"""What the deployment itself says, in the reader's language: found again by its English template in `messages.toml`.

What deploys knows no language, and its sentences are searched for as they are: so the page shows both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from gitdeploy.text import clean

_LONGEST = 4000  # characters of a message that is looked for
_MOST_ENDS = 8  # of sentences, in one message
_GAP = re.compile(r"\{(\w+)(?::([a-z][a-z ]*))?\}")


class Template(Struct, frozen=True):
    """A sentence whose gaps are filled in: `pattern` finds it, `chinese` says it."""

    pattern: re.Pattern[str]
    chinese: str

    def read(self, text: str) -> str | None:
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        return _GAP.sub(lambda gap: found[gap[1]], self.chinese)


def translated(text: str, language: str) -> str | None:
    """TEXT, a message or a hint, in LANGUAGE; None where it is English, or not all of TEXT is known."""
    text = clean(text, lines=True).strip()
    return _read(text) if language == "zh" and 0 < len(text) <= _LONGEST else None


def _read(text: str) -> str | None:
    """Several sentences behind each other, or one. Names that a release brings may hold what looks like the ends of a
    thousand sentences: with more than a message has, only the whole is looked for."""
    ends = list(re.finditer(r"(?<=[.!?]) +", text))
    for end in ends if len(ends) <= _MOST_ENDS else ():
        first, rest = _one(text[: end.start()]), text[end.end() :]
        if first is not None and (behind := _read(rest)) is not None:
            return first + behind
    return _one(text)


def _one(text: str) -> str | None:
    return next((said for template in _templates() if (said := template.read(text)) is not None), None)


@cache
def catalogue() -> Mapping[str, str]:
    """English template -> Chinese."""
    with (Path(__file__).parent / "messages.toml").open("rb") as file:
        sections = tomllib.load(file)
    return {english: chinese for section in sections.values() for english, chinese in section.items()}


@cache
def _templates() -> list[Template]:
    """Those with the most words of their own first."""
    found = sorted(catalogue().items(), key=lambda entry: len(_GAP.sub("", entry[0])), reverse=True)
    return [Template(re.compile(_pattern(english), re.DOTALL), chinese) for english, chinese in found]


def _pattern(english: str) -> str:
    made, at = "", 0
    for gap in _GAP.finditer(english):
        filled = rf"(?P<{gap[1]}>.+?)" if gap[2] is None else rf"(?P<{gap[1]}>\d+) {gap[2]}s?"
        made, at = made + re.escape(english[at : gap.start()]) + filled, gap.end()
    return made + re.escape(english[at:])
