"""SQLite: dumped by its online backup API (safe while the app writes, WAL too), restored by rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from msgspec import Struct

from gitdeploy.databases.base import ABSENT, Dump, Written
from gitdeploy.databases.bookkeeping import DJANGO
from gitdeploy.databases.client import make_durable, private_file
from gitdeploy.databases.sqlite_compare import compare, count_rows
from gitdeploy.errors import ConfigError, DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, interruption, progress
from gitdeploy.system.reflink import copy_content
from gitdeploy.text import clean, path_text

_LARGEST_COUNTED = 256 << 20  # bytes of a file beyond which its rows are not counted
_PATIENCE = 30.0  # seconds that somebody may keep the database locked
_ONCE = 0.5  # seconds of them at a time: between two a signal is seen
_PART = 1024  # pages that are copied at once
_LOOK = 0.2  # seconds
_FLASK = "instance"  # Flask-SQLAlchemy looks for a relative path in there


class SQLite(Struct, frozen=True):
    """A database file, absolute."""

    path: Path
    name: str
    kind: str = "sqlite"

    @classmethod
    def from_url(cls, url: str, root: Path, _environment: Mapping[str, str]) -> SQLite:
        """`sqlite:///instance/app.db` is below ROOT, `sqlite:////var/lib/app.db` absolute (SQLAlchemy's form); a `file:`
        URI behind the slashes is SQLite's own. Raises `ConfigError` for one in memory.

        The name is the path below ROOT where it is there, whatever the spelling.
        """
        written = url.partition("://")[2].partition("?")[0].removeprefix("/")
        text = unquote(written)
        if text.startswith("file:"):
            text = text[5:]
            if text.startswith("//"):  # file://host/path: the host is empty or this one
                text = "/" + text[2:].partition("/")[2]
        if text in ("", ":memory:") or "mode=memory" in url.partition("?")[2]:
            raise ConfigError(
                tr(
                    "backup.databases: {url} is a database in memory: nothing of it can be dumped.",
                    url=clean(url, limit=60),
                ),
                tr("Name the file that the app uses, or remove that entry."),
            )
        if not (root / text).exists() and (root / written).exists():
            text = written  # a name with a % in it, as SQLAlchemy takes it
        path = root / text
        if not os.path.isabs(text) and not _holds_data(path) and _holds_data(root / _FLASK / text):
            path = root / _FLASK / text
        return cls(path, _name(path, root))

    @property
    def identity(self) -> str:
        """One file is one database, through links, bind mounts and every spelling of its name."""
        try:
            found = self.path.stat()
        except OSError:
            return f"sqlite {os.path.realpath(self.path)}"
        return f"sqlite {found.st_dev}:{found.st_ino}"

    def problems(self) -> list[tuple[str, str]]:
        if not self.path.is_file():
            return [
                (
                    tr("The database {name} does not exist.", name=self.name),
                    tr("Correct backup.databases in deploy.yaml."),
                )
            ]
        return []

    def warnings(self) -> list[str]:
        return []

    def size(self) -> int:
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def fingerprint(self) -> str:
        """Tables, columns, indexes as sqlite_master has them, and the migrations that frameworks have recorded."""
        if not self.path.is_file():
            return ABSENT
        digest = hashlib.sha256()
        try:
            with closing(_open(self.path, timeout=10)) as connection:
                rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
                digest.update(repr(rows).encode())
                names = {row[1] for row in rows}
                for table, column in (("alembic_version", "version_num"), ("django_migrations", "name")):
                    if table in names:
                        query = f"SELECT {column} FROM {table} ORDER BY 1"  # noqa: S608  # both names are ours
                        digest.update(repr(connection.execute(query).fetchall()).encode())
        except sqlite3.Error as error:
            return tr("unreadable: {error}", error=error)
        return digest.hexdigest()

    def recorded(self, table: str) -> frozenset[str] | None:
        columns = {DJANGO: "app || '.' || name"}.get(table, "version_num")
        try:
            with closing(_open(self.path, timeout=10)) as connection:
                if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                    return None
                quoted = table.replace('"', '""')
                rows = connection.execute(f'SELECT {columns} FROM "{quoted}"').fetchall()  # noqa: S608  # a name, quoted
        except sqlite3.Error as error:
            raise DeploymentFailed(
                tr("The database {name} can't be read: {error}.", name=self.name, error=error)
            ) from error
        return frozenset(str(row[0]) for row in rows)

    def rows(self) -> dict[str, int]:
        try:
            with closing(_open(self.path, timeout=5)) as connection:
                return count_rows(connection) if self.size() <= _LARGEST_COUNTED else {}
        except sqlite3.Error:
            return {}

    def written(self, folder: Path, dump: Dump, now: Path | None) -> Written:
        if now is None:
            return Written({}, told=False)
        return compare(folder / dump.file, now)

    def files(self) -> tuple[Path, ...]:
        """Under its own name, and where a link leads."""
        endings = ("", "-wal", "-shm", "-journal")
        beside = self.path.with_name(f".{self.path.name}.gitdeploy-new")  # of a restore that was killed
        real = Path(os.path.realpath(self.path))
        names = (self.path,) if real == self.path else (self.path, real)
        return (*(Path(f"{name}{ending}") for name in names for ending in endings), beside)

    def reader(self, dump: Path) -> str:
        return f"sqlite3 {shlex.quote(str(dump))}"

    def rescue(self, folder: Path) -> Path | None:
        copies = [shutil.copy2(file, folder / file.name) for file in self.files()[:-1] if file.is_file()]
        return Path(copies[0]) if copies else None

    def dump(self, folder: Path, on_line: Callable[[str], object]) -> Dump:
        begun, moment = time.monotonic(), datetime.now(UTC)
        if not self.path.is_file():
            raise DeploymentFailed(
                tr("The database {name} does not exist.", name=self.name),
                tr("Correct backup.databases in deploy.yaml."),
            )
        file = folder / f"{hashlib.sha256(str(self.path).encode()).hexdigest()[:12]}.sqlite3"
        fingerprint = self.fingerprint()
        private_file(file)
        try:
            with (
                closing(_open(self.path, timeout=_ONCE)) as source,
                closing(sqlite3.connect(file)) as target,
            ):
                copy_pages(source, target)
                target.execute("PRAGMA journal_mode=DELETE")
            with progress.of(tr("checking the dump of {name}", name=self.name), "bytes"):
                answer = _asked(file, "rw", "PRAGMA integrity_check(1)")
        except sqlite3.Error as error:
            raise DeploymentFailed(
                tr("The database {name} can't be dumped: {error}.", name=self.name, error=error)
            ) from error
        if answer != "ok":
            raise DeploymentFailed(
                tr("The dump of {name} is not whole: {answer}.", name=self.name, answer=answer),
                tr("The database itself may be damaged: PRAGMA integrity_check"),
            )
        make_durable(file)
        faultpoints.point("database dumped")
        return Dump(
            self.name,
            self.kind,
            file.name,
            file.stat().st_size,
            time.monotonic() - begun,
            fingerprint,
            at=moment.isoformat(timespec="seconds"),
            path=os.path.realpath(self.path),
        )

    def tidy(self) -> None:
        path = Path(os.path.realpath(self.path))
        path.with_name(f".{path.name}.gitdeploy-new").unlink(missing_ok=True)

    def restore(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        """A copy beside the database, proved whole, then renamed over it; the old -wal and -shm belong to the old file.

        Where the database is a symbolic link, the file that it leads to is replaced and the link stays.
        """
        path = Path(os.path.realpath(self.path))
        beside = path.with_name(f".{path.name}.gitdeploy-new")
        try:
            with open(folder / dump.file, "rb") as source, open(private_file(beside), "r+b") as copy:
                with progress.of(tr("restoring {name}", name=self.name), "bytes", dump.size):
                    copy_content(source, copy)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if os.geteuid() == 0:
                        os.fchown(copy.fileno(), found.st_uid, found.st_gid)
                    os.fchmod(copy.fileno(), found.st_mode & 0o7777)
                copy.flush()
                os.fsync(copy.fileno())
            with progress.of(tr("checking the dump of {name}", name=self.name), "bytes"):
                if _asked(beside, "ro&immutable=1", "PRAGMA quick_check(1)") != "ok":
                    raise DeploymentFailed(
                        tr("The dump of {name} is damaged; the database was left as it is.", name=self.name)
                    )
            _empty_log(path)
            for ending in ("-wal", "-shm", "-journal"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            faultpoints.point("database beside")
            try:
                os.rename(beside, path)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                _write_over(beside, path)  # the file itself is a mount point
            faultpoints.point("database restored")
            make_durable(path)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise DeploymentFailed(
                tr("The database {name} can't be restored: {error}.", name=self.name, error=reason)
            ) from error
        finally:
            beside.unlink(missing_ok=True)


def _open(path: Path, *, timeout: float) -> sqlite3.Connection:
    """To read from. Not read-only: a transaction that a crash cut off (a hot journal) has first to be rolled back, as the
    app would do when it opens the file next. Never makes a database."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=timeout)


def copy_pages(source: sqlite3.Connection, target: sqlite3.Connection, *, patience: float = _PATIENCE) -> None:
    """SOURCE as it is at one moment, into TARGET, in parts: a signal ends it between two. PATIENCE: seconds that somebody may
    keep it locked before it begins. Raises `sqlite3.Error`."""
    end = time.monotonic() + patience
    while True:
        interruption.check()
        try:
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM sqlite_master").fetchone()
            break  # from here to the end what is written meanwhile is not in it
        except sqlite3.OperationalError as error:
            source.rollback()
            if "locked" not in str(error) or time.monotonic() >= end:
                raise
    size = source.execute("PRAGMA page_size").fetchone()[0]

    def copied(_status: int, remaining: int, total: int) -> None:
        interruption.check()
        progress.at((total - remaining) * size, total * size, "bytes")

    source.backup(target, pages=_PART, progress=copied)


def _asked(path: Path, mode: str, question: str) -> str:
    """The first answer of the database PATH to QUESTION, which may take long: it is asked in a thread, so that a signal
    needn't wait for it. Raises `sqlite3.Error`."""
    found: list[str | Exception] = []

    def ask() -> None:
        try:
            with closing(sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)) as connection:
                found.append(connection.execute(question).fetchone()[0])
        except Exception as error:  # noqa: BLE001  # raised below, where somebody hears of it
            found.append(error)

    asking = threading.Thread(target=ask, daemon=True, name="sqlite")
    asking.start()
    while asking.is_alive():
        asking.join(_LOOK)
        progress.tick(0)
        interruption.check()
    (answer,) = found
    if isinstance(answer, Exception):
        raise answer
    return answer


def _holds_data(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _name(path: Path, root: Path) -> str:
    """Below ROOT where it is there, also where ROOT or the way to it is a link."""
    plain = os.path.normpath(path)
    for top, full in ((os.path.normpath(root), plain), (os.path.realpath(root), os.path.realpath(plain))):
        if full.startswith(top + "/"):
            return path_text(full[len(top) + 1 :])
    return path_text(plain)


def _write_over(source: Path, path: Path) -> None:
    """The content of SOURCE into the very file PATH, in one transaction."""
    with closing(sqlite3.connect(source)) as fresh, closing(sqlite3.connect(path, timeout=30)) as live:
        fresh.backup(live)


def _empty_log(path: Path) -> None:
    """What stands in -wal goes into the database itself, and what -journal has to undo is undone, so that removing both
    loses nothing should the rename fail; left beside the new file, SQLite would apply them to it."""
    if Path(f"{path}-wal").exists() or Path(f"{path}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=5)) as connection:
            connection.execute("PRAGMA schema_version").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
