"""Data that go back with the code that needs them: database dumps, `backup.include`, the content of keep paths."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.backups.places import DUMPS
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import Dump
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.messages import tr
from gitdeploy.text import duration_text, size_text


def dump_into(databases: Sequence[AppDatabase], folder: Path, journal: Journal) -> list[Dump]:
    """Dump each database below FOLDER, a backup's. Raises `GitDeployError`."""
    dumps: list[Dump] = []
    place = folder / DUMPS
    for database in databases:
        place.mkdir(mode=0o700, exist_ok=True)
        dumps.append(dump_one(database, place, journal))
    return dumps


def dump_one(database: AppDatabase, place: Path, journal: Journal) -> Dump:
    """Dump a database into the folder PLACE; its size and the time it took are in the log."""
    begun = time.monotonic()
    journal.progress("backup", tr("dumping {database}", database=database.name))
    dump = database.dump(place, journal.output)
    took = duration_text(time.monotonic() - begun)
    journal.line(
        tr(
            "Database {database} dumped: {size} in {took}.",
            database=database.name,
            size=size_text(dump.size),
            took=took,
        )
    )
    return dump
