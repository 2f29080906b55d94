"""The app itself as a package in its venv: how it was installed there (`pip install -e .`), found by what installers note,
and what its project file says without a build.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from gitdeploy.venvs.live import canonical, site_folders


class Own(Struct, frozen=True):
    """A package whose source is a folder of the checkout: its canonical name, the folder's path from the root ("." for
    the root itself), and whether it runs from there."""

    name: str
    path: str
    editable: bool


def own_installs(venv: Path, root: Path) -> list[Own]:
    """The packages in VENV that were installed from folders of the checkout at ROOT, by path."""
    base, inside = os.path.realpath(root), os.path.realpath(venv)
    found = {}
    for name, folder, editable in _from_folders(venv):
        real = os.path.realpath(folder)
        relative = os.path.relpath(real, base)
        hidden = relative.split("/")[0] in ("..", ".gitdeploy")
        # What pip checked out into the venv itself (`-e git+...`) is not a release's.
        if not (hidden or real == inside or real.startswith(inside + "/")):
            found[name] = Own(name, relative, editable)
    return sorted(found.values(), key=lambda own: own.path)


def _from_folders(venv: Path) -> Iterator[tuple[str, str, bool]]:
    """Packages that were installed from folders: canonical name, folder, whether editable."""
    for site in site_folders(venv):
        for entry in os.listdir(site):
            name, kind = os.path.splitext(entry)
            try:
                if kind == ".egg-link":
                    yield canonical(name), (site / entry).read_text("utf-8", "surrogateescape").splitlines()[0], True
                elif kind == ".dist-info":
                    noted = json.loads((site / entry / "direct_url.json").read_bytes())
                    address = urlsplit(noted["url"])
                    if address.scheme == "file" and "dir_info" in noted:
                        editable = bool(noted["dir_info"].get("editable"))
                        yield canonical(name.rpartition("-")[0]), unquote(address.path), editable
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                continue


def offers(read: Callable[[str], bytes | None], extra: str) -> bool:
    """Whether the release whose files READ gives has EXTRA, as far as its project file tells."""
    try:
        about = tomllib.loads((read("pyproject.toml") or b"").decode("utf-8", "replace")).get("project")
    except tomllib.TOMLDecodeError:
        return False
    if not isinstance(about, dict) or "optional-dependencies" in about.get("dynamic", ()):
        return True
    return extra in map(canonical, about.get("optional-dependencies", {}))


def project_needs(read: Callable[[str], bytes | None], path: str, extras: tuple[str, ...]) -> list[str]:
    """The requirement lines of the project in the folder PATH with EXTRAS; none where only its build could tell."""
    from gitdeploy.venvs.locks import Cannot, lines_of

    file = os.path.normpath(os.path.join(path, "pyproject.toml"))
    try:
        return (lines_of(file, read(file) or b"", read, (), extras).text or "").splitlines()
    except Cannot:
        return []
