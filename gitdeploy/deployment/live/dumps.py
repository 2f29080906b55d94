"""Data that go back with the code that needs them: database dumps, `backup.include`, the content of keep paths."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.backups import store
from gitdeploy.backups.places import DUMPS
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import Dump
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.messages import tr
from gitdeploy.system import progress
from gitdeploy.text import duration_text, size_text


def dump_into(databases: Sequence[AppDatabase], folder: Path, journal: Journal) -> list[Dump]:
    """Dump each database below FOLDER, a backup's. Raises `GitDeployError`."""
    dumps: list[Dump] = []
    place = folder / DUMPS
    for database in databases:
        place.mkdir(mode=0o700, exist_ok=True)
        dumps.append(dump_one(database, place, journal, folder.parent))
    return dumps


def dump_one(database: AppDatabase, place: Path, journal: Journal, backups: Path) -> Dump:
    """Dump a database into the folder PLACE; its size and the time it took are in the log. BACKUPS tell how large the last
    dump of it was."""
    begun, name = time.monotonic(), database.name
    journal.progress(journal.running, tr("dumping {database}", database=name))
    what = tr("dump of {database}", database=name)
    with progress.of(what, "bytes", lambda: store.last_dump(backups, name), about=True):
        dump = database.dump(place, journal.output)
    took = duration_text(time.monotonic() - begun)
    journal.line(
        tr(
            "Database {database} dumped: {size} in {took}.",
            database=name,
            size=size_text(dump.size),
            took=took,
        )
    )
    return dump
