"""Submodules, as values: how they are treated, and what happens to each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from gitdeploy.checkout.changes import FileChange, Policy, Problem, Target
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import Local, LocalChange
from gitdeploy.checkout.modules import Recorded
from gitdeploy.checkout.origins import Origins
from gitdeploy.checkout.paths import Owner, Paths

Mode = Literal["auto", "always", "never"]


class Rules(Struct, frozen=True):
    """How submodules are treated: `git.submodules`, keep paths, local changes; of a restore, the `recorded` states by
    path (`complete`: all others had no files here); what fetches."""

    mode: Mode
    policy: Policy
    keep: KeepPaths
    origins: Origins
    recorded: Mapping[bytes, Recorded] | None = None
    complete: bool = False


class SubmodulePlan(Struct, frozen=True):
    """What happens to one submodule's repository. Its files are in the one plan, as those of the owner `path`."""

    path: bytes  # where it will be; where it is, if it goes away
    source: Path  # its git folder, in the end
    objects: Repository  # that has the objects of what is to come
    goal: Target | None  # None: its files go, its repository stays where it is
    held: Owner | None  # where it has files now
    local: Local | None
    head: str = ""  # the text of its HEAD file now
    created: bool = False  # the switch makes its repository, from a copy of `objects`
    settings: tuple[tuple[str, str], ...] = ()  # that its configuration gets


class Survey(Struct, frozen=True):
    """The share of all submodules in the plan."""

    paths: Paths
    parts: tuple[SubmodulePlan, ...]
    now: Mapping[bytes, Owner]
    then: Mapping[bytes, Owner]
    local: Mapping[bytes, LocalChange]
    gitfiles: tuple[FileChange, ...]
    gitlinks: tuple[bytes, ...]
    folders: tuple[bytes, ...]
    emptied: tuple[bytes, ...]
    alone: tuple[bytes, ...]
    settings: tuple[tuple[str, str], ...]  # that the checkout's own configuration gets
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
