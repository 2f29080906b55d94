"""Where a release's own files send an installer for packages, beside the indexes that are set on this server: addresses of
single packages, repositories, indexes of a project file. Read as text; what a build's own code does is the release's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from gitdeploy.text import clean, redact

Reader = Callable[[str], bytes | None]
PUBLIC = frozenset(("pypi.org", "files.pythonhosted.org"))
_ADDRESS = re.compile(r"(?:[a-z]{2,4}\+)?[A-Za-z][A-Za-z0-9+.-]*://[^\s;,\"'\]]+|(?:git|hg|svn|bzr)\+[^\s;,\"'\]]+")
_MOST_PROJECTS = 50
_SHOWN = 160  # characters of an address


class Origin(Struct, frozen=True):
    """A place that packages come from: what names it, fit to show, and its host; empty where that can't be told. `secure`: an
    address of a file over https."""

    shown: str
    host: str
    secure: bool = False


def addresses_in(requirement: str) -> list[Origin]:
    """The addresses that a requirement's line names; none for files of this machine."""
    found = (address[0] for address in _ADDRESS.finditer(requirement))
    return [_origin(address, requirement) for address in found if not address.startswith("file:")]


def _origin(address: str, shown: str) -> Origin:
    told = Origin(redact(clean(shown, limit=_SHOWN)), "")
    if "${" in address:
        return told
    try:
        parts = urlsplit(re.sub(r"^(?:git|hg|svn|bzr)\+", "", address))
        return Origin(told.shown, (parts.hostname or "").lower(), secure=address.startswith("https://"))
    except ValueError:
        return told


def not_ours(origins: Iterable[Origin], allowed: Iterable[str], indexes: Iterable[str]) -> list[Origin]:
    """Those of ORIGINS that are neither at an ALLOWED host nor files of the hosts of INDEXES, which this server sets."""
    hosts, usual = set(allowed), PUBLIC | _hosts_of(indexes)
    found = [one for one in origins if one.host not in hosts and not (one.secure and one.host in usual)]
    return list(dict.fromkeys(found))


def of_project(folder: str, read: Reader) -> list[Origin]:
    """Those that a project of the release's in FOLDER (from the checkout's root) names in its own files, and the projects
    inside the release that it takes as packages."""
    return list(dict.fromkeys(_projects(os.path.normpath(folder or "."), read, set())))


def _projects(folder: str, read: Reader, seen: set[str]) -> Iterator[Origin]:
    if folder in seen or folder.startswith(("/", "..")) or len(seen) >= _MOST_PROJECTS:
        return
    seen.add(folder)
    import tomllib

    raw = read(os.path.normpath(os.path.join(folder, "pyproject.toml")))
    for line in (
        (read(os.path.normpath(os.path.join(folder, "setup.cfg"))) or b"").decode("utf-8", "replace").splitlines()
    ):
        if " @ " in line or "@ " in line:
            yield from addresses_in(line.strip())
    try:
        project = tomllib.loads((raw or b"").decode("utf-8-sig", "replace"))
    except tomllib.TOMLDecodeError:
        return
    tool = _table(project.get("tool"))
    uv = _table(tool.get("uv"))
    yield from _required(project, tool)
    yield from _indexes(uv)
    for name, entry in _table(uv.get("sources")).items():
        for one in entry if isinstance(entry, list) else [entry]:
            said = _table(one)
            inside = said.get("path")
            if isinstance(inside, str):
                yield from _projects(os.path.normpath(os.path.join(folder, inside)), read, seen)
            for key in ("git", "url"):  # an `index` is one of [[tool.uv.index]]
                if key in said:
                    yield _origin(str(said[key]), f"[tool.uv.sources] {name} = {{{key} = {said[key]}}}")
    for member in _members(uv):
        yield from _projects(os.path.normpath(os.path.join(folder, member)), read, seen)


def _required(project: Mapping[str, Any], tool: Mapping[str, Any]) -> Iterator[Origin]:
    """Addresses in what the project itself and its build want."""
    about = _table(project.get("project"))
    lines = [*_lines(about.get("dependencies")), *_lines(_table(project.get("build-system")).get("requires"))]
    for table in (about.get("optional-dependencies"), project.get("dependency-groups")):
        lines += [line for said in _table(table).values() for line in _lines(said)]
    for line in lines:
        yield from addresses_in(line)
    poetry = _table(tool.get("poetry"))
    groups = [_table(_table(group).get("dependencies")) for group in _table(poetry.get("group")).values()]
    for wanted in (_table(poetry.get("dependencies")), _table(poetry.get("dev-dependencies")), *groups):
        for name, said in wanted.items():
            for key in ("git", "url"):
                if key in _table(said):
                    yield _origin(str(said[key]), f"[tool.poetry] {name} = {{{key} = {said[key]}}}")


def _indexes(uv: Mapping[str, Any]) -> Iterator[Origin]:
    indexes = uv.get("index")
    said = (
        [(str(_table(entry).get("url", "")), "[[tool.uv.index]]") for entry in indexes]
        if isinstance(indexes, list)
        else []
    )
    for table in (uv, _table(uv.get("pip"))):
        for key in ("index-url", "extra-index-url", "find-links"):
            addresses = table.get(key, [])
            addresses = addresses if isinstance(addresses, list) else [addresses]
            said += [(str(address), f"[tool.uv] {key} =") for address in addresses]
    for address, where in said:
        if _is_elsewhere(address):
            yield _origin(address, f"{where} {address}")


def of_pylock(lock: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The hosts of what a `pylock.toml` names, one entry each."""
    found: dict[str, Origin] = {}

    def look(name: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                look(str(value.get("name", name)) if key != "name" else name, inner)
                if key in ("url", "index") and isinstance(inner, str) and _is_elsewhere(inner):
                    one = _origin(inner, f"{name or value.get('name', '')} from {inner}".strip())
                    found.setdefault(one.host or inner, one)
        elif isinstance(value, list):
            for inner in value:
                look(name, inner)

    look("", lock)
    return tuple(found.values())


def _is_elsewhere(address: str) -> bool:
    return "://" in address and not address.startswith("file:")


def _hosts_of(addresses: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for text in addresses:
        for address in re.split(r"[\s,]+", text):
            try:
                host = urlsplit(address.rpartition("=")[2] if "=http" in address else address).hostname
            except ValueError:
                continue
            found |= {host.lower()} if host and "://" in address else set()
    return found


def _members(uv: Mapping[str, Any]) -> list[str]:
    said = _table(uv.get("workspace")).get("members", [])
    return (
        [text for text in said if isinstance(text, str) and not set("*?[") & set(text)]
        if isinstance(said, list)
        else []
    )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _lines(value: object) -> list[str]:
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []
