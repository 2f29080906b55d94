"""Where the app's database files are in the checkout, under all their names: nothing but the database's own programs
copies, replaces or removes them, whatever a release tracks and whatever becomes of local changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitdeploy.checkout.changes import Problem
from gitdeploy.databases import Database, open_databases
from gitdeploy.errors import GitDeployError
from gitdeploy.text import path_text

if TYPE_CHECKING:
    from gitdeploy.checkout.changes import TreePlan
    from gitdeploy.config import Config
    from gitdeploy.deployment.site import Site


def database_files(databases: Sequence[Database], root: Path, paths: Iterable[str] = ()) -> frozenset[Path]:
    """Files of DATABASES by every name that they have below ROOT: as configured, where links lead, and, in PATHS (files
    and folders of the checkout), by another way to the same file (a mount)."""
    files = {file for database in databases for file in database.files()}
    real = os.path.realpath(root)
    names = set(files)
    outside = set()
    for file in files:
        resolved = os.path.join(os.path.realpath(file.parent), file.name)
        if resolved.startswith(real + "/"):
            names.add(root / resolved[len(real) + 1 :])
        else:
            with suppress(OSError):
                found = file.stat()
                outside.add((found.st_dev, found.st_ino))
    if outside:
        names |= {file for path in paths for file in _below(root / path) if _identity(file) in outside}
    return frozenset(names)


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for base, _, files in os.walk(path):
        yield from (Path(base, name) for name in files)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def database_paths(site: Site, config: Config) -> list[str]:
    """Paths below the checkout that are files of the databases of CONFIG. What can't be found out is a problem of the plan
    (`plan_data`), not of this."""
    if not config.backup.databases:
        return []
    from gitdeploy.deployment.app_environment import app_environment

    environment = app_environment(site)
    found: set[str] = set()
    for entry in config.backup.databases:
        with suppress(GitDeployError):
            for file in database_files(open_databases([entry], site.root, environment), site.root):
                if (plain := os.path.normpath(file)).startswith(f"{site.root}/"):
                    found.add(os.path.relpath(plain, site.root))
    return sorted(found)


def threatened_databases(site: Site, tree: TreePlan, configs: Iterable[Config]) -> list[Problem]:
    """A switch never touches a file of a database that is there; what speaks against one that would, although database
    files are kept: one that is behind a link or a file that the release replaces, or that only the release's own
    deploy.yaml names."""
    names = {os.fsencode(path) for config in configs for path in database_paths(site, config)}
    there = sorted(name for name in names if os.path.lexists(os.path.join(os.fsencode(site.root), name)))
    said = []
    for change in tree.changes:
        for name in there:
            shown, verb = path_text(name), "deletes" if change.kind == "deleted" else "replaces"
            if name == change.path:
                said.append(
                    Problem(
                        f"The release {verb} {shown}, which its deploy.yaml names as the app's database, and today's doesn't.",
                        f"Keep yours: git: {{keep: [.env, {shown}]}} in deploy.yaml.",
                        refused=True,
                    )
                )
            elif name.startswith(change.path + b"/"):
                said.append(
                    Problem(
                        f"The release {verb} {path_text(change.path)}, through which the app's database {shown} is reached.",
                        "Move the database out of the checkout, and tell the app and backup.databases where it is.",
                        refused=True,
                    )
                )
    return said
