"""Data that go back with the code that needs them: database dumps, `backup.include`, the content of keep paths."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitdeploy import backups
from gitdeploy.backups import Backup, Damaged
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import Dump
from gitdeploy.deployment.journal import Journal
from gitdeploy.deployment.placing import Aside, put_in_place, take_away
from gitdeploy.errors import DeploymentFailed
from gitdeploy.text import count, duration_text, listing, path_text, size_text

if TYPE_CHECKING:
    from gitdeploy.deployment.live import Live

DUMPS = "dumps"
KEPT = "kept"
INCLUDED = "include"
REPLACED = "replaced"  # in a backup: what was live when this backup's data took its place


def dump_into(databases: Sequence[AppDatabase], folder: Path, journal: Journal) -> list[Dump]:
    """Dump each database below FOLDER and write the dumps into the backup's manifest. Raises `GitDeployError`."""
    dumps: list[Dump] = []
    place = folder / DUMPS
    for database in databases:
        place.mkdir(mode=0o700, exist_ok=True)
        dumps.append(dump_one(database, place, journal))
    if dumps:
        backup = backups.read(folder.parent, folder.name)
        if isinstance(backup, Backup):
            backups.write(folder.parent, replace(backup, dumps=[dump.as_dict() for dump in dumps]))
    return dumps


def dump_one(database: AppDatabase, place: Path, journal: Journal) -> Dump:
    """Dump a database into the folder PLACE; its size and the time it took are in the log."""
    begun = time.monotonic()
    journal.progress("backup", f"dumping {database.name}")
    dump = database.dump(place, journal.output)
    took = duration_text(time.monotonic() - begun)
    journal.line(f"Database {database.name} dumped: {size_text(dump.size)} in {took}.")
    return dump


def database_files(databases: Sequence[AppDatabase]) -> frozenset[Path]:
    """Files of databases: their dumps hold what is in them, a copy of the files would be half of something."""
    return frozenset(file for database in databases for file in database.files())


def put_back(live: Live, identity: str, *, instead_of: str | None = None) -> str:
    """Bring back the data that a backup holds: included paths, content of keep paths, dumps. May be repeated.

    instead_of: the backup whose data are undone by this; what only that one had goes away again.
    What is displaced and in no backup yet is kept in the deployment's own.
    """
    site = live.site
    backup = _read(live, identity)
    folder = site.state.backups / identity
    databases = {database.name: database for database in live.databases(live.before)}
    own = live.backup_folder or folder
    other = site.state.backups / (instead_of or own.name)
    known = tuple(base / part for base in {own, other} for part in (INCLUDED, KEPT))
    aside = Aside(own / REPLACED, known, database_files(tuple(databases.values())))
    paths = [
        path
        for part, names in ((INCLUDED, backup.included), (KEPT, backup.kept))
        for path in names
        if put_in_place(site.root, folder / part, path, aside)
    ]
    if instead_of is not None and isinstance(undone := backups.read(site.state.backups, instead_of), Backup):
        there = {*backup.included, *backup.kept, *backup.not_copied}
        for path in (path for path in (*undone.included, *undone.kept) if path not in there):
            take_away(site.root, path, aside)
    for path in paths:
        for kept in aside.kept(path):
            live.journal.line(f"{path_text(path)}: what it held until now is kept: {path_text(str(kept))}", "warning")
    restored = 0
    for entry in backup.dumps:
        dump = Dump.from_dict(entry)
        database = databases.get(dump.name)
        if database is None:
            live.journal.line(f"The dump of {dump.name} is not restored: backup.databases names it no more.", "warning")
            continue
        database.restore(folder / DUMPS, dump, live.journal.output)
        restored += 1
    shown = [path_text(path) for path in paths]
    return f"{count(restored, 'database')}, {count(len(paths), 'path')}" + (f" ({listing(shown, 3)})" if paths else "")


def _read(live: Live, identity: str) -> Backup:
    backup = backups.read(live.site.state.backups, identity)
    if isinstance(backup, Damaged):
        raise DeploymentFailed(f"Backup {identity} can't be used for its data: {backup.problem}.")
    return backup


def changed_schemas(databases: Sequence[AppDatabase], backup: Backup) -> list[str]:
    """Names of databases whose schema is another than when BACKUP dumped them. Raises `GitDeployError`."""
    prints = {Dump.from_dict(entry).name: Dump.from_dict(entry).fingerprint for entry in backup.dumps}
    return [
        database.name
        for database in databases
        if database.name in prints and database.fingerprint() != prints[database.name]
    ]
