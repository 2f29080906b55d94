"""Which of supervisor's programs run from the checkout, and which one name restarts them all."""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.services.supervisor import config_files
from gitdeploy.text import listing
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.upkeep.drafting.seen import Seen, serves


class _Program(Struct, frozen=True):
    """name: as supervisorctl calls it; `group:name` in a group. serves: whether its command starts a web server."""

    name: str
    serves: bool


def supervisor_lines(seen: Seen) -> list[Line]:
    """The group that has all of the checkout's programs and no other, else the one that serves and a question of the rest."""
    sections = {name: section for file in config_files() for name, section in _sections(file)}
    groups = {
        name.partition(":")[2].strip(): [each.strip() for each in section.get("programs", "").split(",")]
        for name, section in sections.items()
        if name.startswith("group:")
    }
    ours = {
        name.partition(":")[2].strip(): section
        for name, section in sections.items()
        if name.startswith("program:") and _is_here(seen, section)
    }
    if not ours:
        return []
    found = sorted((_program(name, ours[name], groups) for name in ours), key=lambda each: not each.serves)
    whole = next((group for group, members in groups.items() if set(members) == set(ours)), None)
    if whole is not None and len(ours) > 1:
        said = tr("supervisor's group of what runs from here: {names}", names=listing(list(ours), 5))
        return [Line("service.supervisor", whole, said)]
    first, *others = found
    lines = [Line("service.supervisor", first.name, tr("supervisor starts it from here"))]
    if others:
        asks = tr(
            "{names} from here keeps its old code: a [group:{group}] of supervisor's with all of them?",
            names=listing([each.name for each in others], 5),
            group=seen.site.name,
        )
        lines.append(Line("service.supervisor", seen.site.name, question=asks))
    return lines


def _sections(file: str) -> Iterator[tuple[str, dict[str, str]]]:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read(file, encoding="utf-8")
    yield from ((section, dict(parser.items(section))) for section in parser.sections())


def _is_here(seen: Seen, section: dict[str, str]) -> bool:
    """Whether the program's command or folder is in the checkout."""
    top = str(seen.root)
    places = [section.get(key, "").split(" ")[0] for key in ("command", "directory")]
    return any(place == top or place.startswith(f"{top}/") for place in places)


def _program(name: str, section: dict[str, str], groups: dict[str, list[str]]) -> _Program:
    group = next((group for group, members in groups.items() if name in members), None)
    try:
        words = tuple(shlex.split(section.get("command", "")))
    except ValueError:
        words = ()
    return _Program(name if group is None else f"{group}:{name}", serves(words))
