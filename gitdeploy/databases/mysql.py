"""MySQL and MariaDB: dumped by mysqldump in one transaction, restored into a new schema whose tables take the place of
the old ones by one RENAME TABLE.

A table that carries a trigger can't be renamed into another schema, and views, routines and events can't be renamed at
all: they are dumped to files of their own and made anew after the tables have been swapped.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from gitdeploy.databases import mysql_sql as sql
from gitdeploy.databases.address import Address
from gitdeploy.databases.base import Dump, Written
from gitdeploy.databases.bookkeeping import DJANGO, is_bookkeeping
from gitdeploy.databases.client import DUMP_LIMIT, Client, failure, make_durable, private_file, require
from gitdeploy.errors import CommandFailed, DeploymentFailed, GitDeployError
from gitdeploy.messages import joined, tr
from gitdeploy.system import faultpoints, progress
from gitdeploy.system.environment import which
from gitdeploy.text import duration_text, listing, path_text

OnLine = Callable[[str], object]
_TABLES, _CODE, _VIEWS = "tables.sql", "code.sql", "views.sql"
_END = b"-- Dump completed"  # the last line that mysqldump writes
_PACKAGE = "mariadb-client (or default-mysql-client)"
_LARGEST_COUNTED = 256 << 20  # bytes of a schema beyond which its rows are not counted
# Seconds that a statement waits for a transaction that has a table open; the server's own limit is a day.
_PATIENCE = "--init-command=SET SESSION lock_wait_timeout = 60"


class MySQL(Struct, frozen=True):
    """A schema of a MySQL or MariaDB server."""

    address: Address
    client: Client
    name: str
    kind: str = "mysql"

    @classmethod
    def from_url(cls, url: str, root: Path, _environment: Mapping[str, str]) -> MySQL:
        address = Address.parse(url)
        return cls(address, Client.of(root), address.shown("mysql"))

    @property
    def identity(self) -> str:
        return self.address.identity("mysql", "3306")

    # ---- looking ----

    def problems(self) -> list[tuple[str, str]]:
        try:
            with self.session() as session:
                session.ask("SELECT 1")
                session.program("mariadb-dump", "mysqldump")
        except GitDeployError as error:
            return [(error.message, error.hint or tr("Correct backup.databases in deploy.yaml, or start the server."))]
        return []

    def warnings(self) -> list[str]:
        with self.session() as session:
            found = session.names(sql.NOT_TRANSACTIONAL)
            may = session.ask(sql.MAY_CREATE.format(schema=sql.inside(self._beside("new"))))
        said = []
        if found:
            said.append(
                tr(
                    "{name}: {found} can't be dumped in the same moment as the others: the engine has no "
                    "transactions. Make them InnoDB, or stop the app meanwhile (service.stop_for_switch).",
                    name=self.name,
                    found=listing(found, 5),
                )
            )
        if may == "0":
            pattern = sql.identifier(self.address.database.replace("_", "\\_") + "\\_gitdeploy\\_%")
            said.append(
                tr(
                    "{name}: its account may not make the schema that a dump is restored into. An "
                    "administrator types: GRANT ALL ON {pattern}.* TO its account",
                    name=self.name,
                    pattern=pattern,
                )
            )
        return said

    def size(self) -> int:
        with self.session() as session:
            return int(float(session.ask(sql.SIZE) or 0))

    def fingerprint(self) -> str:
        with self.session() as session:
            return hashlib.sha256(session.ask(sql.FINGERPRINT).encode("utf-8", "surrogateescape")).hexdigest()

    def _beside(self, word: str) -> str:
        """A name beside the schema's own; at most 64 characters."""
        return f"{self.address.database[:45]}_gitdeploy_{word}"

    def recorded(self, table: str) -> frozenset[str] | None:
        columns = "CONCAT(app, '.', name)" if table == DJANGO else "version_num"
        with self.session() as session:
            if table not in session.names(sql.TABLES):
                return None
            return frozenset(session.ask(f"SELECT {columns} FROM {sql.identifier(table)}").splitlines())  # noqa: S608

    def counters(self) -> dict[str, int]:
        """The rows of each table; empty where counting them would take long."""
        with suppress(GitDeployError, ValueError), self.session() as session:
            tables = session.names(sql.TABLES)
            if tables and float(session.ask(sql.SIZE) or 0) <= _LARGEST_COUNTED:
                answer = session.ask("; ".join(f"SELECT COUNT(*) FROM {sql.identifier(name)}" for name in tables))  # noqa: S608
                return {name: int(number) for name, number in zip(tables, answer.splitlines(), strict=True)}
        return {}

    def rows(self) -> dict[str, int]:
        return {name: number for name, number in self.counters().items() if not is_bookkeeping(name)}

    def written(self, folder: Path, dump: Dump, now: Path | None) -> Written:
        """By the rows that there are; rows that were only changed show in the time at which their table was last written."""
        found = self.counters()
        if not dump.counters or not found:
            return Written({}, told=False)
        told = dump.counters.keys() <= found.keys()
        tables = {
            name: abs(number - dump.counters.get(name, 0))
            for name, number in found.items()
            if number != dump.counters.get(name, 0) and not is_bookkeeping(name)
        }
        try:
            since = int(datetime.fromisoformat(dump.at).timestamp())
            with self.session() as session:
                touched = session.names(sql.WRITTEN_SINCE, since=str(since))
            told = told and all(name in tables or is_bookkeeping(name) for name in touched)
        except (GitDeployError, ValueError):
            told = False
        return Written(tables, told)

    def files(self) -> tuple[Path, ...]:
        return ()

    def reader(self, dump: Path) -> str:
        return f"mysql AN_EMPTY_DATABASE < {shlex.quote(str(dump / _TABLES))}"

    def rescue(self, folder: Path) -> Path | None:
        return None

    # ---- dump ----

    def dump(self, folder: Path, on_line: OnLine) -> Dump:
        begun, moment, counters = time.monotonic(), datetime.now(UTC), self.counters()
        place = folder / f"{hashlib.sha256(self.name.encode()).hexdigest()[:12]}.mysql"
        with suppress(FileNotFoundError):
            shutil.rmtree(place)
        place.mkdir(mode=0o700)
        fingerprint = self.fingerprint()
        with self.session() as session:
            views = session.names(sql.VIEWS)
            without = [f"--ignore-table={self.address.database}.{view}" for view in views]
            session.dump([*without, "--skip-triggers"], place / _TABLES, on_line)
            session.dump_code(place, views, on_line)
        for name in (_TABLES, _CODE, _VIEWS):
            _prove(place / name, self.name)
            make_durable(place / name)
        make_durable(place)
        size = sum(file.stat().st_size for file in place.iterdir())
        faultpoints.point("database dumped")
        return Dump(
            self.name,
            self.kind,
            place.name,
            size,
            time.monotonic() - begun,
            fingerprint,
            at=moment.isoformat(timespec="seconds"),
            counters=counters,
        )

    # ---- restore ----

    def restore(self, folder: Path, dump: Dump, on_line: OnLine) -> None:
        begun = time.monotonic()
        place = folder / dump.file
        files = self.files_of(folder, dump)
        new, old = self._beside("new"), self._beside("old")
        with self.session() as session:
            try:
                session.make(new)
                session.make(old)
            except CommandFailed as error:
                pattern = sql.identifier(self.address.database.replace("_", "\\_") + "\\_gitdeploy\\_%")
                raise CommandFailed(
                    tr("{message} (It was left as it is.)", message=error.message),
                    tr(
                        "A dump is restored into a new schema first. An administrator types: GRANT ALL ON "
                        "{pattern}.* TO its account. Then try again.",
                        pattern=pattern,
                    ),
                ) from error
            try:
                for file in files:  # the last two as a trial: they are made again after the swap
                    session.load(file, new)
                session.drop_code(new)
                faultpoints.point("database beside")
                self._swap(session, place, new, old, on_line)
            except CommandFailed:
                session.drop(new)  # an event in it would go on running
                raise
            faultpoints.point("database restored")
            session.drop(new)
            session.drop(old)
        on_line(
            tr(
                "{name}: restored into a new schema and swapped in, {monotonic}",
                name=self.name,
                monotonic=duration_text(time.monotonic() - begun),
            )
        )

    def files_of(self, folder: Path, dump: Dump) -> list[Path]:
        """The files of DUMP in FOLDER, in the order in which they are loaded. Raises `DeploymentFailed` where one isn't whole."""
        files = [folder / dump.file / name for name in (_TABLES, _CODE, _VIEWS)]
        for file in files:
            _prove(file, self.name)
        return files

    def tidy(self) -> None:
        with self.session() as session:
            session.drop(self._beside("new"))
            session.drop(self._beside("old"))

    def _swap(self, session: Session, place: Path, new: str, old: str, on_line: OnLine) -> None:
        live = self.address.database
        present = place / "present"
        with suppress(FileNotFoundError):
            shutil.rmtree(present)
        present.mkdir(mode=0o700)
        try:
            session.dump_code(present, session.names(sql.VIEWS), on_line)
            moves = [
                f"{sql.identifier(source)}.{sql.identifier(table)} TO {sql.identifier(target)}.{sql.identifier(table)}"
                for source, target in ((live, old), (new, live))
                for table in session.names(sql.TABLES, source)
            ]
            try:
                session.drop_code(live)
                faultpoints.point("database bare")
                if moves:
                    session.do(f"RENAME TABLE {', '.join(moves)}")
            except CommandFailed:
                for name in (_CODE, _VIEWS):  # whatever of it had not been dropped yet is there already
                    session.load(present / name, live, force=True)
                raise
            faultpoints.point("database swapped")
            session.load(place / _CODE, live)
            session.load(place / _VIEWS, live)
        finally:
            shutil.rmtree(present)

    # ---- the server ----

    @contextmanager
    def session(self) -> Iterator[Session]:
        """What every program is told first; the password is in a file as long as this lasts."""
        address, options = self.address, self.address.options
        socket = options.get("unix_socket") or (address.host if address.host.startswith("/") else "")
        words = [
            f"--{name}={value}"
            for name, value in (
                ("user", address.user),
                ("socket", socket),
                ("host", "" if socket else address.host),
                ("port", "" if socket else address.port),
                ("protocol", "tcp" if address.port and not socket else ""),
                ("ssl-ca", options.get("ssl_ca", "")),
                ("ssl-cert", options.get("ssl_cert", "")),
                ("ssl-key", options.get("ssl_key", "")),
            )
            if value
        ]
        words += ["--default-character-set=utf8mb4"]
        settings = "[mysql]\nconnect-timeout=15\n[client]\n"
        if address.password:
            escaped = address.password.replace("\\", "\\\\").replace('"', '\\"')
            settings += f'password="{escaped}"\n'
        # With a password of its own nothing else is read; without one it may be in the owner's ~/.my.cnf.
        option = "--defaults-file" if address.password else "--defaults-extra-file"
        with self.client.handed_file(settings) as file:
            yield Session(self, (f"{option}={file}", *words))


