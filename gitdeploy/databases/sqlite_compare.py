"""Two SQLite files compared: which rows are new, changed or gone, by table."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gitdeploy.databases.base import Written
from gitdeploy.databases.bookkeeping import is_bookkeeping

_LARGEST = 128 << 20  # bytes of a file beyond which its rows are only counted
_LARGEST_COUNTED = 2 << 30  # and beyond which not even that


def compare(before: Path, now: Path) -> Written:
    """What NOW has otherwise than BEFORE, both dumps that nobody writes into. Never raises."""
    try:
        size = max(before.stat().st_size, now.stat().st_size)
        if size > _LARGEST_COUNTED:
            return Written({}, told=False)
        with closing(sqlite3.connect(":memory:", uri=True)) as connection:
            for name, file in (("old", before), ("new", now)):
                connection.execute(f"ATTACH ? AS {name}", (f"file:{quote(str(file))}?mode=ro&immutable=1",))
            return _compare(connection, whole=size <= _LARGEST)
    except (OSError, sqlite3.Error):
        return Written({}, told=False)


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """The rows of each of the app's own tables. Raises `sqlite3.Error`."""
    return {
        name: int(connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0])  # noqa: S608  # a name, quoted
        for name in _tables(connection, "main")
    }


def _compare(connection: sqlite3.Connection, *, whole: bool) -> Written:
    old, new = (_tables(connection, side) for side in ("old", "new"))
    found: dict[str, int] = {}
    told = whole
    for table in sorted({*old, *new}):
        name = _quoted(table)
        counts = [
            connection.execute(f"SELECT count(*) FROM {side}.{name}").fetchone()[0] if table in tables else 0  # noqa: S608  # names, quoted
            for side, tables in (("old", old), ("new", new))
        ]
        rows = abs(counts[1] - counts[0])
        if table not in new:
            # Dropped, or renamed: its rows are the migration's doing, and what was written into them can't be told.
            told = told and not counts[0]
            continue
        if table in old and whole:
            common = [_quoted(column) for column in old[table] if column in new[table]]
            # A column that is gone, or has another name, may have been written into.
            told = told and (len(common) == len(old[table]) or not counts[0])
            rows = max(rows, _difference(connection, name, common))
        if rows:
            found[table] = rows
    return Written(found, told)


def _difference(connection: sqlite3.Connection, table: str, columns: list[str]) -> int:
    """Rows that one of them has and the other not, in the columns of both."""
    if not columns:
        return 0
    chosen = ", ".join(columns)
    counts = []
    for one, other in (("old", "new"), ("new", "old")):
        rows = f"SELECT {chosen} FROM {one}.{table} EXCEPT SELECT {chosen} FROM {other}.{table}"  # noqa: S608  # names, quoted
        counts.append(int(connection.execute(f"SELECT count(*) FROM ({rows})").fetchone()[0]))  # noqa: S608
    return max(counts)


def _tables(connection: sqlite3.Connection, side: str) -> dict[str, list[str]]:
    """Name -> columns of each table with rows of the app's own."""
    query = f"SELECT name FROM {side}.sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"  # noqa: S608
    names = connection.execute(query).fetchall()
    return {
        name: [row[1] for row in connection.execute(f"PRAGMA {side}.table_info({_quoted(name)})")]
        for (name,) in names
        if not is_bookkeeping(name) and not name.startswith("sqlite_")
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
