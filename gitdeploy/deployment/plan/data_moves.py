"""What `--with-data` would replace: each database and path, what it holds now, what it would hold, where the present goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from gitdeploy.backups import encrypted
from gitdeploy.backups.copying import content_size
from gitdeploy.backups.places import INCLUDED, KEPT
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.changes import Problem
from gitdeploy.databases import Database, Dump, database_of, open_databases
from gitdeploy.deployment.plan.data_release import data_name, fits
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import joined, tr, without_stop
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.keeping import database_files
from gitdeploy.site.site import Site
from gitdeploy.text import count, duration_text, listing, moment_text, path_text, size_text
from gitdeploy.upkeep.encrypting import cannot_open


class Move(Struct, frozen=True):
    """One database or path. `now`: what it holds, in words; `at`: when what it would hold was saved (ISO 8601)."""

    name: str
    kind: str
    now: str
    at: str
    size: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of an entry of `data` in JSON."""
        return asdict(self)

    @property
    def text(self) -> str:
        """A line for people."""
        age = _age(self.at)
        return tr(
            "{name} holds {now} now, and goes back to {at}{age} ({size})",
            name=path_text(self.name),
            now=self.now,
            at=moment_text(self.at),
            age=age,
            size=size_text(self.size),
        )


def data_moves(
    site: Site, backup: Backup, identity: Path | None = None
) -> tuple[tuple[Move, ...], tuple[Problem, ...], tuple[str, ...]]:
    """(what would be replaced, what speaks against it, what else is to be said). IDENTITY: with what the backup is decrypted.
    Changes nothing."""
    try:
        databases = open_databases(site.config.backup.databases, site.root, app_environment(site))
    except GitDeployError as error:
        return (), (Problem(error.message, error.hint),), ()
    moves, problems = [], []
    for dump in map(Dump.from_dict, backup.dumps):
        database = database_of(dump, databases)
        if database is None:
            problems.append(_unmatched(dump, backup, databases))
        else:
            at = dump.at or backup.saved_at or backup.created_at
            moves.append(Move(dump.name, "database", _holds(database), at, dump.size))
    moves += _paths(site, backup, databases)
    if missing := cannot_open(site, backup.id, identity):
        problems.append(Problem(*missing, refused=True))
    said = []
    if not fits(backup, site.backups()):
        said.append(
            tr(
                "The data of backup {backup} are of {data_name}, its code is not.",
                backup=backup.id,
                data_name=data_name(backup),
            )
        )
    if moves:
        keep = duration_text(site.config.backup.keep_replaced)
        said.append(
            tr(
                "What they hold now goes into a backup first, which is kept for {keep} at least: "
                "gitdeploy restore latest --with-data brings it back.",
                keep=keep,
            )
        )
    return tuple(moves), tuple(problems), tuple(said)


def _unmatched(dump: Dump, backup: Backup, databases: Sequence[Database]) -> Problem:
    names = listing([database.name for database in databases], 3) or tr("none")
    return Problem(
        tr(
            "Backup {backup} holds a dump of {dump}, and backup.databases names no such database (it names: {names}).",
            backup=backup.id,
            dump=dump.name,
            names=names,
        ),
        tr("Name it there, or bring back code and venv alone: gitdeploy restore {backup}", backup=backup.id),
        refused=True,
    )


def _paths(site: Site, backup: Backup, databases: tuple[Database, ...]) -> list[Move]:
    left = database_files(databases, site.root, (*backup.included, *backup.kept))
    folder = site.state.backups / backup.id
    found = []
    for part, names in ((INCLUDED, backup.included), (KEPT, backup.kept)):
        for path in names:
            copy, live = f"{part}/{path}", site.root / path
            files, _ = encrypted.differing_files(folder, copy, live, left)
            if files:
                size = content_size(site.root, [path])
                now = (
                    tr("{size}, {count} otherwise than the backup", size=size_text(size), count=count(files, "file"))
                    if live.exists()
                    else "nothing"
                )
                at = backup.saved_at or backup.created_at
                found.append(Move(path, "path", now, at, encrypted.content_size(folder, copy)))
    return found


def _holds(database: Database) -> str:
    """`12.3 kB, 40 rows in 3 tables`."""
    try:
        parts = [size_text(database.size())]
        if rows := database.rows():
            parts.append(
                tr("{rows} in {tables}", rows=count(sum(rows.values()), "row"), tables=count(len(rows), "table"))
            )
        return joined(", ", parts)
    except GitDeployError as error:
        return tr("what can't be told ({message})", message=without_stop(error.message))


def _age(at: str) -> str:
    with suppress(ValueError, TypeError):
        return tr(
            ", {age} ago", age=duration_text(max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()))
        )
    return ""


def differing_paths(site: Site, backup: Backup) -> list[str]:
    """Paths of `backup.include` that are otherwise now than in BACKUP, with how much of each."""
    try:
        databases = open_databases(site.config.backup.databases, site.root, app_environment(site))
    except GitDeployError:
        databases = ()
    left = database_files(databases, site.root, backup.included)
    folder = site.state.backups / backup.id
    numbers = {
        path: encrypted.differing_files(folder, f"{INCLUDED}/{path}", site.root / path, left)[0]
        for path in backup.included
    }
    return [
        tr("{path} ({count})", path=path_text(path), count=count(number, "file"))
        for path, number in numbers.items()
        if number or not os.path.lexists(site.root / path)
    ]
