"""What gitdeploy is installed with: ranges that are safe to release, and a lock for development that agrees with them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parent.parent
DECLARED: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = DECLARED["optional-dependencies"]
RELEASED = [*DECLARED["dependencies"], *EXTRAS["web"], *EXTRAS["notify"], *EXTRAS["all"]]
ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\\n]+?))?(?P<rest>(?: \\\n.*)*)$",
    re.MULTILINE,
)


def problem(text: str) -> str:
    """What is wrong with a requirement of a release; empty where nothing is."""
    wanted = Requirement(text)
    if wanted.name == "gitdeploy":
        return ""
    if wanted.url is not None:
        return "comes from an address of its own"
    operators = {each.operator for each in wanted.specifier}
    if ">=" not in operators:
        return "takes any old version"
    if operators & {"==", "==="}:
        return "takes one version only, so no fix of it is ever installed"
    lowest = next(Version(each.version) for each in wanted.specifier if each.operator == ">=")
    return "" if wanted.specifier.contains(lowest, prereleases=True) else "takes no version at all"


@pytest.mark.parametrize("text", RELEASED)
def test_a_released_range_is_open_to_newer_versions_only(text: str) -> None:
    assert problem(text) == ""


@pytest.mark.parametrize("text", ["x", "x<2", "x!=1", "x==1", "x~=1.0", "x>=2,<1", "x @ https://h/x.whl", "x>=1,==2"])
def test_a_range_in_the_wrong_direction_is_found(text: str) -> None:
    assert problem(text)


def test_python_itself() -> None:
    assert SpecifierSet(DECLARED["requires-python"]) == SpecifierSet(">=3.11")


def locked() -> dict[str, list[Version]]:
    text = (PROJECT / "requirements-dev.lock").read_text()
    found: dict[str, list[Version]] = {}
    for entry in ENTRY.finditer(text):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry["rest"]), f"{entry['name']} has no hash"
        found.setdefault(canonicalize_name(entry["name"]), []).append(Version(entry["version"]))
    pinned = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pinned) == sum(map(len, found.values())), "each line that isn't indented pins one package"
    return found


@pytest.mark.parametrize("text", sorted({*RELEASED, *EXTRAS["dev"], "editables"}))
def test_the_lock_agrees_with_pyproject(text: str) -> None:
    """Where this fails: make lock."""
    wanted = Requirement(text)
    if wanted.name != "gitdeploy":
        found = locked().get(canonicalize_name(wanted.name), [])
        assert found, f"{wanted.name} isn't locked"
        assert all(wanted.specifier.contains(version, prereleases=True) for version in found), found
