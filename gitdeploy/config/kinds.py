"""Kinds of values in deploy.yaml: how each is read, how it is described to a person and to JSON Schema, how it is shown.

A kind reads one node and returns the value, or raises `Wrong` with everything that is wrong with it. Texts that stand
in an error continue a sentence that begins with the key: "`health.timeout` must be ...; found ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct, StructMeta, field

from gitdeploy.config.document import Items, Node, Problem, Scalar, Table, shown
from gitdeploy.messages import joined, sentence_of, tr

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
Json = dict[str, Any]

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|y)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,11})")


class Wrong(Exception):
    """A value that can't be taken; `problems` continue a sentence that begins with the key."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    @classmethod
    def at(cls, node: Node, message: str) -> Wrong:
        return cls([Problem(node.line, message)])


class Kind(Protocol[T_co]):
    """What every kind offers."""

    @property
    def expected(self) -> str:
        """Completes "must be ..."."""

    def read(self, node: Node) -> T_co:
        """The value; raises Wrong."""

    def schema(self) -> Json:
        """Its JSON Schema, without description and default."""

    def show(self, value: Any) -> Any:
        """The value as one would write it in the file (JSON types), secrets masked."""


def wrong(node: Node, expected: str, note: str = "") -> Wrong:
    return Wrong.at(node, tr("must be {expected}; found {node}{note}.", expected=expected, node=shown(node), note=note))


class Text(Struct, frozen=True):
    """Text of one line. `check` returns what is wrong (continuing "`key` ...") or None; `pattern` is for the schema."""

    expected: str = "text"
    check: Callable[[str], str | None] | None = None
    pattern: str = ""
    lines: bool = False
    mask: Callable[[str], str] | None = None

    def read(self, node: Node) -> str:
        if not isinstance(node, Scalar) or node.nothing:
            raise wrong(node, sentence_of(self.expected))
        if node.plain and node.text in ("true", "false"):
            raise wrong(node, sentence_of(self.expected), tr(" (in quotes if that is the text)"))
        if not self.lines and not node.text.isprintable():
            raise Wrong.at(
                node,
                tr("must be {expected} of one line, without control characters.", expected=sentence_of(self.expected)),
            )
        if problem := self.check(node.text) if self.check else None:
            raise Wrong.at(node, problem)
        return node.text

    def schema(self) -> Json:
        return {"type": "string", **({"pattern": self.pattern} if self.pattern else {})}

    def show(self, value: Any) -> Any:
        return self.mask(value) if self.mask and isinstance(value, str) else value


class Choice(Struct, frozen=True):
    """One of a few words; `also` maps other spellings to them; `installed` is an entry point group whose names count too."""

    words: tuple[str, ...]
    also: Mapping[str, str] = field(default_factory=dict)
    installed: str = ""

    @property
    def expected(self) -> str:
        return tr("one of ") + joined(", ", self.words)

    def read(self, node: Node) -> str:
        if not isinstance(node, Scalar) or node.nothing:
            raise wrong(node, self.expected)
        word = self.also.get(node.text, node.text)
        if word not in self.words and not self._is_installed(word):
            raise wrong(node, self.expected)
        return word

    def _is_installed(self, word: str) -> bool:
        from importlib.metadata import entry_points

        return bool(self.installed) and bool(entry_points(group=self.installed, name=word))

    def schema(self) -> Json:
        others: list[Any] = [{"true": True, "false": False}.get(word, word) for word in self.also]
        known: Json = {"enum": [*self.words, *others]}
        return {"anyOf": [known, {"type": "string", "pattern": "^[a-z][a-z0-9_-]*$"}]} if self.installed else known

    def show(self, value: Any) -> Any:
        return value


class Flag(Struct, frozen=True):
    """`true` or `false`, and nothing that only looks like it."""

    expected: str = tr("true or false")

    def read(self, node: Node) -> bool:
        if not isinstance(node, Scalar) or not node.plain or node.text not in ("true", "false"):
            raise wrong(node, self.expected)
        return node.text == "true"

    def schema(self) -> Json:
        return {"type": "boolean"}

    def show(self, value: Any) -> Any:
        return value


