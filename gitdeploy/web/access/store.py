"""web.db in the state directory: hashes of tokens, login codes and sessions, wrong tries, and what must not happen twice.

A file of its own (mode 0600), so that logins never stand in the way of a deployment's journal. No token, code or session id
is in it, only their SHA-256: they are random and long, so a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed, NotFound, UsageError
from gitdeploy.messages import tr
from gitdeploy.state.sqlite import to_wal, transaction
from gitdeploy.text import clean, path_text
from gitdeploy.web.access.access import IDLE, LONGEST, Access, Proven, environment_binding

_TABLES = """
CREATE TABLE IF NOT EXISTS token (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE,
    read_only INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL, expires_at REAL
);
CREATE TABLE IF NOT EXISTS code (hash TEXT PRIMARY KEY, expires_at REAL NOT NULL, used_at REAL);
CREATE TABLE IF NOT EXISTS session (
    hash TEXT PRIMARY KEY, binding TEXT NOT NULL, name TEXT NOT NULL, read_only INTEGER NOT NULL,
    created_at REAL NOT NULL, seen_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS failure (address TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS request (key TEXT PRIMARY KEY, request TEXT NOT NULL, asked TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (id TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS failure_address ON failure(address, at);
"""
_VERSION = 2  # 1: tokens without an end, no codes
_KEEP_REQUESTS = 7 * 86400.0
_KEEP_ENDED = 30 * 86400.0  # seconds that an expired token is still listed
_MOST_SESSIONS = 500
_CODE = "once_"  # what a login code begins with
_COLUMNS = "id, name, read_only, created_at, used_at, expires_at"


class TokenRow(Struct, frozen=True):
    """A token as it is listed; times in seconds since 1970. `expires_at`: when it ends; None: never by itself."""

    id: int
    name: str
    read_only: bool
    created_at: float
    used_at: float | None
    expires_at: float | None


class Store:
    """web.db. Opened anew for each use: cheap, and safe in threads and in the workers of a forking server."""

    def __init__(
        self,
        path: Path,
        make_folder: Callable[[], None],
        clock: Callable[[], float] = time.time,
        *,
        command: str = "gitdeploy web",
    ) -> None:
        self.path = path
        self.command = command  # what makes and revokes tokens
        self._make_folder = make_folder
        self._clock = clock

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            new = not self.path.exists()
            if new:
                self._make_folder()
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
            try:
                if new or connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
                    to_wal(connection)
                    _make_tables(connection)
                yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise DeploymentFailed(
                tr(
                    "{path}, which keeps the page's tokens and sessions, can't be used ({error}).",
                    path=path_text(str(self.path)),
                    error=error,
                ),
                tr(
                    "Run the page as the owner of {folder}; see that the disk is neither full nor read-only. "
                    "A damaged file can be deleted: `{command} token add NAME` then makes a new token.",
                    folder=path_text(str(self.path.parent)),
                    command=self.command,
                ),
            ) from error

    # ---- tokens ----

    def add_token(self, name: str, *, read_only: bool, lasts: float | None = None) -> str:
        """A new token, which is shown this once. lasts: seconds until it ends; None: until it is revoked. An expired one
        of the same name makes way. Raises `UsageError` for a name that is taken."""
        name = clean(name.strip(), limit=60)
        if not name:
            raise UsageError(tr("A token needs a name."), tr("Its name is shown beside everything that it does."))
        token = "gd_" + secrets.token_urlsafe(32)
        now = self._clock()
        with self._open() as connection, transaction(connection):
            _end_tokens(connection, "expires_at<? OR (name=? AND expires_at<=?)", (now - _KEEP_ENDED, name, now))
            try:
                _insert_token(connection, name, token, read_only, now, lasts)
            except sqlite3.IntegrityError as error:
                raise UsageError(
                    tr("There is a token `{name}` already.", name=name),
                    tr("Revoke it first: {command} token revoke {name}", command=self.command, name=name),
                ) from error
        return token

    def tokens(self) -> list[TokenRow]:
        """All tokens, oldest first, with those that expired lately."""
        with self._open() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM token ORDER BY id").fetchall()  # noqa: S608
        return [_token_row(row) for row in rows]

    def revoke_token(self, name: str) -> None:
        """End a token and every session that it opened. Raises `NotFound`."""
        with self._open() as connection, transaction(connection):
            if not _end_tokens(connection, "name=?", (name,)):
                raise NotFound(
                    tr("There is no token `{name}`.", name=clean(name, limit=60)),
                    tr("`{command} token list` shows them.", command=self.command),
                )

    def token(self, digest: str) -> TokenRow | None:
        """The token with this hash, unless it expired; its use is noted once a minute."""
        now = self._clock()
        with self._open() as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM token WHERE hash=?", (digest,)).fetchone()  # noqa: S608
            row = _token_row(found) if found is not None else None
            if row is None or _ended(row.expires_at, now):
                return None
            if row.used_at is None or now - row.used_at > 60:
                connection.execute("UPDATE token SET used_at=? WHERE id=?", (now, row.id))
        return row

    # ---- the first login ----

    def first_code(self, lasts: float) -> str | None:
        """A code for the first login, good once and for LASTS seconds; one made before ends. None where there is a token,
        or somebody came in by a code already: from then on tokens are made on the server."""
        code = _CODE + secrets.token_urlsafe(32)
        with self._open() as connection, transaction(connection):
            if connection.execute("SELECT 1 FROM token UNION SELECT 1 FROM code WHERE used_at IS NOT NULL").fetchone():
                return None
            connection.execute("DELETE FROM code")
            connection.execute("INSERT INTO code VALUES (?,?,NULL)", (_hash(code), self._clock() + lasts))
        return code

    def redeem(self, code: str) -> Proven | None:
        """The administrator whose CODE it is, once; None for a wrong, used or expired one.

        A token that nobody knows stands for the session in the list, until that session ends: revoking it ends both.
        """
        if not code.startswith(_CODE):
            return None
        now = self._clock()
        with self._open() as connection, transaction(connection):
            used = connection.execute(
                "UPDATE code SET used_at=? WHERE hash=? AND used_at IS NULL AND expires_at>?", (now, _hash(code), now)
            )
            if used.rowcount != 1:
                return None
            taken = {row[0] for row in connection.execute("SELECT name FROM token")}
            name = next(n for n in chain(["administrator"], map("administrator-{}".format, count(2))) if n not in taken)
            number = _insert_token(connection, name, secrets.token_urlsafe(32), False, now, LONGEST)
            connection.execute("UPDATE token SET used_at=? WHERE id=?", (now, number))
        return Proven(name, False, f"token:{number}")

    # ---- sessions ----

    def open_session(self, proven: Proven) -> str:
        """A new session; its id, which only the browser keeps."""
        session = secrets.token_urlsafe(32)
        now = self._clock()
        with self._open() as connection, transaction(connection):
            connection.execute("DELETE FROM session WHERE seen_at<? OR created_at<?", (now - IDLE, now - LONGEST))
            connection.execute(
                "DELETE FROM session WHERE hash IN (SELECT hash FROM session ORDER BY seen_at DESC LIMIT -1 OFFSET ?)",
                (_MOST_SESSIONS,),
            )
            connection.execute(
                "INSERT INTO session VALUES (?,?,?,?,?,?)",
                (_hash(session), proven.binding, proven.name, int(proven.read_only), now, now),
            )
        return session

    def session(self, session: str, environment_token: str | None, *, touch: bool = True) -> Access | None:
        """Whose SESSION it is; None where it ended, or its token did. TOUCH: it is used, so it lasts longer, and its token
        was used too."""
        now = self._clock()
        with self._open() as connection:
            row = connection.execute(
                "SELECT binding, session.name, session.read_only, session.created_at, seen_at, token.id, expires_at"
                " FROM session LEFT JOIN token ON binding = 'token:' || token.id WHERE session.hash=?",
                (_hash(session),),
            ).fetchone()
            if row is None or now - row[4] > IDLE or now - row[3] > LONGEST:
                return None
            binding, name, read_only, _, seen, token, expires = row
            if binding.startswith("token:"):
                alive = token is not None and not _ended(expires, now)
            else:
                alive = environment_token is not None and binding == environment_binding(environment_token)
            if not alive:
                return None
            if touch and now - seen > 60:
                connection.execute("UPDATE session SET seen_at=? WHERE hash=?", (now, _hash(session)))
                connection.execute("UPDATE token SET used_at=? WHERE id=?", (now, token))
        return Access(name, bool(read_only), "session", csrf_of(session))

    def close_session(self, session: str) -> None:
        """Log out."""
        with self._open() as connection:
            connection.execute("DELETE FROM session WHERE hash=?", (_hash(session),))

    # ---- wrong tries ----

    def count_failure(self, address: str, tries: int, within: float) -> float:
        """Count a wrong try of ADDRESS. Seconds until its next one is looked at, where it had TRIES within WITHIN seconds
        before; 0 where it had fewer. Counted and told in one step, however many ask at once."""
        now = self._clock()
        with self._open() as connection, transaction(connection):
            connection.execute("DELETE FROM failure WHERE at<?", (now - 3600,))
            rows = connection.execute(
                "SELECT at FROM failure WHERE address=? AND at>? ORDER BY at DESC LIMIT ?",
                (address, now - within, tries),
            ).fetchall()
            if len(rows) >= tries:
                return float(rows[-1][0]) + within - now
            connection.execute("INSERT INTO failure VALUES (?,?)", (address, now))
        return 0.0

    # ---- what must not happen twice ----

    def claim(self, key: str, request: str, asked: str) -> tuple[str, str]:
        """(request, asked) under the idempotency key KEY: these where the key is new, else those of the first time."""
        now = self._clock()
        with self._open() as connection, transaction(connection):
            connection.execute("DELETE FROM request WHERE at<?", (now - _KEEP_REQUESTS,))
            connection.execute("INSERT OR IGNORE INTO request VALUES (?,?,?,?)", (key, request, asked, now))
            found = connection.execute("SELECT request, asked FROM request WHERE key=?", (key,)).fetchone()
        return found[0], found[1]

    def forget_claim(self, key: str) -> None:
        """What was asked for never began: the key may be used again."""
        with self._open() as connection:
            connection.execute("DELETE FROM request WHERE key=?", (key,))

    def first_delivery(self, identity: str) -> bool:
        """Whether a webhook's delivery is new; a replayed one is not."""
        now = self._clock()
        with self._open() as connection, transaction(connection):
            connection.execute("DELETE FROM delivery WHERE at<?", (now - 30 * 86400,))
            return (
                connection.execute("INSERT OR IGNORE INTO delivery VALUES (?,?)", (_hash(identity), now)).rowcount == 1
            )


def csrf_of(session: str) -> str:
    """What a page of SESSION must send with each change. Made from the session's id, which no other site knows."""
    return hmac.new(session.encode("utf-8", "surrogateescape"), b"gitdeploy csrf", hashlib.sha256).hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _make_tables(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
            connection.execute("ALTER TABLE token ADD COLUMN expires_at REAL")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={_VERSION}")


def _insert_token(
    connection: sqlite3.Connection, name: str, token: str, read_only: bool, now: float, lasts: float | None
) -> int:
    """The new token's number. Raises sqlite3.IntegrityError for a name that is taken."""
    made = connection.execute(
        "INSERT INTO token(name, hash, read_only, created_at, expires_at) VALUES (?,?,?,?,?)",
        (name, _hash(token), int(read_only), now, now + lasts if lasts is not None else None),
    )
    return int(made.lastrowid or 0)


def _end_tokens(connection: sqlite3.Connection, which: str, values: tuple[str | float, ...]) -> int:
    """Delete the tokens that fulfil WHICH (SQL of this module), and their sessions; how many they were."""
    ended = connection.execute(f"SELECT id FROM token WHERE {which}", values).fetchall()  # noqa: S608
    for (number,) in ended:
        connection.execute("DELETE FROM session WHERE binding=?", (f"token:{number}",))
        connection.execute("DELETE FROM token WHERE id=?", (number,))
    return len(ended)


def _token_row(row: tuple[Any, ...]) -> TokenRow:
    number, name, read_only, created, used, expires = row
    return TokenRow(number, name, bool(read_only), created, used, expires)


def _ended(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now