class Session(Struct, frozen=True):
    """One stretch of work with the server."""

    database: MySQL
    words: Sequence[str]

    def program(self, *names: str) -> str:
        found = next((path for name in names if (path := which(name))), None)
        return require(found, joined(" or ", names), _PACKAGE)

    def ask(self, question: str) -> str:
        """The answer to one or several statements. Raises `CommandFailed`."""
        return self._mysql(question, self.database.address.database, writes=False)

    def names(self, question: str, schema: str | None = None, **values: str) -> list[str]:
        shown = sql.inside(schema or self.database.address.database)
        return self.ask(question.format(schema=shown, **values)).splitlines()

    def do(self, statements: str) -> None:
        self._mysql(statements, self.database.address.database, writes=True)

    def _mysql(self, text: str, schema: str, *, writes: bool) -> str:
        program = self.program("mariadb", "mysql")
        words = [program, *self.words, _PATIENCE, "--batch", "--raw", "--skip-column-names", f"--database={schema}"]
        limit = DUMP_LIMIT if writes else 120.0
        env: Mapping[str, str] = {}
        done = self.database.client.run(words, env, stdin=text.encode(), writes=writes, timeout=limit)
        if not done.ok:
            raise failure(done, tr("The database {database} can't be used", database=self.database.name))
        return done.text

    def make(self, schema: str) -> None:
        """An empty SCHEMA with the character set of the live one."""
        name = sql.identifier(schema)
        self.do(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} {self.ask(sql.CHARACTER_SET)}")

    def end_connections(self, schema: str) -> None:
        """End whatever is connected to SCHEMA, with what the server still does for it."""
        for number in self.names(sql.CONNECTIONS, schema):
            with suppress(CommandFailed):  # it has ended meanwhile, or is somebody's whom this account may not end
                self.do(f"KILL {int(number)}")

    def drop(self, schema: str) -> None:
        self.do(f"DROP DATABASE IF EXISTS {sql.identifier(schema)}")

    def load(self, file: Path, schema: str, *, force: bool = False) -> None:
        """Run the statements of FILE in SCHEMA. FORCE: those that fail are passed over."""
        words = [self.program("mariadb", "mysql"), *self.words, _PATIENCE, "--batch", f"--database={schema}"]
        words += ["--force"] if force else []
        with progress.of(tr("restoring {name}", name=self.database.name), "bytes", file.stat().st_size):
            done = self.database.client.run(words, {}, out_of=file, writes=True, timeout=DUMP_LIMIT)
        if not done.ok and not force:
            raise failure(
                done,
                tr("The dump of {database} can't be loaded into {schema}", database=self.database.name, schema=schema),
                tr("The dump: {file}", file=path_text(str(file))),
            )

    def dump(self, options: Sequence[str], file: Path, on_line: OnLine, names: Sequence[str] = ()) -> None:
        program = self.program("mariadb-dump", "mysqldump")
        version = self.database.client.run([program, "--version"], {}).text
        # Of MySQL's own: a dump that carried the server's transaction ids could not be loaded beside.
        own = [] if "MariaDB" in version else ["--set-gtid-purged=OFF", "--column-statistics=0"]
        words = [
            program, *self.words, "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces", *own, *options,
            "--", self.database.address.database, *names,
        ]  # fmt: skip
        done = self.database.client.run(words, {}, into=private_file(file), timeout=DUMP_LIMIT, on_line=on_line)
        if not done.ok:
            hint = (
                tr(
                    "Routines of other accounts: GRANT SELECT ON mysql.proc (MariaDB) or GRANT SHOW_ROUTINE ON *.* (MySQL)."
                )
                if "SHOW CREATE" in done.error_text
                else ""
            )
            raise failure(done, tr("The database {database} can't be dumped", database=self.database.name), hint)

    def dump_code(self, place: Path, views: Sequence[str], on_line: OnLine) -> None:
        """Triggers, routines and events to one file, views to another. What there is none of isn't asked for: it may
        need rights that the account doesn't have."""
        without = [f"--ignore-table={self.database.address.database}.{view}" for view in views]
        routines = [name for kind in ("PROCEDURE", "FUNCTION") for name in self.names(sql.ROUTINES, kind=kind)]
        options = [
            "--no-data",
            "--no-create-info",
            "--triggers" if self.names(sql.TRIGGERS) else "--skip-triggers",
            *(["--routines"] if routines else []),
            *(["--events"] if self.names(sql.EVENTS) else []),
        ]
        self.dump([*options, *without], place / _CODE, on_line)
        if views:
            self.dump(["--no-data", "--skip-triggers"], place / _VIEWS, on_line, views)
        else:
            private_file(place / _VIEWS).write_bytes(_END + b"\n")

    def drop_code(self, schema: str) -> None:
        """Whatever `dump_code` dumps."""
        where = sql.identifier(schema)
        found = [
            *(("TRIGGER", name) for name in self.names(sql.TRIGGERS, schema)),
            *(("VIEW", name) for name in self.names(sql.VIEWS, schema)),
            *(("EVENT", name) for name in self.names(sql.EVENTS, schema)),
            *(("PROCEDURE", name) for name in self.names(sql.ROUTINES, schema, kind="PROCEDURE")),
            *(("FUNCTION", name) for name in self.names(sql.ROUTINES, schema, kind="FUNCTION")),
        ]
        if found:
            self.do("; ".join((f"DROP {kind} IF EXISTS {where}.{sql.identifier(name)}" for kind, name in found)))


def _prove(file: Path, name: str) -> None:
    """The dump is whole: its last line is there. Raises `DeploymentFailed`."""
    try:
        with open(file, "rb") as opened:
            opened.seek(max(0, file.stat().st_size - 4096))
            if _END in opened.read():
                return
            problem = tr("its end is missing")
    except OSError as error:
        problem = os.strerror(error.errno or 0)
    raise DeploymentFailed(
        tr("The dump of {name} is damaged: {problem}.", name=name, problem=problem),
        tr("It is {file}", file=path_text(str(file))),
    )
