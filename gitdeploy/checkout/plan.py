"""The one plan of a checkout: its own files and those of all its submodules, and what happens to each repository."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.checkout.changes import SUBMODULE, FileChange, Policy, Target, TreePlan, tree_difference
from gitdeploy.checkout.envpath import EnvPath
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import Local
from gitdeploy.checkout.paths import Owner, Paths
from gitdeploy.checkout.planner import Facts, plan_paths

if TYPE_CHECKING:
    from gitdeploy.checkout.submodules import Rules, SubmodulePlan


class CheckoutPlan(Struct, frozen=True):
    """What the switch does: to files (`tree`), to the repositories of submodules, to the checkout's own settings."""

    tree: TreePlan
    submodules: tuple[SubmodulePlan, ...]
    settings: tuple[tuple[str, str], ...]
    owners: Mapping[bytes, Owner]
    warnings: tuple[str, ...]

    def blob(self, change: FileChange) -> bytes:
        """The bytes of what CHANGE puts in place, before any filter."""
        if change.content is not None:
            return change.content
        return self.owners[change.owner].repository.blob(change.oid)

    def of_owner(self, prefix: bytes) -> tuple[FileChange, ...]:
        """What is put in place for the submodule at PREFIX (b"": the checkout itself, with all that goes), by its own names."""
        mine = [change for change in self.tree.changes if change.owner == prefix]
        return tuple(replace(change, path=self.owners[prefix].inside(change.path)) for change in mine)


def plan_checkout(
    repository: Repository,
    local: Local,
    goal: Target,
    *,
    keep: KeepPaths,
    policy: Policy,
    rules: Callable[[], Rules],
    forbidden: Iterable[bytes] = (),
    keep_dropped: bool = True,
    env: EnvPath | None = None,
) -> CheckoutPlan:
    """Compare what is live with GOAL. RULES is asked only where there are submodules.

    forbidden: paths that no release may track (the state directory, the venv). keep_dropped: see `Facts`. Raises
    `CommandFailed` where git fails, `DeploymentFailed` where a path has two owners.
    """
    absent = frozenset(goal.left_out) | frozenset(local.sparse)
    raw = tree_difference(repository, repository.tree_of(local.head), goal.tree)
    has_submodules = (
        any(SUBMODULE in (facts[0], facts[2]) for facts in raw.values())
        or any(change.submodule for change in local.changes)
        or (b".gitmodules" in raw or os.path.lexists(repository.root / ".gitmodules"))
    )
    if not has_submodules:
        owner = Owner(b"", repository, repository.root, goal)
        paths = Paths()
        for path, (old_mode, old_id, new_mode, new_id) in raw.items():
            if old_mode:
                paths.was(owner, path, old_mode, old_id)
            if new_mode:
                paths.will_be(owner, path, new_mode, new_id)
        owners = {b"": owner}
        facts = Facts(
            repository.root, owners, owners, paths.entries(), local.changed(), keep, policy, tuple(forbidden), keep_dropped, env=env, absent=absent
        )  # fmt: skip
        return CheckoutPlan(plan_paths(facts), (), (), owners, ())
    from gitdeploy.checkout.survey import survey

    found = survey(repository, local, goal, rules())
    facts = Facts(
        root=repository.root,
        keep=keep,
        policy=policy,
        forbidden=tuple(forbidden),
        now=found.now,
        then=found.then,
        entries=found.paths.entries(),
        local=found.local,
        keep_dropped=keep_dropped,
        gitfiles=found.gitfiles,
        gitlinks=found.gitlinks,
        folders=found.folders,
        emptied=found.emptied,
        alone=found.alone,
        problems=found.problems,
        env=env,
        absent=absent,
    )
    return CheckoutPlan(plan_paths(facts), found.parts, found.settings, found.then, found.warnings)
