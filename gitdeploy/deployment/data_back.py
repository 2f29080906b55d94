"""Data on an automatic roll-back: what the new release has changed of them goes back with the code.

May be repeated by a later process. Nothing is replaced that has not been kept: the journal says `data-kept` once the
dump of what is there is whole, and `data-back` once the old data stand in its place.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from gitdeploy import backups, faultpoints
from gitdeploy.backups import Backup
from gitdeploy.databases import ABSENT, Dump
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.deployment.data import DUMPS, INCLUDED, REPLACED, database_files, dump_one
from gitdeploy.deployment.live import Live
from gitdeploy.deployment.placing import Aside, put_in_place
from gitdeploy.deployment.plan_migrations import migrations_between, way_back
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.state import Record
from gitdeploy.text import listing, path_text, size_text

# Steps in which the new release may have run, so that data may have changed by it.
NEW_CODE_RAN = {"data", "build", "migrate", "restart", "health", "post-deploy", "post-restore"}


class DataNotBack(DeploymentFailed):
    """The data could not be put back: nothing is lost, and a person is needed."""


def touched(records: list[Record]) -> bool:
    """Whether data were put back, or were about to be: the service must then be started anew."""
    return any(record.kind == "data" for record in records)


def after_rollback(live: Live, began: set[str], *, stop: bool) -> list[str]:
    """Put back dumps of databases whose schema changed since, and paths of `backup.include` in which something did,
    as `backup.restore_data` says; STOP the service before. BEGAN: the steps that had begun. Returns sentences."""
    folder = live.backup_folder
    if folder is None or not began & NEW_CODE_RAN:
        return []
    policy = live.before.backup.restore_data
    backup = backups.read(live.site.state.backups, folder.name)
    databases = {database.name: database for database in live.databases(live.before)}
    if not isinstance(backup, Backup):
        return []
    if not backup.dumps and not backup.included:
        return _nothing_known(live, began)
    back = _Back(live, backup, folder, databases)
    dumps = [(databases[dump.name], dump) for dump in map(Dump.from_dict, backup.dumps) if dump.name in databases]
    if policy == "never":
        return back.left_alone(dumps)
    wanted = [(database, dump) for database, dump in dumps if back.wanted(database, dump, always=policy == "always")]
    paths = [path for path in backup.included if back.aside.differs(folder / INCLUDED / path, live.site.root / path)]
    if wanted or paths:
        live.journal.write("data", "", {"databases": [dump.name for _, dump in wanted], "paths": paths})
        faultpoints.point("data begun")
        if stop:
            _stop(live)
    try:
        return [
            *(sentence for path in backup.included for sentence in back.path(path)),
            *(back.database(database, dump) for database, dump in wanted),
        ]
    except (GitDeployError, OSError) as error:
        message = error.message if isinstance(error, GitDeployError) else f"{error.filename}: {error.strerror}."
        raise DataNotBack(
            f"the data could not be put back: {message}",
            f"The dumps and files from before are in {folder}, what was replaced in {folder / REPLACED}. Mend what it "
            "says, then: gitdeploy recover",
        ) from error


def _stop(live: Live) -> None:
    """While data are exchanged nothing should write into them."""
    for service in live.services:
        try:
            service.stop(live.journal.output)
        except GitDeployError as error:
            live.journal.line(f"It goes on running while its data are put back: {error.message}", "warning")


def _nothing_known(live: Live, began: set[str]) -> list[str]:
    if "migrate" not in began or live.before.backup.databases:
        return []
    said = "A migrate hook had begun, and gitdeploy knows no database (backup.databases): what it changed there was NOT put back."
    return [said, *_reverse(live)]


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
    databases: dict[str, AppDatabase]

    @property
    def aside(self) -> Aside:
        return Aside(self.folder / REPLACED, (), database_files(tuple(self.databases.values())))

    def _records(self, kind: str, name: str) -> list[Record]:
        journal = self.live.journal
        return [r for r in journal.database.records(journal.deployment) if (r.kind, r.step) == (kind, name)]

    def wanted(self, database: AppDatabase, dump: Dump, *, always: bool) -> bool:
        """Whether it is to be put back; so too where an earlier, killed run had got to it."""
        return always or bool(self._records("data-kept", dump.name)) or database.fingerprint() != dump.fingerprint

    # ---- paths ----

    def path(self, path: str) -> list[str]:
        put_in_place(self.live.site.root, self.folder / INCLUDED, path, self.aside)
        kept = [path_text(str(place)) for place in self.aside.kept(path)]
        if not kept:
            return []
        return [f"{path_text(path)} was put back as it was; what it held meanwhile is kept: {listing(kept)}."]

    # ---- databases ----

    def database(self, database: AppDatabase, dump: Dump) -> str:
        journal = self.live.journal
        done = bool(self._records("data-back", dump.name))
        if not done:
            if self._back_already(database, dump):
                database.tidy()
            else:
                self._keep(database, dump)
                database.restore(self.folder / DUMPS, dump, journal.output)
            faultpoints.point("data restored")
            journal.write("data-back", dump.name)
        sentence = f"{dump.name} was put back from the dump made before"
        kept = [record.data for record in self._records("data-kept", dump.name)]
        if not kept or not kept[0]["file"]:
            return f"{sentence}; nothing was there meanwhile."
        places = [self.folder / str(facts["file"]) for facts in kept]
        sizes = size_text(sum(int(facts["size"]) for facts in kept))
        shown = listing([path_text(str(place)) for place in places])
        return f"{sentence}; what it held meanwhile ({sizes}) is kept: {shown} (to look at it: {database.reader(places[0])})."

    def _back_already(self, database: AppDatabase, dump: Dump) -> bool:
        """An earlier run had kept what was there and died before it could say that the dump is back."""
        return bool(self._records("data-kept", dump.name)) and database.fingerprint() == dump.fingerprint

    def _keep(self, database: AppDatabase, dump: Dump) -> None:
        """Dump what is there now; each try into a folder of its own, so that none overwrites an earlier one's."""
        number = 1
        while os.path.lexists(place := self.folder / REPLACED / f"database-{number}"):
            number += 1
        place.mkdir(mode=0o700, parents=True)
        if database.fingerprint() == ABSENT:
            file, size = "", 0
        else:
            try:
                made = dump_one(database, place, self.live.journal)
                file, size = str((place / made.file).relative_to(self.folder)), made.size
            except GitDeployError:
                rescued = database.rescue(place)
                if rescued is None:
                    raise
                file, size = str(rescued.relative_to(self.folder)), rescued.stat().st_size
        self.live.journal.write("data-kept", dump.name, {"file": file, "size": size})
        faultpoints.point("data kept")

    def left_alone(self, dumps: list[tuple[AppDatabase, Dump]]) -> list[str]:
        """`restore_data: never`: what isn't done is said."""
        said = [
            f"The schema of {dump.name} was changed and is NOT put back (backup.restore_data: never). "
            f"To do it: gitdeploy restore {self.backup.id} --with-data."
            for database, dump in dumps
            if database.fingerprint() != dump.fingerprint
        ]
        reverse = _reverse(self.live) if said else []
        root = self.live.site.root
        paths = [p for p in self.backup.included if self.aside.differs(self.folder / INCLUDED / p, root / p)]
        if paths:
            said.append(
                f"{listing([path_text(path) for path in paths], 5)} changed and is NOT put back (backup.restore_data: "
                f"never). The copy from before: {path_text(str(self.folder / INCLUDED))}."
            )
        return said + reverse
