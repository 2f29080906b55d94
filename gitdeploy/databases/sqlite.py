"""SQLite: dumped by its online backup API (safe while the app writes, WAL too), restored by rename."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from msgspec import Struct

from gitdeploy import faultpoints
from gitdeploy.databases.base import ABSENT, Dump
from gitdeploy.databases.client import make_durable, private_file
from gitdeploy.errors import DeploymentFailed
from gitdeploy.text import path_text


class SQLite(Struct, frozen=True):
    """A database file, absolute."""

    path: Path
    name: str
    kind: str = "sqlite"

    @classmethod
    def from_url(cls, url: str, root: Path) -> SQLite:
        """`sqlite:///instance/app.db` is below ROOT, `sqlite:////var/lib/app.db` absolute (SQLAlchemy's form)."""
        path = unquote(url.partition("://")[2].partition("?")[0]).removeprefix("/")
        return cls(root / path, path_text(path))

    def problems(self) -> list[tuple[str, str]]:
        if not self.path.is_file():
            return [(f"The database {self.name} does not exist.", "Correct backup.databases in deploy.yaml.")]
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
            return f"unreadable: {error}"
        return digest.hexdigest()

    def files(self) -> tuple[Path, ...]:
        beside = self.path.with_name(f".{self.path.name}.gitdeploy-new")  # of a restore that was killed
        return (*(Path(f"{self.path}{ending}") for ending in ("", "-wal", "-shm", "-journal")), beside)

    def reader(self, dump: Path) -> str:
        return f"sqlite3 {shlex.quote(str(dump))}"

    def rescue(self, folder: Path) -> Path | None:
        copies = [shutil.copy2(file, folder / file.name) for file in self.files()[:-1] if file.is_file()]
        return Path(copies[0]) if copies else None

    def dump(self, folder: Path, on_line: Callable[[str], None]) -> Dump:
        begun = time.monotonic()
        if not self.path.is_file():
            raise DeploymentFailed(
                f"The database {self.name} does not exist.", "Correct backup.databases in deploy.yaml."
            )
        file = folder / f"{hashlib.sha256(str(self.path).encode()).hexdigest()[:12]}.sqlite3"
        fingerprint = self.fingerprint()
        private_file(file)
        try:
            with (
                closing(_open(self.path, timeout=30)) as source,
                closing(sqlite3.connect(file)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
                answer = target.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise DeploymentFailed(f"The database {self.name} can't be dumped: {error}.") from error
        if answer != "ok":
            raise DeploymentFailed(
                f"The dump of {self.name} is not whole: {answer}.",
                "The database itself may be damaged: PRAGMA integrity_check",
            )
        make_durable(file)
        faultpoints.point("database dumped")
        return Dump(self.name, self.kind, file.name, file.stat().st_size, time.monotonic() - begun, fingerprint)

    def tidy(self) -> None:
        path = Path(os.path.realpath(self.path))
        path.with_name(f".{path.name}.gitdeploy-new").unlink(missing_ok=True)

    def restore(self, folder: Path, dump: Dump, on_line: Callable[[str], None]) -> None:
        """A copy beside the database, proved whole, then renamed over it; the old -wal and -shm belong to the old file.

        Where the database is a symbolic link, the file that it leads to is replaced and the link stays.
        """
        path = Path(os.path.realpath(self.path))
        beside = path.with_name(f".{path.name}.gitdeploy-new")
        try:
            with open(folder / dump.file, "rb") as source, open(private_file(beside), "r+b") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if os.geteuid() == 0:
                        os.fchown(copy.fileno(), found.st_uid, found.st_gid)
                    os.fchmod(copy.fileno(), found.st_mode & 0o7777)
                copy.flush()
                os.fsync(copy.fileno())
            with closing(sqlite3.connect(f"file:{quote(str(beside))}?mode=ro&immutable=1", uri=True)) as connection:
                if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise DeploymentFailed(f"The dump of {self.name} is damaged; the database was left as it is.")
            _empty_log(path)
            for ending in ("-wal", "-shm", "-journal"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            faultpoints.point("database beside")
            os.rename(beside, path)
            faultpoints.point("database restored")
            make_durable(path)
        except (OSError, sqlite3.Error) as error:
            raise DeploymentFailed(f"The database {self.name} can't be restored: {error}.") from error
        finally:
            beside.unlink(missing_ok=True)


def _open(path: Path, *, timeout: float) -> sqlite3.Connection:
    """To read from. Not read-only: a transaction that a crash cut off (a hot journal) has first to be rolled back, as the
    app would do when it opens the file next. Never makes a database."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=timeout)


def _empty_log(path: Path) -> None:
    """What stands in -wal goes into the database itself, and what -journal has to undo is undone, so that removing both
    loses nothing should the rename fail; left beside the new file, SQLite would apply them to it."""
    if Path(f"{path}-wal").exists() or Path(f"{path}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=5)) as connection:
            connection.execute("PRAGMA schema_version").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
