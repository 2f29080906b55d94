"""A scratch copy of a SQLite file: at the same path in a copy of the checkout, or in a folder of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from gitdeploy.databases.address import Address
from gitdeploy.databases.base import Dump
from gitdeploy.databases.sqlite import SQLite
from gitdeploy.errors import GitDeployError
from gitdeploy.system.inside import require_inside


class SQLiteScratch(Struct, frozen=True):
    """`path` is where the copy of LIVE is, in the rehearsal's own folder `place`; `root`: the checkout, which relative paths are
    in."""

    live: SQLite
    path: Path
    root: Path
    place: Path

    @classmethod
    def of(cls, live: SQLite, ending: str, place: Path, root: Path, copy: Path) -> SQLiteScratch:
        inside = os.path.relpath(os.path.normpath(live.path), os.path.normpath(root))
        if inside.startswith("../"):
            own = hashlib.sha256(os.fsencode(live.path)).hexdigest()[:8]  # two may have the same name
            return cls(live, place / "databases" / ending / own / live.path.name, root, place)
        return cls(live, copy / inside, root, place)

    @property
    def database(self) -> SQLite:
        return SQLite(self.path, self.live.name)

    @property
    def bare(self) -> str:
        return str(self.path)

    @property
    def server(self) -> Address | None:
        return None

    def sockets(self) -> list[str]:
        return []

    def problem(self) -> tuple[str, str] | None:
        return None

    def room(self) -> tuple[Path | None, int]:
        return self.path.parent, self.live.size()

    def make(self, folder: Path, dump: Dump, on_line: Callable[[str], object]) -> None:
        require_inside(self.path, self.place)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.drop()
        self.database.restore(folder, dump, on_line)
        os.chmod(self.path, 0o600)

    def locks(self) -> list[tuple[str, bool]] | None:
        return None

    def drop(self) -> None:
        require_inside(self.path, self.place)
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)

    def told(self, variable: str, value: str, host: str | None) -> str | None:
        scheme, found, _ = value.partition("://")
        if found and scheme.partition("+")[0].lower() == "sqlite":
            try:
                said = SQLite.from_url(value, self.root, {})
            except GitDeployError:
                return None
            options = value.partition("?")[2]
            changed = f"{scheme}:////{quote(str(self.path).lstrip('/'))}" + (f"?{options}" if options else "")
            return changed if said.identity == self.live.identity else None
        if found or not value.startswith("/"):
            return None
        same = os.path.exists(value) and SQLite(Path(value), "").identity == self.live.identity
        return str(self.path) if same else None
