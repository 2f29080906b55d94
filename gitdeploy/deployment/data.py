"""Data that go back with the code that needs them: database dumps, `backup.include`, the content of keep paths."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gitdeploy import backups, faultpoints
from gitdeploy.backups import Backup, Damaged
from gitdeploy.checkout.durable import sync_directory, sync_file_system
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import Dump
from gitdeploy.deployment.journal import Journal
from gitdeploy.errors import DeploymentFailed
from gitdeploy.text import count, duration_text, listing, size_text

if TYPE_CHECKING:
    from gitdeploy.deployment.live import Live

DUMPS = "dumps"
KEPT = "kept"
INCLUDED = "include"
REPLACED = "replaced"  # what an automatic roll-back replaced: kept, and said


def dump_into(databases: Sequence[AppDatabase], folder: Path, journal: Journal) -> list[Dump]:
    """Dump each database below FOLDER and write the dumps into the backup's manifest. Raises `GitDeployError`."""
    dumps: list[Dump] = []
    place = folder / DUMPS
    for database in databases:
        place.mkdir(mode=0o700, exist_ok=True)
        begun = time.monotonic()
        dump = database.dump(place, journal.output)
        dumps.append(dump)
        journal.line(
            f"Database {database.name} dumped: {size_text(dump.size)} in {duration_text(time.monotonic() - begun)}."
        )
    if dumps:
        backup = backups.read(folder.parent, folder.name)
        if isinstance(backup, Backup):
            backups.write(folder.parent, replace(backup, dumps=[dump.as_dict() for dump in dumps]))
    return dumps


def put_back(live: Live, identity: str) -> str:
    """Bring back the data that a backup holds: dumps, included paths, content of keep paths."""
    site = live.site
    backup = backups.read(site.state.backups, identity)
    if isinstance(backup, Damaged):
        raise DeploymentFailed(f"Backup {identity} can't be used for its data: {backup.problem}.")
    folder = site.state.backups / identity
    databases = {database.name: database for database in live.databases(live.before)}
    restored = 0
    for entry in backup.dumps:
        dump = Dump.from_dict(entry)
        database = databases.get(dump.name)
        if database is None:
            live.journal.line(f"The dump of {dump.name} is not restored: backup.databases names it no more.", "warning")
            continue
        database.restore(folder / DUMPS, dump, live.journal.output)
        restored += 1
    paths = [
        *_put_paths(site.root, folder / INCLUDED, backup.included),
        *_put_paths(site.root, folder / KEPT, backup.kept),
    ]
    return f"{count(restored, 'database')}, {count(len(paths), 'path')}" + (f" ({listing(paths, 3)})" if paths else "")


def _put_paths(root: Path, folder: Path, paths: Sequence[str]) -> list[str]:
    """Put durable copies beside the live paths, then exchange: a path is wholly the old or wholly the restored one."""
    done = []
    for path in paths:
        source, place = folder / path, root / path
        if not os.path.lexists(source):
            continue
        fresh = place.with_name(f".{place.name}.gitdeploy-new")
        old = place.with_name(f".{place.name}.gitdeploy-old")
        for leftover in (fresh, old):
            _remove(leftover)
        place.parent.mkdir(parents=True, exist_ok=True)
        backups.copy_tree(source, fresh)
        sync_file_system(place.parent)
        if os.path.lexists(place):
            os.rename(place, old)
            faultpoints.point("data aside")
        os.rename(fresh, place)
        faultpoints.point("data placed")
        sync_directory(place.parent)
        _remove(old)
        done.append(path)
    return done


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def after_rollback(live: Live, began: set[str]) -> list[str]:
    """Automatic roll-back: restore a dump where its database's schema changed since it was made, and `backup.include`
    where a file in it changed; what is replaced is dumped first and kept in the backup. Returns sentences."""
    policy = live.before.backup.restore_data
    folder = live.backup_folder
    if folder is None:
        return []
    backup = backups.read(live.site.state.backups, folder.name)
    if isinstance(backup, Damaged) or not (backup.dumps or backup.included):
        return []
    said: list[str] = []
    databases = {database.name: database for database in live.databases(live.before)}
    migrated = bool(began & {"migrate", "restart", "build", "post-deploy"})
    for entry in backup.dumps:
        dump = Dump.from_dict(entry)
        database = databases.get(dump.name)
        if database is None:
            continue
        changed = database.fingerprint() != dump.fingerprint
        if policy == "never":
            if changed:
                said.append(
                    f"The schema of {dump.name} was changed and is NOT put back (backup.restore_data: never). "
                    f"To do it: gitdeploy restore {backup.id} --with-data"
                )
            continue
        if not (policy == "always" or (changed and migrated)):
            continue
        replaced = folder / REPLACED
        replaced.mkdir(mode=0o700, exist_ok=True)
        kept = database.dump(replaced, live.journal.output)
        database.restore(folder / DUMPS, dump, live.journal.output)
        said.append(
            f"{dump.name} was put back from the dump made before the upgrade; what it held meanwhile "
            f"({size_text(kept.size)}) is kept: {replaced / kept.file}"
        )
    if policy != "never":
        said += _included_back(live, backup, folder)
    return said


def _included_back(live: Live, backup: Backup, folder: Path) -> list[str]:
    said = []
    for path in backup.included:
        source, place = folder / INCLUDED / path, live.site.root / path
        if _differs(source, place):
            if os.path.lexists(place):
                keep = folder / REPLACED / path
                keep.parent.mkdir(parents=True, exist_ok=True)
                _remove(keep)
                backups.copy_tree(place, keep)
            _put_paths(live.site.root, folder / INCLUDED, [path])
            said.append(
                f"{path} was put back as it was before the upgrade; what it held meanwhile is in {folder / REPLACED}."
            )
    return said


def _differs(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return not (one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other))
    if one.is_dir():
        names = set(os.listdir(one))
        return not other.is_dir() or names != set(os.listdir(other)) or any(_differs(one / n, other / n) for n in names)
    if not other.is_file():
        return one.exists() or other.exists()
    first, second = one.stat(), other.stat()
    if (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns):
        return False
    return first.st_size != second.st_size or one.read_bytes() != other.read_bytes()
