"""SQLite as state.db needs it: its errors in our words."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text

WAIT = 10.0  # seconds that another process's transaction is waited for


class DiskFull(DeploymentFailed):
    """No room is left for state.db."""


class DatabaseDamaged(DeploymentFailed):
    """state.db can't be read any more."""

    kind = "state_damaged"


def now() -> str:
    """The time as everywhere in state and JSON: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def quoted_path(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _is_full(path: Path) -> bool:
    """No block or no inode is left where PATH is. SQLite then can't make its -wal and -shm, and says so in other words."""
    with suppress(OSError):
        found = os.statvfs(path.parent)
        return found.f_bavail < 16 or (found.f_files > 0 and found.f_favail == 0)
    return False


def to_wal(connection: sqlite3.Connection) -> None:
    """Have it journalled by a WAL. Of two that make a database at once SQLite refuses one here without any waiting."""
    end = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """BEGIN IMMEDIATE, and at the end COMMIT. Whatever goes wrong, also in the COMMIT (a full disk), is undone whole: the
    connection is outside of any transaction afterwards."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def explained(error: Exception, path: Path) -> DeploymentFailed:
    name = path_text(str(path))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    unwritable = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) or isinstance(error, OSError)
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == errno.ENOSPC or (unwritable and _is_full(path)):
        return DiskFull(tr("{name} can't be written: the disk is full.", name=name), tr("Make room, then try again."))
    if unwritable or code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DeploymentFailed(
            tr("{name} can't be opened for writing ({error}).", name=name, error=error),
            tr(
                "Run gitdeploy as the owner of the checkout; see that the disk is neither full, read-only nor failing (dmesg)."
            ),
        )
    if code == sqlite3.SQLITE_BUSY:
        return DeploymentFailed(tr("{name} is locked by another program.", name=name), tr("Try again in a moment."))
    return DatabaseDamaged(
        tr("{name} is damaged ({error}).", name=name, error=error),
        tr("`gitdeploy recover` moves it aside and goes on from the backups' own manifests."),
    )
