"""web.db in the state directory: hashes of tokens, sessions, wrong tries, and what must not happen twice.

A file of its own (mode 0600), so that logins never stand in the way of a deployment's journal. No token and no session id
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
from pathlib import Path
from typing import Any

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed, NotFound, UsageError
from gitdeploy.messages import tr
from gitdeploy.state.sqlite import to_wal
from gitdeploy.text import clean, path_text
from gitdeploy.web.access.access import IDLE, LONGEST, Access, Proven, environment_binding

_TABLES = tr(
    "\nCREATE TABLE IF NOT EXISTS token (\n    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL UNIQUE,\n    read_only INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL\n);\nCREATE TABLE IF NOT EXISTS session (\n    hash TEXT PRIMARY KEY, binding TEXT NOT NULL, name TEXT NOT NULL, read_only INTEGER NOT NULL,\n    created_at REAL NOT NULL, seen_at REAL NOT NULL\n);\nCREATE TABLE IF NOT EXISTS failure (address TEXT NOT NULL, at REAL NOT NULL);\nCREATE TABLE IF NOT EXISTS request (key TEXT PRIMARY KEY, request TEXT NOT NULL, asked TEXT NOT NULL, at REAL NOT NULL);\nCREATE TABLE IF NOT EXISTS delivery (id TEXT PRIMARY KEY, at REAL NOT NULL);\nCREATE INDEX IF NOT EXISTS failure_address ON failure(address, at);\n"
)
_KEEP_REQUESTS = 7 * 86400.0
_MOST_SESSIONS = 500


class TokenRow(Struct, frozen=True):
    """A token as it is listed; times in seconds since 1970."""

    id: int
    name: str
    read_only: bool
    created_at: float
    used_at: float | None


class Store:
    """web.db. Opened anew for each use: cheap, and safe in threads and in the workers of a forking server."""

    def __init__(self, path: Path, make_folder: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self.path = path
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
                if new or not connection.execute("PRAGMA user_version").fetchone()[0]:
                    to_wal(connection)
                    connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version=1;COMMIT;")
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
                    "Run the page as the owner of the checkout; see that the disk is neither full nor read-only. "
                    "A damaged file can be deleted: `gitdeploy web token add NAME` then makes a new token."
                ),
            ) from error

    # ---- tokens ----

    def add_token(self, name: str, *, read_only: bool) -> str:
        """A new token, which is shown this once. Raises `UsageError` for a name that is taken."""
        name = clean(name.strip(), limit=60)
        if not name:
            raise UsageError(tr("A token needs a name."), tr("Its name is shown beside everything that it does."))
        token = "gd_" + secrets.token_urlsafe(32)
        with self._open() as connection:
            try:
                connection.execute(
                    "INSERT INTO token(name, hash, read_only, created_at) VALUES (?,?,?,?)",
                    (name, _hash(token), int(read_only), self._clock()),
                )
            except sqlite3.IntegrityError as error:
                raise UsageError(
                    tr("There is a token `{name}` already.", name=name),
                    tr("Revoke it first: gitdeploy web token revoke {name}", name=name),
                ) from error
        return token

    def tokens(self) -> list[TokenRow]:
        """All tokens, oldest first."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, name, read_only, created_at, used_at FROM token ORDER BY id"
            ).fetchall()
        return [TokenRow(number, name, bool(only), created, used) for number, name, only, created, used in rows]

    def revoke_token(self, name: str) -> None:
        """End a token and every session that it opened. Raises `NotFound`."""
        with self._open() as connection, _transaction(connection):
            row = connection.execute("SELECT id FROM token WHERE name=?", (name,)).fetchone()
            if row is None:
                raise NotFound(
                    tr("There is no token `{name}`.", name=clean(name, limit=60)),
                    tr("`gitdeploy web token list` shows them."),
                )
            connection.execute("DELETE FROM session WHERE binding=?", (f"token:{row[0]}",))
            connection.execute("DELETE FROM token WHERE id=?", (row[0],))

    def token(self, digest: str) -> TokenRow | None:
        """The token with this hash; its use is noted once a minute."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT id, name, read_only, created_at, used_at FROM token WHERE hash=?", (digest,)
            ).fetchone()
            if row is None:
                return None
            now = self._clock()
            if row[4] is None or now - row[4] > 60:
                connection.execute("UPDATE token SET used_at=? WHERE id=?", (now, row[0]))
        return TokenRow(row[0], row[1], bool(row[2]), row[3], row[4])

    # ---- sessions ----

    def open_session(self, proven: Proven) -> str:
        """A new session; its id, which only the browser keeps."""
        session = secrets.token_urlsafe(32)
        now = self._clock()
        with self._open() as connection, _transaction(connection):
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
        """Whose SESSION it is; None where it ended, or its token did. TOUCH: it is used, so it lasts longer."""
        now = self._clock()
        with self._open() as connection:
            row = connection.execute(
                "SELECT binding, name, read_only, created_at, seen_at FROM session WHERE hash=?", (_hash(session),)
            ).fetchone()
            if row is None or now - row[4] > IDLE or now - row[3] > LONGEST:
                return None
            binding, name, read_only, _, seen = row
            if binding.startswith("environment:") and (
                environment_token is None or binding != environment_binding(environment_token)
            ):
                return None
            if touch and now - seen > 60:
                connection.execute("UPDATE session SET seen_at=? WHERE hash=?", (now, _hash(session)))
        return Access(name, bool(read_only), "session", csrf_of(session))

    def close_session(self, session: str) -> None:
        """Log out."""
        with self._open() as connection:
            connection.execute("DELETE FROM session WHERE hash=?", (_hash(session),))

    # ---- wrong tries ----

    def locked_out(self, address: str, tries: int, within: float) -> float:
        """Seconds until ADDRESS may try again; 0 where it may now."""
        now = self._clock()
        with self._open() as connection:
            rows = connection.execute(
                "SELECT at FROM failure WHERE address=? AND at>? ORDER BY at DESC LIMIT ?",
                (address, now - within, tries),
            ).fetchall()
        return float(rows[-1][0]) + within - now if len(rows) >= tries else 0.0

    def count_failure(self, address: str) -> None:
        at = self._clock()
        with self._open() as connection, _transaction(connection):
            connection.execute("DELETE FROM failure WHERE at<?", (at - 3600,))
            connection.execute("INSERT INTO failure VALUES (?,?)", (address, at))

    # ---- what must not happen twice ----

    def claim(self, key: str, request: str, asked: str) -> tuple[str, str]:
        """(request, asked) under the idempotency key KEY: these where the key is new, else those of the first time."""
        now = self._clock()
        with self._open() as connection, _transaction(connection):
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
        with self._open() as connection, _transaction(connection):
            connection.execute("DELETE FROM delivery WHERE at<?", (now - 30 * 86400,))
            return (
                connection.execute("INSERT OR IGNORE INTO delivery VALUES (?,?)", (_hash(identity), now)).rowcount == 1
            )


def csrf_of(session: str) -> str:
    """What a page of SESSION must send with each change. Made from the session's id, which no other site knows."""
    return hmac.new(session.encode("utf-8", "surrogateescape"), b"gitdeploy csrf", hashlib.sha256).hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Any]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
