"""deploy.yaml as a tree of texts, lists and tables that know their lines; strict, so that nothing is read in two ways.

YAML's surprises are left out on purpose: no aliases, merge keys, tags or second document, no repeated key, and no
guessing of types. Every scalar stays the text that was written (`1.10`, `010`, `22:22`, `NO`); what it means is decided
by the setting that it is for.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import clean

LARGEST = 64 * 1024  # bytes; a real deploy.yaml has about five kilobytes
DEEPEST = 20  # lists and tables within each other
MOST_PROBLEMS = 20  # that are told of one file


class Scalar(Struct, frozen=True, tag=True):
    """One value as it was written. `plain`: without quotes, so that `true`, `null` or nothing may be meant."""

    text: str
    plain: bool
    line: int

    @property
    def nothing(self) -> bool:
        return self.plain and self.text in ("", "~", "null")


class Items(Struct, frozen=True, tag=True):
    """A list."""

    nodes: tuple[Node, ...]
    line: int


class Table(Struct, frozen=True, tag=True):
    """A mapping: key -> (line of the key, value)."""

    entries: dict[str, tuple[int, Node]]
    line: int


type_names = {Scalar: tr("a value"), Items: tr("a list"), Table: tr("a mapping")}
Node = Scalar | Items | Table


class Problem(Struct, frozen=True, order=True):
    """What is wrong with a file, in a sentence; `line` from 1, 0 where no line is meant."""

    line: int
    message: str


class Unreadable(Exception):
    """The file can't be read as YAML at all, or has structures that are refused."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def refused(name: str, problems: list[Problem], hint: str) -> ConfigError:
    """What is said of the file shown as NAME that has PROBLEMS: one in its sentence, several in a list."""
    texts = [
        tr("{name} line {line}: {each_message}", name=name, line=each.line, each_message=each.message)
        if each.line
        else tr("{name}: {each_message}", name=name, each_message=each.message)
        for each in sorted(problems)
    ]
    if len(texts) == 1:
        return ConfigError(texts[0], hint)
    told = texts[:MOST_PROBLEMS]
    if more := len(texts) - len(told):
        told.append(tr("... and {more} more.", more=more))
    return ConfigError(tr("{name} has {texts} problems:", name=name, texts=len(texts)), hint, details=tuple(told))


def shown(node: Node) -> str:
    """What was found, in words and cut short, for an error message."""
    if isinstance(node, Items):
        return tr("an empty list") if not node.nodes else tr("a list")
    if isinstance(node, Table):
        return tr("a mapping")
    if node.nothing:
        return tr("nothing")
    return f"`{clean(node.text, limit=60)}`" if node.text else tr("an empty text")


def untyped(node: Node) -> Any:
    """NODE as plain lists, dicts and texts: for tests and for who wants to look at a file without a schema."""
    if isinstance(node, Items):
        return [untyped(inner) for inner in node.nodes]
    if isinstance(node, Table):
        return {key: untyped(inner) for key, (_, inner) in node.entries.items()}
    return None if node.nothing else node.text
