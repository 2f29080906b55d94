"""The pinned settings laid over what a deploy.yaml says."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gitdeploy.config.document import Node, Scalar, Table, untyped
from gitdeploy.config.envfile import EnvFile
from gitdeploy.config.kinds import Setting, Wrong, settings_of
from gitdeploy.config.model import SECTIONS, Config
from gitdeploy.config.parsing import read_document
from gitdeploy.config.pins import POLICY_VARIABLES, SIGNATURES, WHO_DECIDES, Change, Pins
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact

_SHOWN = 200  # characters of a value


def setting_of(key: str) -> Setting:
    """The declaration of `section.name`, or of a key at the top."""
    section, _, name = key.rpartition(".")
    return settings_of(SECTIONS[section] if section else Config)[name]


def node_of(table: Table, key: str) -> Node | None:
    """What TABLE has for KEY; None where it has nothing."""
    section, _, name = key.rpartition(".")
    inner: Node | None = table
    if section:
        inner = table.entries[section][1] if section in table.entries else None
    found = inner.entries.get(name) if isinstance(inner, Table) else None
    return found[1] if found else None


def table_of(raw: bytes | None) -> Table:
    """What RAW, the bytes of a deploy.yaml that was read before, says."""
    return read_document(raw or b"")


def policy_of(table: Table) -> dict[str, Node]:
    """What TABLE says of the settings that are pinned."""
    found = {key: node_of(table, key) for key, who in WHO_DECIDES.items() if who != "release"}
    return {key: node for key, node in found.items() if node is not None}


def laid_over(
    table: Table, pins: Pins, name: str, *, theirs: Callable[[], bool], accept: Collection[str] = ()
) -> tuple[Table, tuple[Change, ...]]:
    """(what is in force of TABLE, what it says otherwise than PINS). NAME: of the file, as shown.

    theirs: whether a release brought the file; asked only where that matters. accept: keys that may differ.
    """
    differing = [key for key, who in WHO_DECIDES.items() if who != "release" and _differs(table, pins, key)]
    if not differing:
        return table, ()
    by_release = theirs()
    if by_release:
        differing = [key for key in differing if not _asks_for_more(table, pins, key)]
    kept = [key for key in differing if by_release and key not in accept and not _accepted(table, pins, key)]
    if not by_release and "git.verify" in differing and "git.verify" not in accept and not _wants_signatures(table):
        kept += [key for key in SIGNATURES if key in differing]
    if "git.verify" in differing and "git.verify" not in kept:  # whose signatures count goes with it
        kept = [key for key in kept if key not in SIGNATURES]
    changes = []
    for key in differing:
        said, pinned = node_of(table, key), pins.keys.get(key)
        where = tr("{name} line {line}", name=name, line=said.line) if said is not None else name
        changes.append(Change(key, shown_value(key, pinned), shown_value(key, said), where, key in kept))
        if key in kept:
            table = _with(table, key, pinned)
    return table, tuple(changes)


def env_laid_over(
    env: EnvFile, pins: Pins, *, theirs: Callable[[], bool], accept: Collection[str] = ()
) -> tuple[EnvFile, tuple[Change, ...]]:
    """The same of the variables in the env file."""
    differing = [name for name in POLICY_VARIABLES if (env.get(name) or "") != pins.env.get(name, "")]
    if not differing:
        return env, ()
    by_release = theirs()
    changes = []
    for name in differing:
        said, pinned = env.get(name) or "", pins.env.get(name, "")
        overruled = by_release and name not in accept
        line = env.line_of(name)
        where = tr("{env} line {line}", env=env.name, line=line) if line else env.name
        changes.append(
            Change(name, json.dumps(pinned), json.dumps(redact(clean(said, limit=_SHOWN))), where, overruled)
        )
        if overruled:
            env = EnvFile.parse(env.with_value(name, pinned), env.name)
    return env, tuple(changes)


def shown_value(key: str, node: Node | None) -> str:
    """The value that NODE gives to KEY (None: its default), as one would write it in the file, secrets masked."""
    each = setting_of(key)
    try:
        value = _read(each, node)
    except Wrong:
        return tr("what can't be read")
    shown = each.kind.show(value) if value is not None else None
    return redact(clean(json.dumps(shown, ensure_ascii=False), limit=_SHOWN))


def _read(each: Setting, node: Node | None) -> Any:
    if node is None or (isinstance(node, Scalar) and node.nothing and not each.empty_is_none):
        return each.default
    if isinstance(node, Scalar) and node.nothing:
        return None
    return each.kind.read(node)


def _wants_signatures(table: Table) -> bool:
    """Whether TABLE wants signatures."""
    try:
        return bool(_read(setting_of("git.verify"), node_of(table, "git.verify")) != "none")
    except Wrong:
        return True  # refused by the reader


def _differs(table: Table, pins: Pins, key: str) -> bool:
    said, pinned = node_of(table, key), pins.keys.get(key)
    if said is pinned or (said is not None and pinned is not None and untyped(said) == untyped(pinned)):
        return False
    each = setting_of(key)
    try:
        one, other = _read(each, said), _read(each, pinned)
    except Wrong:
        return False  # what can't be read is refused by the reader
    return bool(_plain(one) != _plain(other))


def _asks_for_more(table: Table, pins: Pins, key: str) -> bool:
    """Whether TABLE asks for no less than what is pinned as the least: a number, or a list of what is backed up."""
    if WHO_DECIDES[key] != "floor":
        return False
    each = setting_of(key)
    one, other = _read(each, node_of(table, key)), _read(each, pins.keys.get(key))
    if isinstance(one, tuple):
        return all(entry in one for entry in other)
    return bool(one >= other)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _accepted(table: Table, pins: Pins, key: str) -> bool:
    """Whether just this change of KEY was agreed to in advance."""
    if key not in pins.accepted:
        return False
    return not _differs(table, Pins(keys=_only(key, pins.accepted[key])), key)


def _only(key: str, node: Node | None) -> dict[str, Node]:
    return {} if node is None else {key: node}


def _with(table: Table, key: str, node: Node | None) -> Table:
    """TABLE with NODE for KEY (None: without it)."""
    section, _, name = key.rpartition(".")
    if not section:
        return _with_entry(table, name, node)
    line, inner = table.entries.get(section, (table.line, Table({}, table.line)))
    if not isinstance(inner, Table):
        if not (isinstance(inner, Scalar) and inner.nothing):
            return table  # refused by the reader
        inner = Table({}, line)
    entries = {**table.entries, section: (line, _with_entry(inner, name, node))}
    return Table(entries, table.line)


def _with_entry(table: Table, name: str, node: Node | None) -> Table:
    entries = {key: entry for key, entry in table.entries.items() if key != name}
    return Table(entries if node is None else {**entries, name: (node.line, node)}, table.line)
