"""state.db: deployments, the journal's records, log lines, first-seen tags, bad releases, the sources' cache.

SQLite with WAL and `synchronous=FULL`: a committed transaction survives a kill and a power cut (one fsync each, about
0.3 ms on an SSD). What need only survive a kill, or goes to disk with the next such transaction, is committed with
`synchronous=NORMAL`. Everything is written in explicit `BEGIN IMMEDIATE` transactions; the driver's own are off.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.state import sayings
from gitdeploy.state.rows import BadRelease, DeploymentRow, Record, step_states
from gitdeploy.state.schema import SCHEMA, SELECT, TABLES, deployment_row
from gitdeploy.state.sqlite import (
    WAIT,
    DatabaseDamaged,
    DiskFull,
    explained,
    is_busy,
    now,
    quoted_path,
    to_wal,
    transaction,
)
from gitdeploy.system import faultpoints
from gitdeploy.text import path_text

_STEP = "step"  # the level of lines that are no text but the state of a step
_INSERT = "INSERT INTO line(deployment, at, level, text) VALUES (?,?,?,?)"


_NEWEST = 20  # deployments that are never forgotten
CACHED = 200  # answers of hosts that are kept


# Records that decide what recovery does, and how it ended: for these the reserve is given up on a full disk.
_DECIDING = frozenset(("commit", "undoing", "undone", "recovery", "second-half"))
# Records that a power cut may take as long as nothing durable follows: what they announce is found and swept away without
# them, or has not touched anything live. The next record of another kind (`backup`, `begin`) takes them to disk with it. Those
# of children only tell recovery what to end, and a power cut has ended it.
_CARRIED = frozenset(("caller", "prepare", "plan", "child", "child-started", "child-ended"))


class Database:
    """An open state.db. Use `Database.open` (writing) or `Database.read` (looking only, also on a read-only disk)."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._give_room: Callable[[], None] | None = None
        self._identity: tuple[int, int] | None = None
        self._sayings = sayings.there(connection)
        self._buffer: list[tuple[int, str, str, str]] = []
        self._flushed = time.monotonic()
        self._passing: int | None = None  # the line that says how far the running step has come

    @classmethod
    def open(cls, path: Path, give_room: Callable[[], None] | None = None) -> Database:
        """Open for writing, made if missing. Raises `DatabaseDamaged`, or `DeploymentFailed` on a full or read-only disk.

        give_room: gives held-back room free. Called once where the disk is too full to open (SQLite needs its -wal and
        -shm even to read) or to write how a deployment goes on.
        """
        try:
            database = cls._open(path)
        except DiskFull:
            if give_room is None:
                raise
            give_room()
            database = cls._open(path)
        database._give_room = give_room
        return database

    @classmethod
    def _open(cls, path: Path) -> Database:
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT, check_same_thread=False)
            try:
                os.chmod(path, 0o600)
                to_wal(connection)
                connection.execute("PRAGMA synchronous=FULL")
                problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if problem != "ok":
                    raise sqlite3.DatabaseError(problem)
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:  # another process may make it at this very moment: nothing of it is made twice
                    connection.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version={SCHEMA};COMMIT;")
                connection.executescript(sayings.TABLE)
                if version > SCHEMA:
                    raise DeploymentFailed(
                        tr("{path} was written by a newer gitdeploy.", path=path_text(str(path))),
                        tr("Install that newer gitdeploy."),
                    )
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise explained(error, path) from error
        database = cls(connection, path)
        found = path.stat()
        database._identity = (found.st_dev, found.st_ino)
        return database

    @classmethod
    def read(cls, path: Path) -> Database | None:
        """Open without changing anything; None where there is no database (yet)."""
        if not path.exists() or path.stat().st_size == 0:
            return None
        for options in ("mode=ro", "immutable=1"):
            connection = sqlite3.connect(
                f"file:{quoted_path(path)}?{options}", uri=True, isolation_level=None, timeout=5
            )
            try:
                if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                    connection.close()
                    return None
                connection.execute("SELECT 1 FROM deployment LIMIT 1").fetchone()
            except sqlite3.DatabaseError as error:
                connection.close()
                # Read as it lies there, without its -wal, only where nobody can be writing it: never for a busy one.
                if options == "immutable=1" or not isinstance(error, sqlite3.OperationalError) or is_busy(error):
                    raise explained(error, path) from error
                continue
            return cls(connection, path)
        raise AssertionError("unreachable")

    def close(self) -> None:
        with suppress(sqlite3.Error, DeploymentFailed):
            self.flush_lines()
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self, *, carried: bool = False) -> Iterator[sqlite3.Connection]:
        """CARRIED: seen by other processes at once and safe from a kill, but on disk only with the next transaction that
        isn't."""
        if self._identity is not None:
            # In WAL mode, inserts into a deleted database "succeed" into nothing: look before each write.
            try:
                found = self._path.stat()
            except OSError as error:
                raise DatabaseDamaged(
                    tr("{path} was removed while it was in use.", path=path_text(str(self._path)))
                ) from error
            if (found.st_dev, found.st_ino) != self._identity:
                raise DatabaseDamaged(tr("{path} was replaced while it was in use.", path=path_text(str(self._path))))
        try:
            # Said each time, so that nothing that fails can leave the lesser one behind for a record that must last.
            self._connection.execute(f"PRAGMA synchronous={'NORMAL' if carried else 'FULL'}")
            with transaction(self._connection):
                yield self._connection
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    def _write_surely(self, act: Callable[[sqlite3.Connection], object]) -> None:
        """ACT in a transaction; once more with the held-back room where the disk is full."""
        try:
            with self._transaction() as connection:
                act(connection)
        except DiskFull:
            if self._give_room is None:
                raise
            self._give_room()
            with self._transaction() as connection:
                act(connection)

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    # ---- deployments ----

    def begin_deployment(
        self, action: str, performer: str, origin: Mapping[str, Any], target: Mapping[str, Any]
    ) -> int:
        """A new deployment, status `running`. Returns its id."""
        with self._transaction(carried=True) as connection:
            cursor = connection.execute(
                "INSERT INTO deployment(action, status, performer, started_at, origin, target) VALUES (?,?,?,?,?,?)",
                (action, "running", performer, now(), json.dumps(dict(origin)), json.dumps(dict(target))),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def update_deployment(self, deployment: int, **values: object) -> None:
        """Set columns; mappings and lists are stored as JSON."""
        encoded = {
            name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in values.items()
        }
        columns = ", ".join(f"{name}=?" for name in encoded)
        query = f"UPDATE deployment SET {columns} WHERE id=?"  # noqa: S608  # names of our own keyword arguments
        self._write_surely(lambda connection: connection.execute(query, (*encoded.values(), deployment)))

    def deployments(self, limit: int = -1) -> list[DeploymentRow]:
        """Newest first."""
        return [deployment_row(row) for row in self._rows(f"{SELECT} ORDER BY id DESC LIMIT ?", limit)]

    def backups_made(self, limit: int = 20) -> set[str]:
        """The ids of the last backups, also of those that are gone."""
        query = "SELECT backup FROM deployment WHERE backup IS NOT NULL ORDER BY id DESC LIMIT ?"
        return {str(row[0]) for row in self._rows(query, limit)}

    def tries(self, limit: int) -> list[DeploymentRow]:
        """Upgrades and rehearsals that have ended and were not refused, newest first."""
        wanted = "ended_at IS NOT NULL AND action IN ('upgrade', 'rehearse') AND status <> 'refused'"
        return [deployment_row(row) for row in self._rows(f"{SELECT} WHERE {wanted} ORDER BY id DESC LIMIT ?", limit)]

    def deployment(self, deployment: int) -> DeploymentRow | None:
        rows = self._rows(f"{SELECT} WHERE id=?", deployment)
        return deployment_row(rows[0]) if rows else None

    def unfinished(self) -> list[DeploymentRow]:
        """Deployments without an end, oldest first: the running one, or what a killed process left."""
        return [deployment_row(row) for row in self._rows(f"{SELECT} WHERE ended_at IS NULL ORDER BY id")]

    def last_ended(self, *, action: str | None = None, status: str | None = None) -> DeploymentRow | None:
        rows = self._rows(
            f"{SELECT} WHERE ended_at IS NOT NULL AND action <> 'prepare' AND (? IS NULL OR action=?) "
            "AND (? IS NULL OR status=?) ORDER BY id DESC LIMIT 1",
            action, action, status, status,
        )  # fmt: skip
        return deployment_row(rows[0]) if rows else None

    def forget(self, before: str, backups: Collection[str]) -> int:
        """Delete deployments that ended before BEFORE (ISO 8601, UTC) with all that was said of them; how many. The newest
        twenty stay, those whose backup is among BACKUPS, and what people are still to be told of."""
        owed = {deployment for deployment, _, _ in self.owed()}
        rows = self._rows(
            "SELECT id, backup FROM deployment WHERE ended_at IS NOT NULL AND ended_at<? "
            "AND id NOT IN (SELECT id FROM deployment ORDER BY id DESC LIMIT ?)",
            before, _NEWEST,
        )  # fmt: skip
        going = [number for number, backup in rows if number not in owed and backup not in backups]
        if going:
            self._delete(going)
        return len(going)

    def withdraw(self, deployment: int) -> None:
        """Delete one that has come to nothing, with all that was said of it."""
        self.flush_lines()
        self._delete([deployment])

    def _delete(self, deployments: Sequence[int]) -> None:
        with self._transaction(carried=True) as connection:
            for table, column in (("line", "deployment"), ("record", "deployment"), ("deployment", "id")):
                query = f"DELETE FROM {table} WHERE {column}=?"  # noqa: S608  # names of our own
                connection.executemany(query, [(number,) for number in deployments])
            sayings.sweep(connection)

    # ---- the journal ----

    def write(self, deployment: int, kind: str, step: str = "", data: Mapping[str, Any] | None = None) -> None:
        """One record, on disk when this returns, or with the next one (see `_CARRIED`). Log lines so far go with it."""
        faultpoints.point(f"journal {kind} {step}".rstrip())

        def insert(connection: sqlite3.Connection) -> None:
            self._insert_lines(connection)
            connection.execute(
                "INSERT INTO record(deployment, at, kind, step, data) VALUES (?,?,?,?,?)",
                (deployment, now(), kind, step, json.dumps(data or {})),
            )

        if kind in _DECIDING:
            self._write_surely(insert)
        else:
            with self._transaction(carried=kind in _CARRIED) as connection:
                insert(connection)
        self._buffer.clear()
        faultpoints.point(f"journalled {kind} {step}".rstrip())

    def records(self, deployment: int) -> list[Record]:
        """A deployment's records, oldest first."""
        rows = self._rows("SELECT seq, kind, step, data, at FROM record WHERE deployment=? ORDER BY seq", deployment)
        return [Record(seq, kind, step, json.loads(data), at) for seq, kind, step, data, at in rows]

    def owed(self) -> list[tuple[int, str, Mapping[str, Any]]]:
        """(deployment, event, facts) of notifications that were put down and not sent yet, oldest first."""
        rows = self._rows(
            "SELECT deployment, step, data FROM record AS due WHERE kind='notify' AND NOT EXISTS (SELECT 1 FROM record "
            "WHERE deployment=due.deployment AND kind='notified' AND step=due.step) ORDER BY seq"
        )
        return [(deployment, event, json.loads(data)) for deployment, event, data in rows]

    # ---- log lines ----

    def line(self, deployment: int, text: str, level: str = "info") -> None:
        """Add a line to a deployment's log; on disk with the next record, or the next line after a quarter of a second."""
        self._buffer.append((deployment, now(), level, text))
        if time.monotonic() - self._flushed > 0.25:
            self.show_lines()

    def show_lines(self) -> None:
        """Have the lines so far seen by other processes, where that is possible now."""
        with suppress(DeploymentFailed):  # a line of the log never decides; it goes with the next record
            self.flush_lines()

    def step(self, deployment: int, state: Mapping[str, Any] | None, *, passing: bool = False) -> None:
        """How a step stands, for whoever watches from another process: at once, but never a reason to fail. What was said in
        PASSING goes with the next word, so that nothing grows by it (None: it goes without one)."""
        values = (deployment, now(), _STEP, json.dumps(dict(state or {})))
        if state is not None and not passing:
            self._buffer.append(values)
        with suppress(DeploymentFailed):
            with self._transaction(carried=True) as connection:
                self._insert_lines(connection)
                connection.execute("DELETE FROM line WHERE seq=?", (self._passing,))
                self._passing = connection.execute(_INSERT, values).lastrowid if passing else None
            self._buffer.clear()
            self._flushed = time.monotonic()

    def steps(self, deployment: int) -> list[dict[str, Any]]:
        """The steps so far, each as it stands now, with `at`: when it began (a running one) or ended."""
        query = "SELECT at, text FROM line WHERE deployment=? AND level=? ORDER BY seq"
        return step_states(self._rows(query, deployment, _STEP))

    def flush_lines(self) -> None:
        if self._buffer:
            with self._transaction(carried=True) as connection:  # nothing is decided by a line of the log
                self._insert_lines(connection)
            self._buffer.clear()
        self._flushed = time.monotonic()

    def _insert_lines(self, connection: sqlite3.Connection) -> None:
        connection.executemany(_INSERT, self._buffer)
        sayings.remember(connection, (text for _, _, _, text in self._buffer))

    def lines(self, deployment: int, since: int = 0) -> list[tuple[int, str, str, str]]:
        """(seq, at, level, text) with seq > SINCE, oldest first; a text that was a sentence is one again."""
        query = "SELECT seq, at, level, text{more} WHERE deployment=? AND seq>? AND level<>? ORDER BY seq"
        if not self._sayings:
            return self._rows(query.format(more=" FROM line"), deployment, since, _STEP)
        rows = self._rows(
            query.format(more=", code, params FROM line LEFT JOIN said USING (text)"), deployment, since, _STEP
        )
        return [(seq, at, level, sayings.recalled(text, code, params)) for seq, at, level, text, code, params in rows]

    def closing_line(self, deployment: int) -> str | None:
        """The last line that a deployment said before it had ended; what its process says while it tidies up is later."""
        rows = self._rows(
            "SELECT text FROM line JOIN deployment ON deployment.id=line.deployment WHERE deployment.id=? "
            "AND level NOT IN (?, 'debug') AND at<=ended_at ORDER BY seq DESC LIMIT 1",
            deployment, _STEP,
        )  # fmt: skip
        return rows[0][0] if rows else None

    def pulse(self) -> tuple[Any, ...]:
        """A value that changes whenever a deployment begins, says something or ends."""
        return tuple(
            self._rows(
                "SELECT (SELECT max(seq) FROM line), (SELECT max(id) FROM deployment), "
                "(SELECT count(*) FROM deployment WHERE ended_at IS NULL)"
            )[0]
        )

    def requested(self, request: str) -> int | None:
        """The deployment that REQUEST (an id that its caller made up) began, of several the last; None where it has begun none
        yet."""
        rows = self._rows(
            "SELECT max(deployment) FROM record WHERE kind='caller' AND json_extract(data, '$.request')=?", request
        )
        return rows[0][0] if rows else None

    # ---- tags seen, bad releases ----

    def first_seen(self, tag: str) -> str | None:
        """The commit that TAG had when it was first seen."""
        rows = self._rows("SELECT commit_id FROM seen_tag WHERE tag=?", tag)
        return rows[0][0] if rows else None

    def remember_tag(self, tag: str, commit: str, *, replace: bool = False) -> None:
        with self._transaction() as connection:
            if replace:
                connection.execute("DELETE FROM seen_tag WHERE tag=?", (tag,))
            connection.execute("INSERT OR IGNORE INTO seen_tag VALUES (?,?,?)", (tag, commit, now()))

    def bad_release(self, commit: str) -> BadRelease | None:
        """The release with this COMMIT, where it was rolled back here."""
        return self.bad_releases().get(commit)

    def bad_releases(self) -> dict[str, BadRelease]:
        """Commit -> the release that was rolled back here."""
        rows = self._rows(
            "SELECT commit_id, tag, reason, at, (SELECT max(id) FROM deployment WHERE action='upgrade' "
            "AND status IN ('rolled_back', 'failed') AND instr(target, commit_id)) FROM bad_release"
        )
        return {
            commit: BadRelease(commit, tag, self._recall(reason), at, number)
            for commit, tag, reason, at, number in rows
        }

    def _recall(self, text: str) -> str:
        return sayings.recall(self._connection, text) if self._sayings else text

    def mark_bad(self, commit: str, tag: str, reason: str) -> None:
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO bad_release VALUES (?,?,?,?)", (commit, tag, reason, now()))
            sayings.remember(connection, [reason])

    def forgive(self, commit: str) -> None:
        """Forget that a release was bad: it has just succeeded."""
        self._write_surely(
            lambda connection: connection.execute("DELETE FROM bad_release WHERE commit_id=?", (commit,))
        )

    # ---- cache and small values ----

    def cache_get(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM cache WHERE key=?", key)
        return rows[0][0] if rows else None

    def cache_put(self, key: str, value: str) -> None:
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO cache VALUES (?,?)", (key, value))
            # A replaced row gets a new rowid, so these are the ones not written for the longest time.
            connection.execute(
                "DELETE FROM cache WHERE rowid NOT IN (SELECT rowid FROM cache ORDER BY rowid DESC LIMIT ?)",
                (CACHED,),
            )

    def meta_get(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM meta WHERE key=?", key)
        return rows[0][0] if rows else None

    def meta_change(self, key: str, change: Callable[[str | None], str | None]) -> None:
        """Put what CHANGE makes of the value, with nobody else's change between."""

        def put(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
            value = change(row[0] if row else None)
            connection.execute("DELETE FROM meta WHERE key=?", (key,))
            if value is not None:
                connection.execute("INSERT INTO meta VALUES (?,?)", (key, value))

        self._write_surely(put)

    def meta_put(self, key: str, value: str | None) -> None:
        self.meta_change(key, lambda _: value)
