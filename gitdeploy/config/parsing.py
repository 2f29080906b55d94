"""deploy.yaml's text as a document. Loaded for a file that isn't kept read already: YAML takes longer than a command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import yaml

from gitdeploy.config.document import DEEPEST, LARGEST, Items, Node, Problem, Scalar, Table, Unreadable, type_names
from gitdeploy.messages import tr
from gitdeploy.text import clean


@lru_cache(maxsize=1)
def read_document(raw: bytes) -> Table:
    """The table that RAW holds; an empty one for an empty file.

    Raises Unreadable with every refused alias, tag or repeated key, or the first error of the syntax.
    """
    if len(raw) > LARGEST:
        raise Unreadable(
            [
                Problem(
                    0, tr("The file has {raw} bytes; more than {largest} are not read.", raw=len(raw), largest=LARGEST)
                )
            ]
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable([Problem(line, tr("The file must be UTF-8; here is a byte that is not."))]) from error
    if odd := next((character for character in text if character == "\0" or ord(character) == 0x7F), ""):
        line = text.count("\n", 0, text.index(odd)) + 1
        raise Unreadable([Problem(line, tr("Here is a control character, which no text file has."))])
    if not text.strip():
        return Table({}, 1)
    builder = _Builder()
    try:
        # The pure Python loader: libyaml's crashes on a hundred thousand opening brackets.
        root = builder.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = clean(error.problem or error.context or tr("can't be understood"), limit=200)
        raise Unreadable(
            [Problem(mark.line + 1 if mark else 0, tr("This is not valid YAML: {said}.", said=said))]
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        said = clean(str(error).splitlines()[0] if str(error) else type(error).__name__, limit=200)
        raise Unreadable([Problem(0, tr("This is not valid YAML: {said}.", said=said))]) from error
    if builder.problems:
        raise Unreadable(sorted(builder.problems))
    if isinstance(root, Scalar) and root.nothing:
        return Table({}, 1)
    if not isinstance(root, Table):
        raise Unreadable(
            [
                Problem(
                    root.line,
                    tr(
                        "The file must be a mapping of settings; found {type_names}.", type_names=type_names[type(root)]
                    ),
                )
            ]
        )
    return root


class _Builder:
    """Makes nodes of the parser's events; what is refused becomes a problem and an empty value in its place."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def document(self, events: Iterator[yaml.Event]) -> Node:
        root: Node = Scalar("", True, 1)
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise Unreadable([Problem(_line(event), tr("A second document begins here; one is read."))])
                root = self._node(next(events), events, 1)
        return root

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                line,
                tr(
                    "The alias `*{anchor}` is not read; write the value itself",
                    anchor=clean(event.anchor or "", limit=40),
                ),
            )
            return Scalar("", True, line)
        if depth > DEEPEST:
            raise Unreadable(
                [
                    Problem(
                        line,
                        tr("More than {deepest} lists and mappings within each other are not read.", deepest=DEEPEST),
                    )
                ]
            )
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            self._refuse(line, tr("The anchor `&{anchor}` is not read; remove it", anchor=clean(anchor, limit=40)))
        if tag is not None:
            self._refuse(line, tr("The tag `{tag}` is not read; remove it", tag=clean(tag, limit=40)))
        if isinstance(event, yaml.SequenceStartEvent):
            nodes = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                nodes.append(self._node(inner, events, depth + 1))
            return Items(tuple(nodes), line)
        if isinstance(event, yaml.MappingStartEvent):
            return self._table(events, depth, line)
        assert isinstance(event, yaml.ScalarEvent)
        return Scalar(event.value, event.style is None, line)

    def _table(self, events: Iterator[yaml.Event], depth: int, line: int) -> Table:
        entries: dict[str, tuple[int, Node]] = {}
        while not isinstance(inner := next(events), yaml.MappingEndEvent):
            key = self._node(inner, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(key, Scalar):
                self._refuse(key.line, tr("A key must be a word; found {type_names}", type_names=type_names[type(key)]))
            elif key.plain and key.text == "<<":
                self._refuse(key.line, tr("The merge key `<<` is not read; write the values themselves"))
            elif key.text in entries:
                first = entries[key.text][0]
                self._refuse(
                    key.line,
                    tr(
                        "`{key}` stands here again; it was set in line {first}",
                        key=clean(key.text, limit=60),
                        first=first,
                    ),
                )
            else:
                entries[key.text] = (key.line, value)
        return Table(entries, line)

    def _refuse(self, line: int, message: str) -> None:
        self.problems.append(Problem(line, message + "."))


def _line(event: yaml.Event) -> int:
    """The line, from 1, that a parser's event begins in."""
    return event.start_mark.line + 1 if event.start_mark is not None else 1
