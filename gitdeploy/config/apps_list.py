"""The list of several apps on one server, apps.yaml: what it may say."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from gitdeploy.config.document import Node, Problem, Scalar, Table, Unreadable, refused, shown
from gitdeploy.config.kinds import shown_key
from gitdeploy.config.reading import read_section
from gitdeploy.config.sections import WebConfig
from gitdeploy.errors import NotFound
from gitdeploy.messages import tr
from gitdeploy.text import clean, nearest, path_text

_HINT = tr("`gitdeploy apps add DIR` writes this file; docs/apps.md shows one.")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
RESERVED = frozenset("api healthz login logout metrics part static".split())  # addresses of the page of all


class Listed(Struct, frozen=True):
    """An app of the list: its name there, and its checkout's folder."""

    name: str
    folder: Path


class AppsList(Struct, frozen=True):
    """What the list in FILE says: the apps in its order, and how the page of all is served."""

    file: Path
    apps: tuple[Listed, ...] = ()
    web: WebConfig = WebConfig()

    def find(self, name: str) -> Listed:
        """The app called NAME. Raises `NotFound`."""
        found = next((each for each in self.apps if each.name == name), None)
        if found is not None:
            return found
        near = nearest(name, [each.name for each in self.apps])
        raise NotFound(
            tr(
                "{file} names no app `{name}`.{question}",
                file=path_text(str(self.file)),
                name=clean(name, limit=60),
                question=tr(" Did you mean `{near}`?", near=near[0]) if near else "",
            ),
            tr("The list: gitdeploy apps"),
        )


def parse_list(raw: bytes, file: Path) -> AppsList:
    """What RAW says, which is FILE's. Raises `ConfigError` with every problem of it."""
    from gitdeploy.config.parsing import read_document

    try:
        table = read_document(raw)
    except Unreadable as error:
        raise refused(path_text(str(file)), error.problems, _HINT) from error
    problems: list[Problem] = []
    apps: list[Listed] = []
    web = WebConfig()
    for key, (line, node) in table.entries.items():
        if key == "apps":
            apps, found = _read_apps(node)
            problems += found
        elif key == "web":
            web, found = read_section("web", line, node)
            problems += found
        else:
            problems.append(Problem(line, tr("`{key}` is not known; there are `apps` and `web`.", key=shown_key(key))))
    if problems:
        raise refused(path_text(str(file)), problems, _HINT)
    return AppsList(file, tuple(apps), web)


def _read_apps(node: Node) -> tuple[list[Listed], list[Problem]]:
    if isinstance(node, Scalar) and node.nothing:
        return [], []
    if not isinstance(node, Table):
        return [], [
            Problem(node.line, tr("`apps` must be a mapping of names to folders; found {node}.", node=shown(node)))
        ]
    apps: list[Listed] = []
    problems: list[Problem] = []
    for name, (line, value) in node.entries.items():
        where = tr("`apps.{name}`", name=clean(name, limit=60))
        if (problem := not_a_name(name)) is not None:
            problems.append(Problem(line, problem))
        elif not isinstance(value, Scalar) or not value.text.startswith("/") or "\n" in value.text:
            problems.append(
                Problem(
                    line,
                    tr("{where} must be the whole path of a folder; found {node}.", where=where, node=shown(value)),
                )
            )
        elif (folder := Path(os.path.normpath(value.text))) in {each.folder for each in apps}:
            problems.append(Problem(line, tr("{where} is a folder that is listed above.", where=where)))
        else:
            apps.append(Listed(name, folder))
    return apps, problems


def not_a_name(name: str) -> str | None:
    """Why NAME can't be an app's, in a sentence: it is part of addresses and of command lines."""
    if NAME.fullmatch(name) is None:
        return tr(
            "`{name}` can't be an app's name: up to 40 letters, digits, `-` and `_`, a letter or digit first.",
            name=clean(name, limit=60),
        )
    if name in RESERVED:
        return tr("`{name}` can't be an app's name: the page of all apps has that address itself.", name=name)
    return None
