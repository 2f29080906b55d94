"""`restore --with-data`: the data of a backup take the place of what is there, which is in the deployment's own backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups import store
from gitdeploy.backups.copying import differing_files
from gitdeploy.backups.places import DUMPS, INCLUDED, KEPT, REPLACED
from gitdeploy.backups.store import Backup, Damaged
from gitdeploy.databases import Database, Dump, database_of
from gitdeploy.deployment.live.data_kept import keep_database, note, now_text, place_text, reader_text
from gitdeploy.deployment.live.placing import Aside, put_in_place, take_away
from gitdeploy.deployment.record.replaced import UNDONE, Kept, kept_of, told, written_text
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.site.keeping import database_files
from gitdeploy.state import Record
from gitdeploy.text import count, listing, path_text

if TYPE_CHECKING:
    from gitdeploy.deployment.live.live import Live


def put_back(live: Live, identity: str, *, instead_of: str | None = None, written: bool = False) -> str:
    """Bring back the data that a backup holds: included paths, content of keep paths, dumps. May be repeated.

    instead_of: the backup whose data are undone by this; what only that one had goes away again. written: the app may have
    written into those since.
    What is displaced and in no backup yet is kept in the deployment's own.
    """
    backup, databases = _read(live, identity), live.databases(live.before)
    exchange = _Exchange(live, backup, databases, instead_of, written)
    paths = exchange.paths()
    restored = 0
    for entry in backup.dumps:
        dump = Dump.from_dict(entry)
        database = database_of(dump, databases)
        if database is None:
            live.journal.line(
                tr("The dump of {dump} is not restored: backup.databases names it no more.", dump=dump.name), "warning"
            )
            continue
        exchange.database(database, dump)
        restored += 1
    shown = [path_text(path) for path in paths]
    return tr("{count}, {count2}", count=count(restored, "database"), count2=count(len(paths), "path")) + (
        tr(" ({shown})", shown=listing(shown, 3)) if paths else ""
    )


def _read(live: Live, identity: str) -> Backup:
    backup = store.read(live.site.state.backups, identity)
    if isinstance(backup, Damaged):
        raise DeploymentFailed(
            tr("Backup {identity} can't be used for its data: {problem}.", identity=identity, problem=backup.problem)
        )
    return backup


class _Exchange(Struct, frozen=True):
    """One exchange: of BACKUP's data for what is there."""

    live: Live
    backup: Backup
    databases: tuple[Database, ...]
    instead_of: str | None
    written: bool

    def __post_init__(self) -> None:
        if self.instead_of is not None and not any(r.kind == UNDONE for r in self._records()):
            self.live.journal.write(UNDONE)

    @property
    def folder(self) -> Path:
        return self.live.site.state.backups / self.backup.id

    @property
    def own(self) -> Path:
        return self.live.backup_folder or self.folder

    @property
    def keep_for(self) -> float:
        return self.live.before.backup.keep_replaced

    def _records(self) -> list[Record]:
        journal = self.live.journal
        return journal.database.records(journal.deployment)

    # ---- paths ----

    def paths(self) -> list[str]:
        """Those that were exchanged."""
        site, backup = self.live.site, self.backup
        other = site.state.backups / (self.instead_of or self.own.name)
        known = tuple(base / part for base in {self.own, other} for part in (INCLUDED, KEPT))
        left = database_files(self.databases, site.root, (*backup.included, *backup.kept))
        aside = Aside(self.own / REPLACED, known, left)
        changed = []
        for part, names in ((INCLUDED, backup.included), (KEPT, backup.kept)):
            for path in names:
                files, size = differing_files(self.folder / part / path, site.root / path, left)
                if put_in_place(site.root, self.folder / part, path, aside):
                    changed.append(path)
                    self._tell_path(path, self.own / part / path, files, size)
        if self.instead_of is not None and isinstance(undone := store.read(other.parent, other.name), Backup):
            there = {*backup.included, *backup.kept, *backup.not_copied}
            for path in (path for path in (*undone.included, *undone.kept) if path not in there):
                take_away(site.root, path, aside)
        for path in changed:
            for kept in aside.kept(path):
                said = tr(
                    "{path}: what it held until now is kept: {kept}",
                    path=path_text(path),
                    kept=place_text(self.live, kept),
                )
                self.live.journal.line(said, "warning")
        return changed

    def _tell_path(self, path: str, copy: Path, files: int, size: int) -> None:
        if self.instead_of is None and copy.exists():
            since = self.backup.saved_at or self.backup.created_at
            kept = Kept(path, "path", str(copy), size, since, now_text(), {}, files, told=True)
            self.live.journal.line(told(note(self.live.journal, self.own, kept, self.keep_for)), "warning")

    # ---- databases ----

    def database(self, database: Database, dump: Dump) -> None:
        journal = self.live.journal
        if self.instead_of is not None:
            self._keep_what_was_written(database, dump)
        elif (present := self._dump_in(self.own, database)) is not None:
            place = self.own / DUMPS / present.file
            written = database.written(self.folder / DUMPS, dump, place)
            kept = Kept(
                dump.name, "database", str(place), present.size, dump.at, present.at, written.tables, 0, written.told,
                reader=database.reader(place),
            )  # fmt: skip
            journal.line(told(note(journal, self.own, kept, self.keep_for)), "warning")
        database.restore(self.folder / DUMPS, dump, journal.output)

    def _keep_what_was_written(self, database: Database, dump: Dump) -> None:
        """A restore is undone: where a later step had begun, its data may have been written into meanwhile."""
        journal = self.live.journal
        if not self.written or any((k.kind, k.name) == ("database", dump.name) for k in kept_of(self._records())):
            return  # nobody can have written; or an earlier, killed run had kept it
        other = self.live.site.state.backups / str(self.instead_of)
        brought = self._dump_in(other, database)
        # Its counters are of the database that was there then, not of the one that it was restored into.
        compared = replace(brought or dump, name=dump.name, at=dump.at, counters={})
        keep_database(journal, self.own, database, compared, other / DUMPS, keep_for=self.keep_for)
        kept = next(k for k in kept_of(self._records()) if (k.kind, k.name) == ("database", dump.name))
        if kept.file and not kept.nothing_written:
            said = tr(
                "{dump}: {written_text} It is kept: {place} (to look at it: {reader}).",
                dump=dump.name,
                written_text=written_text(kept),
                place=place_text(self.live, kept.file),
                reader=reader_text(self.live, kept),
            )
            journal.line(said, "warning")

    def _dump_in(self, folder: Path, database: Database) -> Dump | None:
        backup = store.read(folder.parent, folder.name)
        if not isinstance(backup, Backup):
            return None
        return next((d for d in map(Dump.from_dict, backup.dumps) if database_of(d, [database]) is not None), None)
