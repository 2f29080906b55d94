"""Data on an automatic roll-back: what the new release has changed of them goes back with the code.

May be repeated by a later process. Nothing is replaced that has not been kept: the journal says `data-kept` once the
dump of what is there is whole, and `data-back` once the old data stand in its place.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups import store
from gitdeploy.backups.copying import differing_files
from gitdeploy.backups.places import DUMPS, INCLUDED, REPLACED
from gitdeploy.backups.store import Backup
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.databases import Dump, database_of
from gitdeploy.deployment.live.data_kept import keep_database, note, now_text, place_text, reader_text
from gitdeploy.deployment.live.data_late import FRESH
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.placing import Aside, put_in_place, remove
from gitdeploy.deployment.live.steps import effects_of
from gitdeploy.deployment.plan.migrations import migrations_between, way_back
from gitdeploy.deployment.record.engine import Effect
from gitdeploy.deployment.record.replaced import RECORD, Kept, kept_of, written_text
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.keeping import database_files
from gitdeploy.state import Record
from gitdeploy.system import faultpoints
from gitdeploy.text import listing, moment_text, path_text, size_text


class DataNotBack(DeploymentFailed):
    """The data could not be put back: nothing is lost, and a person is needed."""


def touched(records: list[Record]) -> bool:
    """Whether data were put back, or were about to be: the service must then be started anew."""
    return any(record.kind == "data" for record in records)


class DataBack(Struct, frozen=True):
    """What became of the data, in sentences. `whole`: nothing of them may be otherwise than before and be left so. `left`: they
    are as the first half of the migrations has made them."""

    notes: tuple[str, ...] = ()
    whole: bool = True
    left: bool = False


def after_rollback(live: Live, began: set[str], *, stop: bool, halves: bool = True) -> DataBack:
    """Put back dumps of databases whose schema changed since, and paths of `backup.include` in which something did,
    as `backup.restore_data` says; STOP the service before. BEGAN: the steps that had begun. HALVES: nothing is put back where
    the release says that what its first half did fits the old one."""
    folder = live.backup_folder
    if folder is None or Effect.DATA not in effects_of(live, began):
        return DataBack()
    if live.record.build_first and not began & {"dump", "migrate"}:
        return DataBack()  # a build hook has run, and the app served on: what it wrote meanwhile stays
    policy = live.before.backup.restore_data
    begun = touched(live.journal.database.records(live.journal.deployment))
    if halves and live.record.halves and policy == "auto" and not begun:
        return DataBack(left=True)
    backup = store.read(live.site.state.backups, folder.name)
    databases = live.databases(live.before)
    if not isinstance(backup, Backup):
        return DataBack()
    remove(folder / FRESH)
    if not backup.dumps and not backup.included:
        return _nothing_known(live, began)
    back = _Back(live, backup, folder, databases)
    pairs = [(database_of(dump, databases), dump) for dump in map(Dump.from_dict, backup.dumps)]
    dumps = [(database, dump) for database, dump in pairs if database is not None]
    if policy == "never":
        said = tuple(back.left_alone(dumps))
        return DataBack(said, whole=not said)
    wanted = [(database, dump) for database, dump in dumps if back.wanted(database, dump, always=policy == "always")]
    paths = [path for path in backup.included if back.aside.differs(folder / INCLUDED / path, live.site.root / path)]
    if wanted or paths:
        live.journal.write("data", "", {"databases": [dump.name for _, dump in wanted], "paths": paths})
        faultpoints.point("data begun")
        if stop:
            _stop(live)
    try:
        return DataBack(
            (
                *(sentence for path in backup.included for sentence in back.path(path)),
                *(back.database(database, dump) for database, dump in wanted),
            )
        )
    except (GitDeployError, OSError) as error:
        message = (
            error.message
            if isinstance(error, GitDeployError)
            else tr("{filename}: {strerror}.", filename=error.filename, strerror=error.strerror)
        )
        raise DataNotBack(
            tr("the data could not be put back: {message}", message=message),
            tr(
                "The dumps and files from before are in {folder}, what was replaced in {replaced}. Fix "
                "what it says, then: gitdeploy recover",
                folder=folder,
                replaced=folder / REPLACED,
            ),
        ) from error


def _stop(live: Live) -> None:
    """While data are exchanged nothing should write into them."""
    for service in live.services:
        try:
            service.stop(live.journal.output)
        except GitDeployError as error:
            live.journal.line(
                tr("It goes on running while its data are put back: {message}", message=error.message), "warning"
            )


def _nothing_known(live: Live, began: set[str]) -> DataBack:
    if "migrate" not in began or live.before.backup.databases:
        return DataBack()
    said = tr(
        "A migrate hook had begun, and gitdeploy knows no database (backup.databases): what it changed there was NOT put back."
    )
    return DataBack((said, *_reverse(live)), whole=False)


def _reverse(live: Live) -> list[str]:
    """How the release's own migrations take back what they did, where they can."""
    repository, origin, target = live.site.repository, live.record.origin, live.record.target
    try:
        changes = migrations_between(repository, repository.tree_of(origin.commit), repository.tree_of(target.commit))
    except GitDeployError:
        return []
    venv = live.site.venv_link
    how = way_back(
        changes,
        tag=target.tag or target.commit,
        root=live.site.root,
        venv=venv if venv is not None and venv.exists() else None,
    )
    return [how] if how else []


