"""The page's words: which language, and the sentences of `texts.toml` in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from markupsafe import Markup
from msgspec import Struct

from gitdeploy.messages import render, template_in

LANGUAGES = {"en": "English", "zh": "中文"}
_HTML_LANGUAGE = {"en": "en", "zh": "zh-CN"}
_WEIGHTED = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,30})?\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


class Text(Struct, frozen=True):
    """An English text of the page; `one`: its singular, where a number decides."""

    english: str
    one: str = ""

    def said(self, language: str, number: int | None = None) -> str:
        """In LANGUAGE, with its gaps; NUMBER decides between its forms."""
        if not self.one:
            return template_in(language, self.english)
        return template_in(language, self.one, self.english, number)


@cache
def texts() -> Mapping[str, Text]:
    """`section.name` -> the English text."""
    with (Path(__file__).parent / "texts.toml").open("rb") as file:
        sections = tomllib.load(file)
    return {
        f"{section}.{name}": Text(entry) if isinstance(entry, str) else Text(entry["more"], entry["one"])
        for section, entries in sections.items()
        for name, entry in entries.items()
    }


def preferred(accept_language: str) -> str:
    """The best of our languages for an `Accept-Language` header (RFC 9110, 12.5.4); English where it names none."""
    best, weight = "en", 0.0
    for part in accept_language[:500].split(","):
        found = _WEIGHTED.fullmatch(part)
        if found and found[1].lower() in LANGUAGES and (asked := float(found[2] or 1)) > weight:
            best, weight = found[1].lower(), asked
    return best


class Words(Struct, frozen=True):
    """The catalogue in one language: `words("update.available", version="v1.3.0")`. What is filled in is escaped."""

    language: str

    @property
    def html(self) -> str:
        """The value of the document's `lang`."""
        return _HTML_LANGUAGE[self.language]

    def __call__(self, key: str, **values: object) -> Markup:
        shown = {
            name: render(value, self.language) if isinstance(value, str) and not isinstance(value, Markup) else value
            for name, value in values.items()
        }
        return Markup(texts()[key].said(self.language)).format(**shown)  # noqa: S704  # our own text; values are escaped

    def known(self, key: str, otherwise: str) -> str:
        """The text of KEY where there is one: for words that come from the journal, such as a step's name."""
        entry = texts().get(key)
        return entry.said(self.language) if entry is not None else otherwise

    def said(self, message: str) -> str | None:
        """MESSAGE of the deployment in this language; None where it stays as it is."""
        shown = render(message, self.language)
        return shown if shown != message else None

    def section(self, beginning: str) -> list[str]:
        """The keys that begin so."""
        return [key for key in texts() if key.startswith(beginning)]

    def count(self, key: str, number: int) -> Markup:
        """`1 commit`, `14 commits`."""
        return Markup(texts()[key].said(self.language, number)).format(count=number)  # noqa: S704

    def age(self, moment: str | None, now: datetime | None = None) -> str:
        """`3 hours ago`; MOMENT is ISO 8601. Empty where there is none or it can't be read."""
        then = read_time(moment)
        if then is None:
            return ""
        seconds = ((now or datetime.now(UTC)) - then).total_seconds()
        if seconds < 60:
            return self("time.just-now")
        for key, size, most in (("minutes", 60, 60), ("hours", 3600, 24), ("days", 86400, 60)):
            if seconds < size * most:
                return self.count(f"time.{key}", int(seconds // size))
        return then.strftime("%Y-%m-%d")

    def duration(self, seconds: float | None) -> str:
        """`0.8 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
        if seconds is None:
            return ""
        if seconds < 10:
            return self("time.seconds-long", count=f"{seconds:.1f}")
        whole = round(seconds)
        if whole < 120:
            return self("time.seconds-long", count=whole)
        if whole < 7200:
            return self("time.minutes-long", minutes=whole // 60, seconds=whole % 60)
        return self("time.hours-long", hours=whole // 3600, minutes=whole % 3600 // 60)


def read_time(text: str | None) -> datetime | None:
    """An ISO 8601 time with zone (UTC where it names none); None where it is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        moment.astimezone()  # the first and the last day of all may have none here
    except (ValueError, OverflowError):
        return None
    return moment
