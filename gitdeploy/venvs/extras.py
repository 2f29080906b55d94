"""With which extras a package was installed: nothing in a venv notes it, but what an extra asks for is there or isn't."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from gitdeploy.venvs.live import canonical, site_folders
from gitdeploy.versions import satisfies


def seen_extras(venv: Path, package: str, installed: Mapping[str, str], python: str | None) -> tuple[str, ...]:
    """The extras of PACKAGE whose requirements are all INSTALLED in VENV, and not all for the sake of something else. PYTHON:
    the venv's version, which markers count by. Empty where the package says nothing of extras."""
    heads = _heads(venv)
    if package not in heads:
        return ()
    own = heads[package]
    needed = {canonical(name) for other, head in heads.items() if other != package for name in _needs(head)}
    needed |= {name for name, _ in _asked(own, "", python)}
    found = []
    for extra in re.findall(r"^Provides-Extra: *(\S+)", own, re.MULTILINE):
        asked = _asked(own, extra, python) - _asked(own, "", python)
        whole = all(name in installed and satisfies(installed[name], wanted) for name, wanted in asked)
        if asked and whole and not {name for name, _ in asked} <= needed | {package}:
            found.append(canonical(extra))
    return tuple(sorted(found))


def _heads(venv: Path) -> dict[str, str]:
    """Canonical name of each package in VENV to its metadata without the description."""
    found = {}
    for site in site_folders(venv):
        for file in site.glob("*.dist-info/METADATA"):
            head = file.read_text("utf-8", "replace").partition("\n\n")[0]
            found[canonical(file.parent.name.removesuffix(".dist-info").rpartition("-")[0])] = head
    return found


def _needs(head: str) -> Collection[str]:
    return re.findall(r"^Requires-Dist: *([\w.-]+)", head, re.MULTILINE)


def _asked(head: str, extra: str, python: str | None) -> set[tuple[str, str]]:
    """(canonical name, what is asked of the version) of what HEAD requires with EXTRA; "" without any."""
    from packaging.requirements import InvalidRequirement, Requirement

    known = {"extra": extra}
    if python:
        known |= {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    found = set()
    for line in re.findall(r"^Requires-Dist: *(.+)", head, re.MULTILINE):
        try:
            read = Requirement(line)
        except InvalidRequirement:
            continue
        if read.marker is None or read.marker.evaluate(known):
            found.add((canonical(read.name), str(read.specifier)))
    return found