class _Back(Struct, frozen=True):
    """One way back: its backup in FOLDER, and where things go that are replaced."""

    live: Live
    backup: Backup
    folder: Path
    databases: tuple[AppDatabase, ...]

    @property
    def aside(self) -> Aside:
        left = database_files(self.databases, self.live.site.root, self.backup.included)
        return Aside(self.folder / REPLACED, (), left)

    def _records(self, kind: str, name: str) -> list[Record]:
        journal = self.live.journal
        return [r for r in journal.database.records(journal.deployment) if (r.kind, r.step) == (kind, name)]

    def wanted(self, database: AppDatabase, dump: Dump, *, always: bool) -> bool:
        """Whether it is to be put back; so too where an earlier, killed run had got to it."""
        return always or bool(self._records(RECORD, dump.name)) or database.fingerprint() != dump.fingerprint

    # ---- paths ----

    def path(self, path: str) -> list[str]:
        copy = self.folder / INCLUDED / path
        put_in_place(self.live.site.root, self.folder / INCLUDED, path, self.aside)
        places = self.aside.kept(path)
        if not places:
            return []
        if self._kept("path", path) is None:
            files, size = differing_files(copy, places[0])
            shown = path_text(path)
            kept = Kept(path, "path", str(places[0]), size, self.backup.saved_at, now_text(), {}, files, told=True)
            note(self.live.journal, self.folder, replace(kept, reader=f"ls {shown}"), self.keep_for)
        said = listing([place_text(self.live, place) for place in places])
        return [
            tr(
                "{path} was put back as it was; what it held meanwhile is kept: {said}. {written}",
                path=path_text(path),
                said=said,
                written=self._written("path", path),
            )
        ]

    # ---- databases ----

    def database(self, database: AppDatabase, dump: Dump) -> str:
        journal = self.live.journal
        done = bool(self._records("data-back", dump.name))
        if not done:
            if self._back_already(database, dump):
                database.tidy()
            else:
                keep_database(journal, self.folder, database, dump, self.folder / DUMPS, keep_for=self.keep_for)
                database.restore(self.folder / DUMPS, dump, journal.output)
            faultpoints.point("data restored")
            journal.write("data-back", dump.name)
        sentence = tr("{dump} was put back from the dump made before", dump=dump.name)
        kept = self._kept("database", dump.name)
        if kept is None or not kept.file:
            return tr("{sentence}; nothing was there meanwhile.", sentence=sentence)
        places = [str(record.data["file"]) for record in self._records(RECORD, dump.name)]
        sizes = size_text(sum(int(record.data["size"]) for record in self._records(RECORD, dump.name)))
        shown = listing([place_text(self.live, place) for place in places])
        return tr(
            "{sentence}; what it held meanwhile ({sizes}) is kept: {shown} (to look at it: {reader}). {written}",
            sentence=sentence,
            sizes=sizes,
            shown=shown,
            reader=reader_text(self.live, kept),
            written=self._written("database", dump.name),
        )

    def _back_already(self, database: AppDatabase, dump: Dump) -> bool:
        """An earlier run had kept what was there and died before it could say that the dump is back."""
        return bool(self._records(RECORD, dump.name)) and database.fingerprint() == dump.fingerprint

    def _kept(self, kind: str, name: str) -> Kept | None:
        records = self.live.journal.database.records(self.live.journal.deployment)
        return next((kept for kept in kept_of(records) if (kept.kind, kept.name) == (kind, name)), None)

    def _written(self, kind: str, name: str) -> str:
        kept = self._kept(kind, name)
        if kept is None:
            return ""
        return tr(
            "{written_text} The copy is kept until {keep_until}.",
            written_text=written_text(kept),
            keep_until=moment_text(kept.keep_until),
        )

    @property
    def keep_for(self) -> float:
        return self.live.before.backup.keep_replaced

    def left_alone(self, dumps: list[tuple[AppDatabase, Dump]]) -> list[str]:
        """`restore_data: never`: what isn't done is said."""
        said = [
            tr(
                "The schema of {dump} was changed and is NOT put back (backup.restore_data: never). To "
                "do it: gitdeploy restore {backup} --with-data.",
                dump=dump.name,
                backup=self.backup.id,
            )
            for database, dump in dumps
            if database.fingerprint() != dump.fingerprint
        ]
        reverse = _reverse(self.live) if said else []
        root = self.live.site.root
        paths = [p for p in self.backup.included if self.aside.differs(self.folder / INCLUDED / p, root / p)]
        if paths:
            said.append(
                tr(
                    "{paths} changed and is NOT put back (backup.restore_data: never). The copy from before: {folder}.",
                    paths=listing([path_text(path) for path in paths], 5),
                    folder=place_text(self.live, self.folder / INCLUDED),
                )
            )
        return said + reverse