class Number(Struct, frozen=True):
    """A whole number between `least` and `most`."""

    least: int = 0
    most: int = 1_000_000

    @property
    def expected(self) -> str:
        return tr("a whole number from {least} to {most}", least=self.least, most=self.most)

    def read(self, node: Node) -> int:
        if not isinstance(node, Scalar) or not _NUMBER.fullmatch(node.text):
            raise wrong(node, self.expected)
        if not self.least <= (number := int(node.text)) <= self.most:
            raise wrong(node, self.expected)
        return number

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def show(self, value: Any) -> Any:
        return value


class Duration(Struct, frozen=True):
    """A length of time, read as seconds. A bare number means seconds, unless `unit_needed` (then only 0 may be bare)."""

    least: float = 0.0
    most: float = 86400.0
    unit_needed: bool = False

    @property
    def expected(self) -> str:
        form = tr("30s, 15m, 24h or 7d") + ("" if self.unit_needed else tr(", or a number of seconds"))
        return tr(
            "a time such as {form} (from {least} to {most})",
            form=form,
            least=duration_word(self.least),
            most=duration_word(self.most),
        )

    def read(self, node: Node) -> float:
        found = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if not found:
            raise wrong(node, self.expected)
        seconds = float(found[1]) * _UNITS[found[2] or "s"]
        if self.unit_needed and not found[2] and seconds:
            raise wrong(node, self.expected, tr(", which has no unit"))
        if not self.least <= seconds <= self.most:
            raise wrong(node, self.expected)
        return seconds

    def schema(self) -> Json:
        text: Json = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|y)$"}
        number: Json = (
            {"const": 0} if self.unit_needed else {"type": "number", "minimum": self.least, "maximum": self.most}
        )
        return {"anyOf": [text, number]}

    def show(self, value: Any) -> Any:
        return duration_word(value)


def duration_word(seconds: float) -> str:
    """Seconds as one would write them in the file: `0s`, `300s`, `24h`, `7d`, `1y`; `500ms`."""
    for unit, size in (("y", 365 * 86400), ("d", 86400), ("h", 3600)):
        if (seconds > size and seconds % size == 0) or (seconds == size and unit != "d"):
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


class ListOf(Struct, Generic[T], frozen=True):
    """A list of values of one kind; a single value may stand for a list of one."""

    kind: Kind[T]
    most: int = 100

    @property
    def expected(self) -> str:
        return tr("a list, each entry {expected}", expected=self.kind.expected)

    def read(self, node: Node) -> tuple[T, ...]:
        nodes = node.nodes if isinstance(node, Items) else (node,)
        if len(nodes) > self.most:
            raise Wrong.at(
                node, tr("may have at most {most} entries; found {nodes}.", most=self.most, nodes=len(nodes))
            )
        values: list[T] = []
        problems: list[Problem] = []
        for inner in nodes:
            try:
                values.append(self.kind.read(inner))
            except Wrong as error:
                problems += error.problems
        if problems:
            raise Wrong(problems)
        return tuple(values)

    def schema(self) -> Json:
        inner = self.kind.schema()
        return {"anyOf": [{"type": "array", "items": inner, "maxItems": self.most}, inner]}

    def show(self, value: Any) -> Any:
        return [self.kind.show(inner) for inner in value]


class Texts(Struct, frozen=True):
    """A mapping of names to texts."""

    expected: str
    check: Callable[[str, str], str | None]
    mask: Callable[[str, str], str]

    def read(self, node: Node) -> Mapping[str, str]:
        if not isinstance(node, Table):
            raise wrong(node, sentence_of(self.expected))
        values: dict[str, str] = {}
        problems: list[Problem] = []
        for name, (line, inner) in node.entries.items():
            if not isinstance(inner, Scalar) or inner.nothing:
                problems.append(
                    Problem(
                        line,
                        tr(
                            "must be {expected}; found {inner} for `{shown_key}`.",
                            expected=self.expected,
                            inner=shown(inner),
                            shown_key=shown_key(name),
                        ),
                    )
                )
            elif problem := self.check(name, inner.text):
                problems.append(Problem(line, problem))
            else:
                values[name] = inner.text
        if problems:
            raise Wrong(problems)
        return MappingProxyType(values)

    def schema(self) -> Json:
        return {"type": "object", "additionalProperties": {"type": "string"}}

    def show(self, value: Any) -> Any:
        return {name: self.mask(name, text) for name, text in value.items()}


