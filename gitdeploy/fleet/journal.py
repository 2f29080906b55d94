"""The rollout as the control host remembers it: which hosts, in which order, and what was decided.

What became of a host is not decided here: the host's own journal says it, and is asked again whenever a rollout goes on.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed, NotFound
from gitdeploy.messages import tr
from gitdeploy.state.sqlite import WAIT, explained, now, to_wal, transaction
from gitdeploy.text import path_text

SCHEMA = 1
TABLES = """
CREATE TABLE rollout (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, action TEXT NOT NULL, tag TEXT, status TEXT NOT NULL,
    phase TEXT NOT NULL, performer TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, message TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL
);
CREATE TABLE member (
    rollout INTEGER NOT NULL, host TEXT NOT NULL, position INTEGER NOT NULL, batch INTEGER NOT NULL, role TEXT NOT NULL,
    state TEXT NOT NULL, was TEXT, runs TEXT, attempt INTEGER NOT NULL DEFAULT 0, exit_code INTEGER, message TEXT NOT NULL
    DEFAULT '', duration REAL, deployment TEXT, PRIMARY KEY (rollout, host)
);
CREATE TABLE line (seq INTEGER PRIMARY KEY AUTOINCREMENT, rollout INTEGER NOT NULL, host TEXT NOT NULL, at TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX line_rollout ON line(rollout);
"""

RUNNING, SUCCEEDED, FAILED, HALTED, ROLLED_BACK, ABANDONED = "running", "succeeded", "failed", "halted", "rolled_back", "abandoned"  # fmt: skip
GOING_ON = (RUNNING, HALTED)  # a rollout that can be resumed
PRIMARY, CANARY = "primary", "canary"


class Rollout(Struct, frozen=True):
    """One rollout. `phase`: prepare, live or back, which says where an interrupted one goes on. `key` is part of what its
    hosts' deployments are found by."""

    id: int
    key: str
    action: str
    tag: str | None
    status: str
    phase: str
    performer: str
    started_at: str
    ended_at: str | None
    message: str
    settings: Mapping[str, Any]


class Member(Struct, frozen=True):
    """A host in a rollout: `was` and `runs` are what was live before and is live now; `role`: primary,
    canary, or empty."""

    host: str
    batch: int
    role: str
    state: str
    was: str | None = None
    runs: str | None = None
    attempt: int = 0
    exit_code: int | None = None
    message: str = ""
    duration: float | None = None
    deployment: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The shape of a host in `fleet upgrade --json`."""
        return {
            "host": self.host,
            "batch": self.batch,
            "primary": self.role == PRIMARY,
            "state": self.state,
            "was": self.was,
            "runs": self.runs,
            "exit_code": self.exit_code,
            "message": self.message,
            "duration": self.duration,
            "deployment": (self.deployment or {}).get("id"),
            "backup": (self.deployment or {}).get("backup"),
        }


T = TypeVar("T", bound=Struct)


def _read(kind: type[T], row: Sequence[Any]) -> T:
    """A row whose columns are KIND's fields, in order, the last one as JSON."""
    *facts, last = row
    return kind(**dict(zip(kind.__struct_fields__, (*facts, json.loads(last) if last else None), strict=True)))


class Journal:
    """An open journal. Raises `DeploymentFailed` on a full or read-only disk, and for one of a newer gitdeploy."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """The journal in FOLDER, made if missing, readable for its owner only."""
        path = folder / "rollouts.db"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
            connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT)
            os.chmod(path, 0o600)
            to_wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE;{TABLES}PRAGMA user_version={SCHEMA};COMMIT;")
            if version > SCHEMA:
                connection.close()
                raise DeploymentFailed(
                    tr("{path} was written by a newer gitdeploy.", path=path_text(str(path))),
                    tr("Install that newer gitdeploy."),
                )
        except (sqlite3.Error, OSError) as error:
            raise explained(error, path) from error
        return cls(connection, path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._connection):
                yield self._connection
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    # ---- rollouts ----

    def begin(self, action: str, tag: str | None, performer: str, settings: Mapping[str, Any]) -> Rollout:
        """A new rollout. One that could have been resumed is given up by it, unless nothing but preparing is asked."""
        with self._transaction() as connection:
            if action not in ("prepare", "rehearse"):
                connection.execute(
                    "UPDATE rollout SET status=?, ended_at=coalesce(ended_at, ?) WHERE status IN (?, ?)",
                    (ABANDONED, now(), *GOING_ON),
                )
            made = connection.execute(
                "INSERT INTO rollout(key, action, tag, status, phase, performer, started_at, settings) VALUES (?,?,?,?,?,?,?,?)",
                (secrets.token_hex(16), action, tag, RUNNING, "prepare", performer, now(), json.dumps(dict(settings))),
            )
        assert made.lastrowid is not None
        return self.rollout(made.lastrowid)

    def update(self, rollout: int, **values: object) -> None:
        names = ", ".join(f"{name}=?" for name in values)
        with self._transaction() as connection:
            connection.execute(f"UPDATE rollout SET {names} WHERE id=?", (*values.values(), rollout))  # noqa: S608

    def end(self, rollout: int, status: str, message: str) -> None:
        self.update(rollout, status=status, message=message, ended_at=now())

    def rollouts(self, limit: int = -1) -> list[Rollout]:
        """Newest first."""
        query = (
            "SELECT id, key, action, tag, status, phase, performer, started_at, ended_at, message, settings FROM rollout "
            "ORDER BY id DESC LIMIT ?"
        )
        return [_read(Rollout, row) for row in self._rows(query, limit)]

    def rollout(self, number: int) -> Rollout:
        """Raises `NotFound`."""
        for found in self.rollouts():
            if found.id == number:
                return found
        raise NotFound(tr("There is no rollout {number}.", number=number), tr("`gitdeploy fleet log` lists them."))

    def last(self, *, action: str | None = None, tag: str | None = None) -> Rollout | None:
        """The newest rollout, of this ACTION and of TAG."""
        for found in self.rollouts():
            if action in (None, found.action) and tag in (None, found.tag):
                return found
        return None

    # ---- hosts ----

    def place(self, rollout: int, members: Iterable[Member]) -> None:
        """The hosts of a rollout, in order; those that it had are forgotten."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM member WHERE rollout=?", (rollout,))
            for number, each in enumerate(members):
                connection.execute(
                    "INSERT INTO member(rollout, host, position, batch, role, state, was, runs, message) VALUES (?,?,?,?,?,?,?,?,?)",
                    (rollout, each.host, number, each.batch, each.role, each.state, each.was, each.runs, each.message),
                )

    def change(self, rollout: int, host: str, **values: object) -> None:
        if "deployment" in values:
            values["deployment"] = json.dumps(values["deployment"])
        names = ", ".join(f"{name}=?" for name in values)
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE member SET {names} WHERE rollout=? AND host=?",  # noqa: S608  # names of ours
                (*values.values(), rollout, host),
            )

    def members(self, rollout: int) -> list[Member]:
        query = (
            "SELECT host, batch, role, state, was, runs, attempt, exit_code, message, duration, deployment FROM member "
            "WHERE rollout=? ORDER BY position"
        )
        return [_read(Member, row) for row in self._rows(query, rollout)]

    # ---- what was said ----

    def say(self, rollout: int, host: str, texts: Iterable[str]) -> None:
        """Lines of the log about HOST (empty: about all)."""
        rows = [(rollout, host, now(), text) for text in texts]
        if rows:
            with self._transaction() as connection:
                connection.executemany("INSERT INTO line(rollout, host, at, text) VALUES (?,?,?,?)", rows)

    def lines(self, rollout: int, host: str | None = None) -> list[tuple[str, str, str]]:
        """(at, host, text), oldest first."""
        if host is None:
            return self._rows("SELECT at, host, text FROM line WHERE rollout=? ORDER BY seq", rollout)
        return self._rows("SELECT at, host, text FROM line WHERE rollout=? AND host=? ORDER BY seq", rollout, host)
