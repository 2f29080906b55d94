"""PostgreSQL: dumped by pg_dump in its custom format, restored into a new database that takes the old one's name.

Where the role may not create a database, it is restored in place, in one transaction: that loses nothing either when it
fails, but the tables are locked meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from gitdeploy.databases import postgresql_sql as sql
from gitdeploy.databases.address import Address
from gitdeploy.databases.base import Dump, Written
from gitdeploy.databases.bookkeeping import DJANGO, by_counters, is_bookkeeping
from gitdeploy.databases.client import DUMP_LIMIT, Client, failure, make_durable, private_file, require
from gitdeploy.errors import CommandFailed, DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, interruption, progress
from gitdeploy.system.environment import which
from gitdeploy.text import duration_text, path_text

OnLine = Callable[[str], object]
_FOLDERS = ("/usr/lib/postgresql", "/usr/local/lib/postgresql")  # Debian's: one folder a version
_PACKAGE = "postgresql-client"
# libpq's variables for what may stand behind the URL's `?` (libpq, Environment Variables); drivers' own are left out.
_OPTIONS = {
    name: f"PG{name.replace('_', '').upper()}"
    for name in (
        "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "service", "options",
        "target_session_attrs", "gssencmode", "krbsrvname", "hostaddr", "requiressl",
    )
}  # fmt: skip
_FALLBACKS = ("PGHOST", "PGPORT", "PGUSER", "PGSERVICE", "PGSSLMODE", "PGPASSFILE")
_MAINTENANCE = ("postgres", "template1")  # databases to be connected to while the app's own gets another name
_SWAP_TRIES = 4
_OWN_ENTRIES = re.compile(r"\d+; \d+ \d+ (?:DATABASE|DATABASE PROPERTIES|ACL - DATABASE) ")
# What a role that owns the app's tables can neither drop nor make anew.
_NOT_OURS = re.compile(r"\d+; \d+ \d+ (?:EXTENSION - |COMMENT - EXTENSION |COMMENT - SCHEMA |PROCEDURAL LANGUAGE )")
_SCHEMA_ENTRY = re.compile(r"\d+; \d+ \d+ SCHEMA - (.+) \S+")
_NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
_OWN_STATEMENT = re.compile(
    rf"((?:CREATE|ALTER) DATABASE |(?:GRANT|REVOKE) .+? ON DATABASE |ALTER ROLE .+? IN DATABASE ){_NAME}(.*)"
)


class PostgreSQL(Struct, frozen=True):
    """A database of a PostgreSQL server. `told`: libpq's variables in the app's own environment."""

    address: Address
    client: Client
    told: Mapping[str, str]
    name: str
    kind: str = "postgresql"

    @classmethod
    def from_url(cls, url: str, root: Path, environment: Mapping[str, str]) -> PostgreSQL:
        address = Address.parse(url)
        told = {name: environment[name] for name in (*_FALLBACKS, "PGPASSWORD") if environment.get(name)}
        return cls(address, Client.of(root), told, address.shown("postgresql"))

    @property
    def identity(self) -> str:
        return self.address.identity("postgresql", "5432")

    # ---- looking ----

    def problems(self) -> list[tuple[str, str]]:
        try:
            with self.session() as session:
                version = session.server_version()
                found = session.program("pg_dump", version)
                if _major(found) and _major(found) < version:
                    return [
                        (
                            tr(
                                "{name}: its server is PostgreSQL {version}, and {found} is older and can't dump it.",
                                name=self.name,
                                version=version,
                                found=found,
                            ),
                            tr(
                                "On Debian and Ubuntu: apt-get install {package}-{version}",
                                package=_PACKAGE,
                                version=version,
                            ),
                        )
                    ]
        except GitDeployError as error:
            return [(error.message, error.hint or tr("Correct backup.databases in deploy.yaml, or start the server."))]
        return []

    def warnings(self) -> list[str]:
        return []

    def size(self) -> int:
        with self.session() as session:
            return int(session.ask(sql.SIZE) or 0)

    def fingerprint(self) -> str:
        with self.session() as session:
            return hashlib.sha256(session.ask(sql.FINGERPRINT).encode("utf-8", "surrogateescape")).hexdigest()

    def recorded(self, table: str) -> frozenset[str] | None:
        columns = "app || '.' || name" if table == DJANGO else "version_num"
        with self.session() as session:
            places = session.ask(sql.TABLES_NAMED.format(name=sql.literal(table))).splitlines()
            rows = [session.ask(f"SELECT {columns} FROM {place}") for place in places]  # noqa: S608  # the server's own name
        return frozenset(line for text in rows for line in text.splitlines()) if places else None

    def counters(self) -> dict[str, int]:
        """Rows written into each table until now, as the server counts them, by the table's number and name (another table
        may have its name later); empty where it doesn't count."""
        with suppress(GitDeployError), self.session() as session:
            lines = session.ask(sql.COUNTERS).splitlines()
            return {table: int(number) for number, _, table in (line.partition("|") for line in lines)}
        return {}

    def rows(self) -> dict[str, int]:
        with suppress(GitDeployError), self.session() as session:
            lines = (line.partition("|") for line in session.ask(sql.ROWS).splitlines())
            return {name: int(number) for number, _, name in lines if not is_bookkeeping(name)}
        return {}

    def written(self, folder: Path, dump: Dump, now: Path | None) -> Written:
        found = self.counters()
        if not dump.counters or not found:
            return Written({}, told=False)
        counted = by_counters(dump.counters, found)
        told = False  # a server that goes away before it answers has not said that it counted everything
        with suppress(GitDeployError), self.session() as session:
            told = counted.told and session.ask(sql.UNCOUNTED) == "0"
        return Written(counted.tables, told)

    def files(self) -> tuple[Path, ...]:
        return ()

    def reader(self, dump: Path) -> str:
        return f"pg_restore --dbname=AN_EMPTY_DATABASE {shlex.quote(str(dump))}"

    def rescue(self, folder: Path) -> Path | None:
        return None

    # ---- dump ----

    def dump(self, folder: Path, on_line: OnLine) -> Dump:
        begun, moment, counters = time.monotonic(), datetime.now(UTC), self.counters()
        file = private_file(folder / f"{hashlib.sha256(self.name.encode()).hexdigest()[:12]}.pgdump")
        fingerprint = self.fingerprint()
        with self.session() as session:
            program = session.program("pg_dump", session.server_version())
            words = [program, "--format=custom", "--no-password", "--lock-wait-timeout=60s"]
            done = self.client.run(words, session.env, into=file, timeout=DUMP_LIMIT, on_line=on_line)
            if not done.ok:
                raise failure(done, tr("The database {name} can't be dumped", name=self.name), _hint(done.error_text))
            session.prove(file)
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
            counters=counters,
        )

    # ---- restore ----

    def restore(self, folder: Path, dump: Dump, on_line: OnLine) -> None:
        file = folder / dump.file
        with self.session() as session:
            session.prove(file)
            beside = session.beside()
            if beside is not None:
                try:
                    self._restore_beside(session, beside, file, on_line)
                    return
                except CommandFailed as error:
                    session.drop(beside, f"{self._short}_gitdeploy_new")
                    on_line(tr("Not restored into a new database ({message})", message=error.message))
            self._restore_in_place(session, file, on_line)

    def tidy(self) -> None:
        with self.session() as session:
            if (beside := session.beside()) is not None:
                session.drop(beside, f"{self._short}_gitdeploy_new")
                session.drop(beside, f"{self._short}_gitdeploy_old")

    @property
    def _short(self) -> str:
        """The beginning of names beside the database's own: an identifier has 63 bytes."""
        return self.address.database.encode()[:45].decode(errors="ignore")

    def _restore_beside(self, session: Session, maintenance: str, file: Path, on_line: OnLine) -> None:
        new, old = f"{self._short}_gitdeploy_new", f"{self._short}_gitdeploy_old"
        session.drop(maintenance, new)
        session.drop(maintenance, old)
        begun = time.monotonic()
        for statement in session.own_statements(file, new):
            session.do(maintenance, statement)
        faultpoints.point("database made")
        session.load(file, new, on_line)
        faultpoints.point("database beside")
        session.swap(maintenance, new, old)
        faultpoints.point("database restored")
        session.drop(maintenance, old)
        on_line(
            tr(
                "{name}: restored into a new database and swapped in, {monotonic}",
                name=self.name,
                monotonic=duration_text(time.monotonic() - begun),
            )
        )

    def _restore_in_place(self, session: Session, file: Path, on_line: OnLine) -> None:
        begun = time.monotonic()
        script = private_file(file.with_name(f".{file.name}.sql"))
        try:
            session.write_script(file, script)
            words = [session.program("psql"), *_PSQL, "--set=ON_ERROR_STOP=1", "--file=-"]
            with progress.of(tr("restoring {name}", name=self.name), "bytes", script.stat().st_size):
                done = self.client.run(words, session.env, out_of=script, writes=True, timeout=DUMP_LIMIT)
        finally:
            script.unlink(missing_ok=True)
        if not done.ok:
            raise failure(
                done,
                tr("The database {name} can't be restored and was left as it is", name=self.name),
                tr("Its role may need CREATEDB, or more rights on what others own in it. The dump: {file}", file=file),
            )
        faultpoints.point("database restored")
        session.do(self.address.database, "ANALYZE")
        on_line(
            tr(
                "{name}: restored in place in one transaction, {monotonic}",
                name=self.name,
                monotonic=duration_text(time.monotonic() - begun),
            )
        )

    # ---- the server ----

    @contextmanager
    def session(self) -> Iterator[Session]:
        """The environment in which libpq's programs find the server; the password is in a file as long as this lasts."""
        address = self.address
        env = {name: value for name, value in self.told.items() if name != "PGPASSWORD"}
        env |= {
            variable: address.options[option] for option, variable in _OPTIONS.items() if address.options.get(option)
        }
        env |= {
            name: value
            for name, value in (("PGHOST", address.host), ("PGPORT", address.port), ("PGUSER", address.user))
            if value
        }
        env |= {
            "PGDATABASE": address.database,
            "PGCONNECT_TIMEOUT": "15",
            "PGAPPNAME": "gitdeploy",
            "PGCLIENTENCODING": "UTF8",
            "PGTZ": "UTC",
        }
        password = address.password or self.told.get("PGPASSWORD", "")
        if not password:
            yield Session(self, env)
            return
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        with self.client.handed_file(f"*:*:*:*:{escaped}\n") as file:
            yield Session(self, {**env, "PGPASSFILE": str(file)})


