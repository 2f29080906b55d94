"""Venv generations: each a whole venv, the live one behind a symlink. Cloned, built aside, flipped, pruned.

Each part is loaded when it is asked for: `gitdeploy status` looks at the live venv and pays for none of the building.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitdeploy.venvs.build import Builder, Built, Changes
    from gitdeploy.venvs.flip import Flip, plan_flip
    from gitdeploy.venvs.generations import (
        Generation,
        disk_usage,
        in_use,
        list_generations,
        matching,
        remove,
        sweep,
        unfinished,
    )
    from gitdeploy.venvs.live import Installed, LiveVenv, examine, installed, live_venv, packages
    from gitdeploy.venvs.meanwhile import changed_packages, installer_at
    from gitdeploy.venvs.renewal import renew_static
    from gitdeploy.venvs.requirements import (
        DEFAULT_FILES,
        Requirements,
        TreeReader,
        index_options_in,
        read_requirements,
    )
    from gitdeploy.venvs.seal import differences

_HOMES = {
    name: module
    for module, names in (
        ("build", "Builder Built Changes"),
        ("flip", "Flip plan_flip"),
        ("generations", "Generation disk_usage in_use list_generations matching remove sweep unfinished"),
        ("live", "Installed LiveVenv examine installed live_venv packages"),
        ("meanwhile", "changed_packages installer_at"),
        ("renewal", "renew_static"),
        ("requirements", "DEFAULT_FILES Requirements TreeReader index_options_in read_requirements"),
        ("seal", "differences"),
    )
    for name in names.split()
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


__all__ = [
    "DEFAULT_FILES",
    "Builder",
    "Built",
    "Changes",
    "Flip",
    "Generation",
    "Installed",
    "LiveVenv",
    "Requirements",
    "TreeReader",
    "changed_packages",
    "differences",
    "disk_usage",
    "examine",
    "in_use",
    "index_options_in",
    "installed",
    "installer_at",
    "list_generations",
    "live_venv",
    "matching",
    "packages",
    "plan_flip",
    "read_requirements",
    "remove",
    "renew_static",
    "sweep",
    "unfinished",
]
