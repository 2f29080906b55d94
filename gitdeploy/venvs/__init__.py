"""Venv generations: each a whole venv, the live one behind a symlink. Cloned, built aside, flipped, pruned."""

from __future__ import annotations

from pathlib import Path

from gitdeploy.venvs.build import Builder, Built, Changes, unfinished
from gitdeploy.venvs.flip import Flip, plan_flip
from gitdeploy.venvs.generations import Generation, in_use, list_generations, remove, sweep
from gitdeploy.venvs.generations import disk_usage as _disk_usage
from gitdeploy.venvs.live import LiveVenv, examine, live_venv, packages
from gitdeploy.venvs.requirements import Requirements, TreeReader, read_requirements
from gitdeploy.venvs.seal import differences, seal


def disk_usage(path: Path) -> int:
    """Bytes that deleting the generation at PATH would free."""
    return _disk_usage([path])


__all__ = [
    "Builder",
    "Built",
    "Changes",
    "Flip",
    "Generation",
    "LiveVenv",
    "Requirements",
    "TreeReader",
    "differences",
    "disk_usage",
    "examine",
    "in_use",
    "list_generations",
    "live_venv",
    "packages",
    "plan_flip",
    "read_requirements",
    "remove",
    "seal",
    "sweep",
    "unfinished",
]
