"""A scratch schema at a MySQL or MariaDB server, made by the app's own account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.databases import mysql_sql as sql
from gitdeploy.databases.address import Address, led_to
from gitdeploy.databases.base import Dump
from gitdeploy.databases.mysql import MySQL
from gitdeploy.databases.scratch import names_a_database, scratch_name, sockets_there
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr

_USUAL_PORT = "3306"
_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108  # where its clients look


class MySQLScratch(Struct, frozen=True):
    """`bare` is the name of the schema that is made at the server of LIVE."""

    live: MySQL
    bare: str

    @classmethod
    def of(cls, live: MySQL, ending: str, _place: Path, _root: Path, _copy: Path) -> MySQLScratch:
        return cls(live, scratch_name(live.address.database, ending))

    @property
    def database(self) -> MySQL:
        options = {name: value for name, value in self.live.address.options.items() if name != "dbname"}
        address = replace(self.live.address, database=self.bare, options=options)
        return replace(self.live, address=address, name=address.shown("mysql"))

    @property
    def server(self) -> Address | None:
        address = self.live.address
        # To the client's programs and drivers localhost without a port is the server's socket.
        if address.on_a_socket or not address.host or (address.host == "localhost" and not address.port):
            return None
        return replace(address, port=address.port or _USUAL_PORT)

    def sockets(self) -> list[str]:
        address = self.live.address
        named = [each for each in (address.options.get("unix_socket", ""), address.host) if each.startswith("/")]
        return sockets_there((*named, *_SOCKETS))

    def problem(self) -> tuple[str, str] | None:
        with self.live.session() as session:
            if session.ask(sql.MAY_CREATE.format(schema=sql.inside(self.bare))) != "0":
                return None
        pattern = sql.identifier(self.live.address.database.replace("_", "\\_") + "\\_gitdeploy\\_%")
        return (
            tr("{name}: its account may not create a scratch schema.", name=self.live.name),
            tr("An administrator of the server types: GRANT ALL ON {pattern}.* TO its account", pattern=pattern),
        )

    def room(self) -> tuple[Path | None, int]:
        near = self.server is None or self.server.on_loopback
        with self.live.session() as session:
            folder = Path(session.ask(sql.DATA_FOLDER)) if near else None
            return folder, int(float(session.ask(sql.WHOLE_SIZE) or 0))

    def make(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        with self.live.session() as session:
            session.make(self.bare)
            for file in self.live.files_of(folder, dump):
                session.load(file, self.bare)
            events = session.names(sql.EVENTS, self.bare)
            if events:  # they would run by themselves
                where = sql.identifier(self.bare)
                session.do("; ".join(f"DROP EVENT IF EXISTS {where}.{sql.identifier(name)}" for name in events))

    def locks(self) -> list[tuple[str, bool]] | None:
        return None

    def drop(self) -> None:
        with self.live.session() as session:
            session.end_connections(self.bare)
            session.drop(self.bare)

    def told(self, variable: str, value: str, host: str | None) -> str | None:
        scheme, found, _ = value.partition("://")
        if not found:
            return self.bare if value == self.live.address.database and names_a_database(variable) else None
        if scheme.partition("+")[0].lower() not in ("mysql", "mariadb", "mysql2"):
            return None
        try:
            said = Address.parse(value)
        except GitDeployError:
            return None
        if said.identity("mysql", _USUAL_PORT) != self.live.identity:
            return None
        return led_to(value, self.bare, host)
