"""What is said to people: an English sentence that still knows its template and its values, so that an edge can say it in
another language.

A sentence is made by `tr("{tag} was moved.", tag=tag)`. The result is a `str`, in English, and is used as one: stored,
searched for, put into JSON. Only an edge (terminal, page, notification) calls `render`, which looks the template up in the
catalogue of the reader's language (gettext's format, the template is the message id) and fills the values in, those that are
sentences themselves in that language, too. English loads no catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gettext import GNUTranslations

LANGUAGES: Final = ("en", "zh")
DOMAIN: Final = "gitdeploy"
FOLDER: Final = Path(__file__).parent / "locale"
LOCALES: Final = {"zh": "zh_CN"}
_GAP = re.compile(r"\{(\w+)\}|\{\{|\}\}")
_GAP_OR_MARKS = re.compile(r"\{\w+\}|[^{}]+|\{\{|\}\}|[{}]")
_JOINED = re.compile(r"\{_0\}(?:(?P<by>[^{}]*)\{_1\}(?:[^{}]*\{_\d+\})*)?")
_WORDS = re.compile(r"[^\W\d_]")
_MARKS = str.maketrans({".": "。", ",": "，", ":": "：", ";": "；", "(": "（", ")": "）"})
_FULL_WIDTH = tuple("。，；：！？、）》」』”’")
_DEEPEST = 20  # sentences within each other that are read back from JSON

_language: ContextVar[str] = ContextVar("language", default="en")


class Message(str):
    """A sentence in English that knows its `template` and its `values` by name; a value may be a `Message` itself."""

    __slots__ = ("template", "values")

    template: str
    values: Mapping[str, str]

    def __add__(self, other: str) -> Message:
        return _join("", (self, other))

    def __radd__(self, other: str) -> Message:
        return _join("", (other, self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (str(self), self.template, dict(self.values))


def tr(template: str, **values: object) -> str:
    """The sentence of TEMPLATE, `{name}` filled in from VALUES (a literal brace is written twice, as in an f-string)."""
    kept = {name: value if isinstance(value, str) else _text_of(value) for name, value in values.items()}
    return _made(template.format_map(kept), template, kept)


def _text_of(value: object) -> str:
    """An exception that was raised with a sentence stays that sentence."""
    if isinstance(value, Exception) and len(value.args) == 1 and isinstance(value.args[0], Message):
        return value.args[0]
    return str(value)


def sentence_of(text: str) -> str:
    """TEXT, without gaps and written where no `tr` stands (a command's help, a setting's meaning), as a sentence."""
    return _made(text, text.replace("{", "{{").replace("}", "}}"), {})


def without_stop(message: str) -> str:
    """MESSAGE without the full stop at its end, to be put into another sentence."""
    return _shaped(message, "stopless")


def capital(message: str) -> str:
    """MESSAGE with a capital letter at its beginning."""
    return _shaped(message, "capital")


def first_line(message: str) -> str:
    """The first of MESSAGE's lines."""
    return _shaped(message, "line")


# What becomes of a sentence after it was said, in whichever language.
_SHAPES: Mapping[str, Callable[[str], str]] = {
    "stopless": lambda text: text.rstrip(".。"),
    "capital": lambda text: text[:1].upper() + text[1:],
    "line": lambda text: text.partition("\n")[0],
}


def _shaped(message: str, shape: str) -> str:
    text = _SHAPES[shape](str(message))
    if text == message:
        return message
    return _made(text, f"{{{shape}}}", {shape: message}) if isinstance(message, Message) else text


def counted(number: int, one: str, more: str) -> str:
    """The sentence of ONE or MORE, whose `{number}` is NUMBER: gettext's plural form, known by ONE."""
    kept = {"number": str(number)}
    return _made((one if number == 1 else more).format_map(kept), one, kept)


def _made(text: str, template: str, values: Mapping[str, str]) -> Message:
    made = Message(text)
    made.template = template
    made.values = values
    return made


def put_together(template: str, values: Mapping[str, str]) -> str:
    """The sentence of TEMPLATE and VALUES that somebody else wrote: nothing but names is looked up in it."""
    return _made(_filled(template, values), template, values)


def joined(by: str, parts: Iterable[str]) -> str:
    """`by.join(parts)`, in which the sentences among PARTS stay sentences."""
    listed = list(parts)
    if len(listed) == 1:
        return listed[0]
    if by.isspace() and not any(isinstance(part, Message) for part in listed):
        return by.join(listed)
    return _join(by, listed)


def _join(by: str, parts: Iterable[str]) -> Message:
    values = {f"_{number}": part for number, part in enumerate(parts)}
    template = by.replace("{", "{{").replace("}", "}}").join(f"{{{name}}}" for name in values)
    return _made(by.join(values.values()), template, values)


def changed(message: str, change: Callable[[str], str]) -> str:
    """MESSAGE with CHANGE made to it and, where it is a sentence, to each of its values."""
    text = change(str(message))
    if not isinstance(message, Message):
        return text
    values = {name: changed(value, change) for name, value in message.values.items()}
    return _made(text, message.template, values)


