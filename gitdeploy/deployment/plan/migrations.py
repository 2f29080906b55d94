"""The migrations that lie between two commits, read from git; and what taking them back would need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from gitdeploy.checkout.changes import REGULAR, list_tree, tree_difference
from gitdeploy.checkout.git import Repository
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import tr
from gitdeploy.migrations import Change, Files, compare, is_migration, second_half
from gitdeploy.state import NAME
from gitdeploy.text import listing

_LARGEST, _MOST = 512 << 10, 4000  # bytes of a file, files: beyond that no migration is looked for


def migrations_between(repository: Repository, before: str, after: str) -> tuple[Change, ...]:
    """What AFTER does to the migrations of BEFORE (trees). Raises `GitDeployError` where git can't tell."""
    if before == after:
        return ()
    names = tree_difference(repository, before, after)
    if not any(is_migration(name.decode("utf-8", "replace")) for name in names):
        return ()
    return compare(migration_files(repository, before), migration_files(repository, after))


def migration_files(repository: Repository, tree: str) -> Files:
    """path -> content of the files of TREE that may be migrations."""
    listed = {
        os.fsdecode(path): oid
        for path, (mode, oid) in list_tree(repository, tree).items()
        if mode in REGULAR and is_migration(path.decode("utf-8", "replace"))
    }
    sizes = repository.facts(list(listed.values()))  # of these alone: a partial clone has left out others
    wanted = {
        path: oid
        for (path, oid), facts in zip(listed.items(), sizes, strict=True)
        if facts is not None and facts.size <= _LARGEST
    }
    if not wanted or len(wanted) > _MOST:
        return {}
    read = zip(wanted, repository.contents(list(wanted.values())), strict=True)
    return {path: found[1] for path, found in read if found is not None}


def nothing_runs_it(changes: Sequence[Change], listed: Collection[str], hooks: Collection[str]) -> list[str]:
    """A warning where migrations are marked as the second half, by themselves or as LISTED, and none of HOOKS runs that."""
    marked = sorted(second_half(changes, listed))
    if not marked or MIGRATE_AFTER in hooks or "migrate" not in hooks:
        return []
    return [
        tr(
            "{marked}: marked as the second half of the migrations, and no hook runs that (hooks.migrate-after), so the hook "
            "`migrate` may run it while the old release could still have to come back.",
            marked=listing(marked, 3),
        )
    ]


def plan_lines(changes: Sequence[Change], listed: Collection[str] = ()) -> list[str]:
    """A line for each new migration, with the irreversible ones named so, and those of the second half, by their marks or
    as LISTED; what only the live release has, too."""
    lines = []
    second = second_half(changes, listed)
    for change in changes:
        for migration, recorded in zip(change.new, change.recorded, strict=True):
            half = tr("second half: ") if recorded in second else ""
            word = {True: "", False: tr("  can't be reversed"), None: tr("  may not be reversible")}[
                migration.reversible
            ]
            lines.append(half + f"{migration.name}{word}" + (tr(": {why}", why=migration.why) if migration.why else ""))
        lines += [
            tr("{migration}  is not in the target: the database stays on it", migration=migration.name)
            for migration in change.gone
        ]
    return lines


def way_back(
    changes: Sequence[Change], *, tag: str | None = None, root: Path | None = None, venv: Path | None = None
) -> str:
    """How what CHANGES made of the database is rolled back by the migrations themselves, in a sentence; empty where
    nothing is new. With TAG: its files are no longer in the checkout ROOT, so they are put beside, where ROOT's owner may
    write and nobody else, and VENV's Python runs them."""
    changes = [change for change in changes if change.new]
    if not changes:
        return ""
    stuck = [
        tr("{m} ({why})", m=m.name, why=m.why) if m.why else m.name for change in changes for m in change.irreversible
    ]
    if stuck:
        return tr("Its migrations can't simply be reversed: {stuck}.", stuck=listing(stuck, 3))
    commands = [change.reverse for change in reversed(changes)]
    if not all(commands):
        return ""
    if tag is None or root is None:
        return tr(
            "Its migrations can be reversed by hand first, while they are in the checkout: {commands}",
            commands=" && ".join(commands),
        )
    folder = shlex.quote(str(root / NAME / f"reverse-{tag.replace('/', '-')}"))
    if venv is not None:
        python = shlex.quote(str(venv / "bin" / "python"))
        commands = [python + command.removeprefix("python") for command in commands]
    return tr(
        "Its migrations can be reversed by hand, as the checkout's owner and with the app's "
        "environment: cd {root} && git worktree add --detach {folder} {tag} && (cd {folder} && "
        "{commands}) && git worktree remove --force {folder}",
        root=shlex.quote(str(root)),
        folder=folder,
        tag=shlex.quote(tag),
        commands=" && ".join(commands),
    )
