"""The one way in which anything of gitdeploy is loaded late: a package's names, or its modules, each when it is first asked
for. Whoever imports the package pays for no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def face(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for PACKAGE. HOMES: public name -> the module of the package that has it."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(import_module(package), name, value)  # asked for once
        return value

    return get


def rooms(package: str, names: frozenset[str]) -> Callable[[str], Any]:
    """A `__getattr__` for PACKAGE whose modules NAMES are loaded when they are first used: `flow.upgrade.upgrade(...)`."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return get