class Group(Struct, Generic[T], frozen=True):
    """A table of settings within another: one object of the class that `of` returns. `only`: the keys that may stand there; `short`: the key
    that a single text means, where one may stand for the whole."""

    of: Callable[[], type[T]]
    only: tuple[str, ...] = ()
    short: str = ""
    check: Callable[[T], str | None] | None = None

    @property
    def expected(self) -> str:
        table = tr("a mapping with ") + joined(" or ", (f"`{key}`" for key in settings_of(self.of(), self.only)))
        return tr("text or {table}", table=table) if self.short else table

    def read(self, node: Node) -> T:
        known = settings_of(self.of(), self.only)
        if self.short and isinstance(node, Scalar) and not node.nothing:
            node = Table({self.short: (node.line, node)}, node.line)
        if not isinstance(node, Table):
            raise wrong(node, self.expected)
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for key, (line, inner) in node.entries.items():
            if key not in known:
                problems.append(
                    Problem(
                        line,
                        tr(
                            "has no key `{shown_key}`; it is {expected}.",
                            shown_key=shown_key(key),
                            expected=self.expected,
                        ),
                    )
                )
                continue
            if isinstance(inner, Scalar) and inner.nothing:
                continue
            try:
                values[known[key].attribute] = known[key].kind.read(inner)
            except Wrong as error:
                inside = "" if key == self.short and len(node.entries) == 1 else tr("has a `{key}` that ", key=key)
                problems += [Problem(each.line, inside + each.message) for each in error.problems]
        if problems:
            raise Wrong(problems)
        made = self.of()(**values)
        if problem := self.check(made) if self.check else None:
            raise Wrong.at(node, problem)
        return made

    def schema(self) -> Json:
        table = table_schema(settings_of(self.of(), self.only))
        return {"anyOf": [table, settings_of(self.of())[self.short].kind.schema()]} if self.short else table

    def show(self, value: Any) -> Any:
        if value is None:
            return None
        known = settings_of(self.of(), self.only)
        written = {
            key: each.kind.show(getattr(value, each.attribute))
            for key, each in known.items()
            if getattr(value, each.attribute) != each.default
        }
        return written[self.short] if list(written) == [self.short] else written


class Setting(Struct, frozen=True):
    """One key of the file: its name there, the attribute that holds it, its kind, default, and what it is for."""

    key: str
    attribute: str
    kind: Kind[Any]
    default: Any
    about: str
    empty_is_none: bool


class _Declared(Struct, frozen=True):
    """What `setting` was given, until the class around it is made."""

    kind: Kind[Any]
    default: Any
    about: str
    key: str
    empty_is_none: bool


def setting(kind: Kind[Any], default: Any, about: str, *, key: str = "", empty_is_none: bool = False) -> Any:
    """A field of a `Section` that deploy.yaml can set. `key`: its name there where it isn't the attribute's;
    `empty_is_none`: nothing (null) means None even where the default is something else."""
    return _Declared(kind, default, about, key, empty_is_none)


class _SectionMeta(StructMeta):
    """Makes a field of each declared setting, and keeps what was declared beside it."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> _SectionMeta:
        settings: dict[str, Setting] = {}
        for attribute, each in list(namespace.items()):
            if isinstance(each, _Declared):
                key = each.key or attribute
                settings[key] = Setting(key, attribute, each.kind, each.default, each.about, each.empty_is_none)
                namespace[attribute] = each.default
        return super().__new__(cls, name, bases, namespace | {"__settings__": settings}, **options)


class Section(Struct, frozen=True, metaclass=_SectionMeta):
    """A table of deploy.yaml: its settings are declared with `setting`."""

    __settings__: ClassVar[dict[str, Setting]]


def settings_of(cls: type[Any], only: tuple[str, ...] = ()) -> dict[str, Setting]:
    """The settings that the section CLS declares, by their names in the file; `only`: of these names."""
    settings: dict[str, Setting] = cls.__settings__
    return {key: each for key, each in settings.items() if not only or key in only}


def table_schema(settings: Mapping[str, Setting]) -> Json:
    """JSON Schema of a table with SETTINGS and nothing else. Nothing (null) is the same as leaving the key out."""
    properties = {}
    for key, each in settings.items():
        default = None if each.default is None else each.kind.show(each.default)
        properties[key] = {"description": each.about, "default": default, **_or_null(each.kind.schema())}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _or_null(schema: Json) -> Json:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def shown_key(key: str) -> str:
    return shown(Scalar(key, False, 0)).strip("`")
