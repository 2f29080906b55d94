"""A scratch database at a PostgreSQL server: made as the dump says the live one was, by the app's own role."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.databases import postgresql_sql as sql
from gitdeploy.databases.address import Address, led_to
from gitdeploy.databases.base import Dump
from gitdeploy.databases.postgresql import PostgreSQL
from gitdeploy.databases.scratch import names_a_database, scratch_name, sockets_there, words_of_server
from gitdeploy.errors import CommandFailed, GitDeployError
from gitdeploy.messages import tr

_DATA = Path("/var/lib/postgresql")  # Debian's
_USUAL_PORT = "5432"
_SOCKET_FOLDERS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108  # where libpq looks


class PostgreSQLScratch(Struct, frozen=True):
    """`bare` is the name of the database that is made at the server of LIVE."""

    live: PostgreSQL
    bare: str

    @classmethod
    def of(cls, live: PostgreSQL, ending: str, _place: Path, _root: Path, _copy: Path) -> PostgreSQLScratch:
        return cls(live, scratch_name(live.address.database, ending))

    @property
    def database(self) -> PostgreSQL:
        options = {name: value for name, value in self.live.address.options.items() if name != "dbname"}
        address = replace(self.live.address, database=self.bare, options=options)
        return replace(self.live, address=address, name=address.shown("postgresql"))

    @property
    def server(self) -> Address | None:
        address = self.live.address
        host = address.host or self.live.told.get("PGHOST", "")
        if not host or "/" in host:
            return None
        return replace(address, host=host, port=address.port or self.live.told.get("PGPORT", "") or _USUAL_PORT)

    def sockets(self) -> list[str]:
        address = self.live.address
        port = address.port or self.live.told.get("PGPORT", "") or _USUAL_PORT
        named = [each for each in (address.host, self.live.told.get("PGHOST", "")) if each.startswith("/")]
        return sockets_there(f"{folder}/.s.PGSQL.{port}" for folder in (*named, *_SOCKET_FOLDERS))

    def problem(self) -> tuple[str, str] | None:
        with self.live.session() as session:
            if session.ask(sql.MAY_CREATE) == "t":
                return None
            user = session.ask("SELECT current_user")
        return (
            tr("{name}: the role {user} may not create a scratch database.", name=self.live.name, user=user),
            tr("An administrator of the server types: ALTER ROLE {user} CREATEDB", user=sql.identifier(user)),
        )

    def room(self) -> tuple[Path | None, int]:
        with self.live.session() as session:
            return self._data_folder(), int(session.ask(sql.WHOLE_SIZE))

    def _data_folder(self) -> Path | None:
        """Where the server keeps everything: as its process was told (`-D`, as Debian and systemd's units do), since an app's
        role may not ask for it; else Debian's."""
        if self.server is not None and not self.server.on_loopback:
            return None
        for path in self.sockets():
            words = words_of_server(path)
            for word, following in pairwise(words):
                if word == "-D":
                    return Path(following)
        return _DATA

    def make(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        file = folder / dump.file
        try:
            self._make(file, on_line)
        except CommandFailed as error:
            if "owner" not in error.message and "permission denied" not in error.message:
                raise
            # Of what others own a copy can only be its role's.
            self._make(file, on_line, "--no-owner", "--no-privileges")
            on_line(
                tr(
                    "{name}: its role owns everything in the scratch database, so rights are not rehearsed ({message})",
                    name=self.live.name,
                    message=error.message,
                )
            )

    def _make(self, file: Path, on_line: Callable[[str], object], *options: str) -> None:
        here = self.live.address.database
        self.drop()
        with self.live.session() as session:
            create, *others = session.own_statements(file, self.bare)
            session.do(here, create)
            for statement in others:
                try:
                    session.do(here, statement)
                except CommandFailed as error:
                    on_line(tr("{message} ({statement})", message=error.message, statement=statement))
            session.load(file, self.bare, on_line, *options)

    def locks(self) -> list[tuple[str, bool]] | None:
        with self.live.session() as session:
            lines = session.ask(sql.LOCKS, self.bare).splitlines()
        return [(table, reads == "t") for reads, _, table in (line.partition("|") for line in lines)]

    def drop(self) -> None:
        here = self.live.address.database
        with self.live.session() as session:
            session.ask(sql.END_CONNECTIONS.format(name=sql.literal(self.bare)), here)
            session.drop(here, self.bare)

    def told(self, variable: str, value: str, host: str | None) -> str | None:
        scheme, found, _ = value.partition("://")
        if not found:
            named = names_a_database(variable) and "SCHEMA" not in variable.upper()  # that is something in it
            return self.bare if named and value == self.live.address.database else None
        if scheme.partition("+")[0].lower() not in ("postgresql", "postgres", "postgis"):
            return None
        try:
            said = Address.parse(value)
        except GitDeployError:
            return None
        port = self.live.told.get("PGPORT", "") or _USUAL_PORT
        if said.identity("postgresql", port) != self.live.address.identity("postgresql", port):
            return None
        return led_to(value, self.bare, host)