_PSQL = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password")


class Session(Struct, frozen=True):
    """One stretch of work with the server."""

    database: PostgreSQL
    env: Mapping[str, str]

    def program(self, name: str, version: int = 0) -> str:
        """NAME of the server's own VERSION, else the next newer, else the newest that is installed.

        An older pg_dump refuses a newer server, and a newer pg_restore may say what an older one does not know.
        """
        found: dict[int, str] = {}
        for folder in _FOLDERS:
            with suppress(OSError):
                for each in os.listdir(folder):
                    path = f"{folder}/{each}/bin/{name}"
                    if each.isdigit() and os.access(path, os.X_OK):
                        found[int(each)] = path
        if not found:
            return require(which(name), name, _PACKAGE)
        enough = [each for each in sorted(found) if each >= version] if version else []
        return found[enough[0] if enough else max(found)]

    def server_version(self) -> int:
        return int(self.ask("SHOW server_version_num")) // 10000

    def ask(self, question: str, database: str | None = None) -> str:
        """The answer to one or several statements. Raises `CommandFailed`."""
        return self._psql(question, database, writes=False)

    def do(self, database: str, statement: str) -> None:
        self._psql(statement, database, writes=True)

    def _psql(self, text: str, database: str | None, *, writes: bool) -> str:
        words = [self.program("psql"), *_PSQL, "--set=ON_ERROR_STOP=1", "--command", text]
        env = {**self.env, "PGDATABASE": database} if database else self.env
        limit = DUMP_LIMIT if writes else 120.0
        done = self.database.client.run(words, env, writes=writes, timeout=limit)
        if not done.ok:
            raise failure(
                done, tr("The database {database} can't be used", database=self.database.name), _hint(done.error_text)
            )
        return done.text

    def prove(self, file: Path) -> None:
        """Read the whole dump: its list alone is at the beginning of the file. Raises `DeploymentFailed`."""
        words = [self.program("pg_restore"), "--file=/dev/null"]
        what = tr("reading the dump of {database} again", database=self.database.name)
        with progress.of(what, "bytes", file.stat().st_size):
            done = self.database.client.run(words, self.env, out_of=file, timeout=DUMP_LIMIT)
        if not done.ok:
            raise DeploymentFailed(
                tr(
                    "The dump of {database} is damaged: {error_text}.",
                    database=self.database.name,
                    error_text=(done.error_text.splitlines() or [done.ending])[-1],
                ),
                tr("It is {file}", file=path_text(str(file))),
            )

    def beside(self) -> str | None:
        """The database from which a new one can be made and swapped in; None where that is not possible."""
        for maintenance in _MAINTENANCE:
            with suppress(CommandFailed):
                if maintenance != self.database.address.database:
                    name = sql.literal(self.database.address.database)
                    return maintenance if self.ask(sql.MAY_SWAP.format(name=name), maintenance) == "t" else None
        return None

    def drop(self, maintenance: str, name: str) -> None:
        self.do(maintenance, f"DROP DATABASE IF EXISTS {sql.identifier(name)}")

    def own_statements(self, file: Path, name: str) -> list[str]:
        """CREATE DATABASE with encoding and locale, its settings and rights, as the dump has them, for NAME."""
        listed = self._restore_text(file, "--create", "--list")
        lines = [line for line in listed.splitlines() if _OWN_ENTRIES.match(line)]
        with self.database.client.handed_file("\n".join(lines) + "\n") as wanted:
            text = self._restore_text(file, "--create", f"--use-list={wanted}", "--file=-")
        found = [_OWN_STATEMENT.fullmatch(line) for line in text.splitlines()]
        return [f"{each[1]}{sql.identifier(name)}{each[3]}" for each in found if each]

    def _restore_text(self, file: Path, *options: str) -> str:
        done = self.database.client.run([self.program("pg_restore"), *options], self.env, out_of=file)
        if not done.ok:
            raise failure(done, tr("The dump of {database} can't be read", database=self.database.name))
        return done.text

    def swap(self, maintenance: str, new: str, old: str) -> None:
        """The new database gets the name, in one transaction. Connections to the old one are ended; all statements go
        to the server at once, so that it does them all even where this process dies meanwhile."""
        live, new, old = (sql.identifier(name) for name in (self.database.address.database, new, old))
        allow = f"ALTER DATABASE {live} ALLOW_CONNECTIONS"
        statements = sql.SWAP.format(
            allow=allow, name=sql.literal(self.database.address.database), live=live, new=new, old=old
        )
        for attempt in range(_SWAP_TRIES):
            try:
                self.do(maintenance, statements)
                return
            except CommandFailed:
                self.do(maintenance, f"{allow} true")
                if attempt == _SWAP_TRIES - 1:
                    raise
                interruption.sleep(0.5)

    def load(self, file: Path, database: str, on_line: OnLine, *options: str) -> None:
        """The dump FILE into DATABASE, which is empty. Raises `CommandFailed`."""
        wanted = ["--exit-on-error", "--no-password", f"--dbname={_conninfo(database)}", *options]
        words = [self.program("pg_restore"), *wanted]
        client, name = self.database.client, self.database.name
        with progress.of(tr("restoring {name}", name=name), "bytes", file.stat().st_size):
            done = client.run(words, self.env, out_of=file, writes=True, timeout=DUMP_LIMIT, on_line=on_line)
        if not done.ok:
            raise failure(done, tr("The dump of {name} can't be restored", name=name))
        self.do(database, "ANALYZE")

    def write_script(self, file: Path, script: Path) -> None:
        """What empties the database and fills it from the dump, as one transaction."""
        there = set(self.ask("SELECT nspname FROM pg_namespace").splitlines())
        entries = []
        for line in self._restore_text(file, "--list").splitlines():
            schema = _SCHEMA_ENTRY.fullmatch(line)
            if not _NOT_OURS.match(line) and not (schema and schema[1] in there):
                entries.append(line)
        client = self.database.client
        with client.handed_file("\n".join(entries) + "\n") as wanted, client.handed_file(sql.EMPTY) as first:
            restore = [self.program("pg_restore"), "--single-transaction", f"--use-list={wanted}", "--file=-"]
            words = ["/bin/sh", "-c", 'cat "$1" && shift && exec "$@"', "sh", str(first), *restore]
            done = client.run(words, self.env, out_of=file, into=script, timeout=DUMP_LIMIT)
        if not done.ok:
            raise failure(done, tr("The dump of {database} can't be read", database=self.database.name))
        make_durable(script)


def _major(program: str) -> int:
    """The version in a Debian path; 0 where it is not known."""
    found = re.search(r"/(\d+)/bin/", program)
    return int(found[1]) if found else 0


def _conninfo(database: str) -> str:
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def _hint(said: str) -> str:
    if "lock" in said and "timeout" in said:
        return tr("Something holds a lock on a table: a long transaction, another migration. Try again later.")
    if "password" in said or "authentication" in said:
        return tr("See that the URL has the right user and password, or that ~/.pgpass has.")
    return ""
