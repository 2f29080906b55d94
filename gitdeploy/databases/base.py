"""What every kind of database can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import asdict

ABSENT = "absent"  # the fingerprint of a database that is not there


class Dump(Struct, frozen=True):
    """A dump in a backup: `file` (or folder) below its folder, `size` in bytes, `duration` in seconds, the schema's
    fingerprint.

    at: when it was begun (ISO 8601), empty in a dump of an older gitdeploy. path: the real path of a database that is a
    file. counters: by table what `Database.counters` said then.
    """

    name: str
    kind: str
    file: str
    size: int
    duration: float
    fingerprint: str
    at: str = ""
    path: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Dump:
        return cls(**values)


class Written(Struct, frozen=True):
    """What was written into a database since it was dumped: rows by table that are new, changed or gone. `told`: False
    where there may be more than `tables` says."""

    tables: Mapping[str, int]
    told: bool

    @property
    def nothing(self) -> bool:
        """Surely nothing."""
        return self.told and not self.tables


class Database(Protocol):
    """One database of the app. `name` is shown and holds no password."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def identity(self) -> str:
        """The same for two settings that lead to one database, however they are spelled."""
        ...

    def problems(self) -> list[tuple[str, str]]:
        """(message, hint) of what speaks against dumping it: asked before anything live is touched."""
        ...

    def warnings(self) -> list[str]:
        """Sentences about what a dump or a restore can't do as well as it should."""
        ...

    def size(self) -> int:
        """Bytes that a dump of it may take, for the check of free space. Raises `GitDeployError`."""
        ...

    def fingerprint(self) -> str:
        """A hash of the schema and of the migrations that frameworks have recorded. Raises `GitDeployError`."""
        ...

    def recorded(self, table: str) -> frozenset[str] | None:
        """The migrations that TABLE keeps (`django_migrations`, `alembic_version`): `shop.0002_names`, or revisions. None
        where there is no such table. Raises `GitDeployError`."""
        ...

    def rows(self) -> Mapping[str, int]:
        """The rows of each table, as far as they are counted in no time (PostgreSQL's own estimate); empty where not."""
        ...

    def written(self, folder: Path, dump: Dump, now: Path | None) -> Written:
        """What was written since DUMP, which is in FOLDER, was made, as far as that is cheap to tell; asked before DUMP
        takes the place of what is there. now: a dump of what is there. Never raises."""
        ...

    def files(self) -> tuple[Path, ...]:
        """Files of this machine that it consists of and that nobody but its own programs may copy, there or not."""
        ...

    def reader(self, dump: Path) -> str:
        """The command by which a person looks into a dump of it, or loads it elsewhere."""
        ...

    def rescue(self, folder: Path) -> Path | None:
        """A raw copy in FOLDER of what can't be dumped; None for a kind that has no files here."""
        ...

    def dump(self, folder: Path, on_line: Callable[[str], object]) -> Dump:
        """Dump into FOLDER, proved readable. Raises `GitDeployError`."""
        ...

    def restore(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        """Bring DUMP back: beside first, then swapped in. May be repeated. Raises `GitDeployError`."""
        ...

    def tidy(self) -> None:
        """Remove what a killed restore left beside the database. Raises `GitDeployError`."""
        ...