# ---- in a reader's language ----


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within, `render` says everything in LANGUAGE (one of `LANGUAGES`) where it is not told another."""
    before = _language.set(language)
    try:
        yield
    finally:
        _language.reset(before)


def speak(language: str) -> None:
    """From here on `render` says everything in LANGUAGE where it is not told another."""
    _language.set(language)


def spoken() -> str:
    """The language that `render` uses."""
    return _language.get()


def render(text: str, language: str | None = None) -> str:
    """TEXT as a reader of LANGUAGE (else of the one that is spoken) reads it; what is not a sentence of ours as it is."""
    language = language or _language.get()
    return str(text) if language == "en" else _render(text, language)


def _render(text: str, language: str) -> str:
    if not isinstance(text, Message):
        return text
    values = {name: _render(value, language) for name, value in text.values.items()}
    if (said := _join_of(text.template, values, language)) is not None:
        return said
    if len(values) == 1 and (shape := _SHAPES.get(text.template.strip("{}"))) is not None:
        return shape(next(iter(values.values())))
    template = _template(text, language)
    if language == "zh" and not _WORDS.search(_GAP.sub("", template)):
        template = _marked(template)
    return _filled(template, values)


def template_in(language: str, one: str, more: str = "", number: int | None = None) -> str:
    """The template ONE (or MORE, where NUMBER is given and wants the plural) in LANGUAGE; in English where LANGUAGE has
    none."""
    known = _catalogue(language) if language != "en" and one else None
    if known is None:
        return one if not more or number == 1 else more
    if number is None and not more:
        return known.gettext(one)
    return known.ngettext(one, more or one, 2 if number is None else number)


def _template(text: Message, language: str) -> str:
    number = text.values.get("number", "")
    if number.isdecimal() and len(text.values) == 1:
        found = template_in(language, text.template, "", int(number))
        return found if found != text.template else template_in(language, text.template)
    return template_in(language, text.template)


def _marked(template: str) -> str:
    """A template of nothing but gaps and marks, with the full-width marks of Chinese and no blank beside them."""
    pieces = _GAP_OR_MARKS.findall(template)
    marked = "".join(piece if piece[0] == "{" else piece.translate(_MARKS) for piece in pieces)
    return re.sub(r" *([。，：；（）]) *", r"\1", marked)


def _join_of(template: str, values: Mapping[str, str], language: str) -> str | None:
    """Several sentences or names behind each other, joined as LANGUAGE does; None where TEMPLATE is no such thing."""
    found = _JOINED.fullmatch(template)
    if found is None:
        return None
    by = found["by"] or ""
    known = _catalogue(language)
    if by.strip() and known is not None:
        return known.gettext(by).join(values.values())
    said = ""
    for value in values.values():
        gap = "" if by == " " and said.endswith(_FULL_WIDTH) else by
        said = f"{said}{gap}{value}" if said else value
    return said


def _filled(template: str, values: Mapping[str, str]) -> str:
    """No `str.format`: a template may come from a journal, and so nothing but a name is looked up."""
    return _GAP.sub(lambda gap: gap[0][0] if gap[1] is None else values.get(gap[1], gap[0]), template)


@cache
def _catalogue(language: str) -> GNUTranslations | None:
    from gettext import GNUTranslations, find  # English needs neither

    path = find(DOMAIN, str(FOLDER), [LOCALES.get(language, language)])
    if path is None:
        return None
    with open(path, "rb") as file:
        return GNUTranslations(file)


# ---- in JSON ----


def said(text: str, name: str = "message") -> dict[str, Any]:
    """`{message, code, params}`: TEXT in English, the template by which it is known, and what is filled in. With another
    NAME the others are called `NAME_code` and `NAME_params`. Text that is not a sentence of ours has the code ""."""
    before = "" if name == "message" else f"{name}_"
    code, params = (text.template, _params(text)) if isinstance(text, Message) else ("", {})
    return {name: str(text), f"{before}code": code, f"{before}params": params}


def _params(message: Message) -> dict[str, Any]:
    return {name: said(value) if isinstance(value, Message) else value for name, value in message.values.items()}


def heard(document: Mapping[str, Any], name: str = "message") -> str:
    """What `said` put into DOCUMENT under NAME; the bare text where it was written before there were codes."""
    before = "" if name == "message" else f"{name}_"
    return _heard(document.get(name), document.get(f"{before}code"), document.get(f"{before}params"))


def _heard(text: Any, code: Any, params: Any, depth: int = 0) -> str:
    if not isinstance(text, str):
        return ""
    if not (isinstance(code, str) and code and isinstance(params, Mapping)) or depth > _DEEPEST:
        return text
    values: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            values[name] = _heard(value.get("message"), value.get("code"), value.get("params"), depth + 1)
        else:
            values[name] = str(value)
    return _made(text, code, values)
