"""Venv generations: each a whole venv, the live one behind a symlink. Cloned, built aside, flipped, pruned.

Each part is loaded when it is asked for: `gitdeploy status` looks at the live venv and pays for none of the building.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.lazy import face

if TYPE_CHECKING:
    from gitdeploy.venvs.build import Builder, Built, Changes
    from gitdeploy.venvs.described import can_install, says_needs
    from gitdeploy.venvs.flip import Flip, plan_flip
    from gitdeploy.venvs.generations import (
        Usage,
        disk_usage,
        in_use,
        matching,
        remove,
        sweep,
        undeletable,
        unfinished,
    )
    from gitdeploy.venvs.interpreters import other_than_live
    from gitdeploy.venvs.itself import own_installs
    from gitdeploy.venvs.live import Installed, LiveVenv, examine, installed, live_venv, packages
    from gitdeploy.venvs.meanwhile import changed_packages, installer_at
    from gitdeploy.venvs.reading import TreeReader
    from gitdeploy.venvs.renewal import renew_static
    from gitdeploy.venvs.requirements import (
        DEFAULT_FILES,
        Requirements,
        index_options_in,
        read_requirements,
    )
    from gitdeploy.venvs.seal import differences
    from gitdeploy.venvs.system import needed_by_others, system_packages

_HOMES = {
    name: module
    for module, names in (
        ("build", "Builder Built Changes"),
        ("flip", "Flip plan_flip"),
        ("generations", "Usage disk_usage in_use matching remove sweep undeletable unfinished"),
        ("live", "Installed LiveVenv examine installed live_venv packages"),
        ("interpreters", "other_than_live"),
        ("itself", "own_installs"),
        ("described", "can_install says_needs"),
        ("meanwhile", "changed_packages installer_at"),
        ("reading", "TreeReader"),
        ("renewal", "renew_static"),
        ("requirements", "DEFAULT_FILES Requirements index_options_in read_requirements"),
        ("seal", "differences"),
        ("system", "needed_by_others system_packages"),
    )
    for name in names.split()
}


if not TYPE_CHECKING:
    __getattr__ = face(__name__, _HOMES)


__all__ = [
    "DEFAULT_FILES",
    "Builder",
    "Built",
    "Changes",
    "Flip",
    "Installed",
    "LiveVenv",
    "Requirements",
    "TreeReader",
    "Usage",
    "can_install",
    "changed_packages",
    "differences",
    "disk_usage",
    "examine",
    "in_use",
    "index_options_in",
    "installed",
    "installer_at",
    "live_venv",
    "matching",
    "needed_by_others",
    "other_than_live",
    "own_installs",
    "packages",
    "plan_flip",
    "read_requirements",
    "remove",
    "renew_static",
    "says_needs",
    "sweep",
    "system_packages",
    "undeletable",
    "unfinished",
]
