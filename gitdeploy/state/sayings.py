"""How the sentences in state.db were made, beside their English text: so an old log reads in any language.

A table of its own and no columns: a gitdeploy that knows nothing of it, as a rollback may bring back, goes on with the
database as it is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from gitdeploy.messages import heard, said

TABLE = "CREATE TABLE IF NOT EXISTS said (text TEXT PRIMARY KEY, code TEXT NOT NULL, params TEXT NOT NULL);"


def there(connection: sqlite3.Connection) -> bool:
    """Whether the database has the table: one that was only ever written by an older gitdeploy hasn't."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name='said'").fetchone() is not None


def remember(connection: sqlite3.Connection, texts: Iterable[str]) -> None:
    """Put down how those of TEXTS that are sentences were made."""
    rows = [(made["message"], made["code"], json.dumps(made["params"])) for made in map(said, texts) if made["code"]]
    if rows:
        connection.executemany("INSERT OR IGNORE INTO said VALUES (?,?,?)", rows)


def sweep(connection: sqlite3.Connection) -> None:
    """Forget the sentences that nothing of the database says any more."""
    connection.execute(
        "DELETE FROM said WHERE text NOT IN (SELECT text FROM line) AND text NOT IN (SELECT reason FROM bad_release)"
    )


def recalled(text: str, code: str | None, params: str | None) -> str:
    """TEXT as the sentence that it was, by a row of the table (None where it has none)."""
    return heard({"message": text, "code": code, "params": json.loads(params)}) if code and params else text


def recall(connection: sqlite3.Connection, text: str) -> str:
    """TEXT as the sentence that it was, where that was put down."""
    row = connection.execute("SELECT code, params FROM said WHERE text=?", (text,)).fetchone()
    return recalled(text, *row) if row else text
