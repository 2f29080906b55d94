"""Scratch databases: one beside each of the app's, made from a dump of it, for a release to be tried on. One file a kind."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Protocol

from gitdeploy.databases.address import Address
from gitdeploy.databases.base import Database, Dump

_KINDS = {
    "sqlite": "sqlite_scratch:SQLiteScratch",
    "postgresql": "postgresql_scratch:PostgreSQLScratch",
    "mysql": "mysql_scratch:MySQLScratch",
}  # imported only where an app has one
_LONGEST = 45  # bytes of the live name in a scratch database's: PostgreSQL's names have 63, MySQL's 64
# Variables whose value may be the bare name of a database.
_NAMES_ONE = re.compile(
    r"(?i)(?:.*_)?(?:DB|DATABASE|DBNAME|PGDATABASE|SCHEMA)(?:_(?:NAME|DATABASE|DB|SCHEMA)|NAME)?(?:_\w+)?"
)
# Such that are called so, and have the name of something else of it: most often the role is called as its database is.
_NAMES_ANOTHER = re.compile(
    r"(?i).*_(?:USER|USER_?NAME|ROLE|OWNER|LOGIN|ADMIN|HOST|HOST_?NAME|SERVER|SOCKET|PORT|PASS|PASSWD|PASSWORD|PWD|ENGINE|DRIVER"
    r"|BACKEND|ADAPTER|DIALECT|TYPE|ALIAS|PREFIX|TABLE)(?:_\d+)?"
)


class Scratch(Protocol):
    """The scratch database of a live one. Nothing of it ever touches the live one but to read its facts."""

    @property
    def database(self) -> Database:
        """The scratch database itself, to be asked."""
        ...

    @property
    def bare(self) -> str:
        """Its name at its server, or its path."""
        ...

    @property
    def server(self) -> Address | None:
        """The server that is to be reached by TCP; None for a file, and for a server's socket on this machine."""
        ...

    def sockets(self) -> list[str]:
        """Sockets on this machine by which its server is reached, or may be: those that are there."""
        ...

    def problem(self) -> tuple[str, str] | None:
        """(message, hint) of why it can't be made; None where it can. Raises `GitDeployError`."""
        ...

    def room(self) -> tuple[Path | None, int]:
        """The folder on whose disk it will be, None where that is another machine's (it needn't be there), and about how many
        bytes. Raises `GitDeployError`."""
        ...

    def make(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        """Make it anew from DUMP, one of the live database in FOLDER. Raises `GitDeployError`."""
        ...

    def locks(self) -> list[tuple[str, bool]] | None:
        """Tables that somebody has locked just now, and whether reads wait for it too; None where the database doesn't say.
        Raises `GitDeployError`."""
        ...

    def drop(self) -> None:
        """Remove it, also where somebody is connected to it or it isn't there. Raises `GitDeployError`."""
        ...

    def told(self, variable: str, value: str, host: str | None) -> str | None:
        """VALUE of the environment's VARIABLE as it is for an app that is to use the scratch database: of a URL, a path or a
        name that means the live one. None where it means something else. HOST: where its server is reached instead."""
        ...


def scratch_of(database: Database, ending: str, place: Path, root: Path, copy: Path) -> Scratch:
    """The scratch database of DATABASE. ENDING: of its name. A file in the checkout ROOT has it at the same path in COPY, any
    other one below the folder PLACE."""
    module, _, name = _KINDS[database.kind].partition(":")
    made: Scratch = getattr(import_module(f"gitdeploy.databases.{module}"), name).of(
        database, ending, place, root, copy
    )
    return made


def sockets_there(paths: Iterable[str]) -> list[str]:
    """Those of PATHS that are sockets, without links, each once."""
    found: dict[str, None] = {}
    for path in paths:
        with suppress(OSError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                found[os.path.realpath(path)] = None
    return list(found)


def words_of_server(path: str) -> list[str]:
    """What the process was started as that listens on the socket PATH; nothing where that can't be told."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        asking.connect(path)
        pid = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    return []


def scratch_name(live: str, ending: str) -> str:
    """`shop_gitdeploy_r12`; of a long name its beginning and a hash, as another may begin so, too."""
    whole = live.encode()
    if len(whole) > _LONGEST:
        live = f"{whole[: _LONGEST - 9].decode(errors='ignore')}_{hashlib.sha256(whole).hexdigest()[:8]}"
    return f"{live}_gitdeploy_{ending}"


def names_a_database(variable: str) -> bool:
    """Whether the value of VARIABLE may be the bare name of a database: `DB_NAME`, `POSTGRES_DB`, `PGDATABASE`."""
    return _NAMES_ONE.fullmatch(variable) is not None and _NAMES_ANOTHER.fullmatch(variable) is None
