"""Paths that no release touches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitdeploy.databases import Database, open_databases
from gitdeploy.errors import GitDeployError
from gitdeploy.site.app_environment import app_environment

if TYPE_CHECKING:
    from gitdeploy.config import Config
    from gitdeploy.site.site import Site


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
    environment = app_environment(site)
    found: set[str] = set()
    for entry in config.backup.databases:
        with suppress(GitDeployError):
            for file in database_files(open_databases([entry], site.root, environment), site.root):
                if (plain := os.path.normpath(file)).startswith(f"{site.root}/"):
                    found.add(os.path.relpath(plain, site.root))
    return sorted(found)
