"""The app's data saved as late as can be: after the new venv was built and the early hooks have run, just before the
switch, so that what may be missing in the backup is what is written during the switch and after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups import copying, store
from gitdeploy.backups.places import INCLUDED
from gitdeploy.backups.store import Backup
from gitdeploy.deployment.live.dumps import dump_into
from gitdeploy.deployment.live.placing import remove
from gitdeploy.deployment.record.engine import Effect
from gitdeploy.messages import joined, tr
from gitdeploy.site.keeping import database_files
from gitdeploy.system import faultpoints, progress
from gitdeploy.system.durable import sync_file_systems
from gitdeploy.text import count
from gitdeploy.venvs.durable import exchange

if TYPE_CHECKING:
    from gitdeploy.deployment.live.live import Live

FRESH = "include.new"  # in a backup: half a copy


class SaveData(Struct):
    """Databases and `backup.include` go into the deployment's backup. All of it happens in `ready`: a failure there is one
    of before the line, and a kill leaves nothing to undo."""

    live: Live
    name: str = "dump"
    effects: ClassVar[Effect] = Effect.NONE
    said: str = ""

    def wanted(self) -> str | None:
        settings = self.live.before.backup
        dumped = settings.databases and self.live.record.migrate
        there = self.live.backup_folder is not None and (dumped or settings.include)
        return None if there else ""

    def ready(self) -> dict[str, Any]:
        self.said = save_data(self.live)
        return {}

    def apply(self) -> str:
        return self.said

    def undo(self, data: dict[str, Any]) -> str:
        return ""


def save_data(live: Live) -> str:
    """Copy again what changed in `backup.include` since the backup was made, dump the databases, and write both into its
    manifest; what was saved, in words. Raises `GitDeployError`."""
    folder, settings, root = live.backup_folder, live.before.backup, live.site.root
    assert folder is not None
    databases = live.databases(live.before)
    included = _copy_again(root, folder, settings.include, database_files(databases, root, settings.include))
    dumps = dump_into(databases if live.record.migrate else (), folder, live.journal)
    backup = store.read(folder.parent, folder.name)
    if isinstance(backup, Backup):
        sync_file_systems(folder)
        saved = datetime.now(UTC).isoformat(timespec="seconds")
        found = [dump.as_dict() for dump in dumps]
        store.write(folder.parent, replace(backup, included=included, dumps=found, saved_at=saved))
    parts = [count(len(dumps), "database")] if dumps else []
    return joined(", ", [*parts, *([count(len(included), "path")] if included else [])]) or tr("nothing to save")


def _copy_again(root: Path, folder: Path, patterns: Sequence[str], leave: frozenset[Path]) -> list[str]:
    """The backup's copies of PATTERNS as they are now, in one exchange; what has not changed is not copied twice."""
    paths = copying.matching_paths(root, patterns)
    place, fresh = folder / INCLUDED, folder / FRESH
    if not paths and not place.exists():
        return []
    remove(fresh)
    note = copying.begin_copies(place)
    fresh.mkdir(mode=0o700)
    with progress.of(tr("copying files"), "bytes"):
        copied = copying.copy_paths(root, paths, fresh, leave, copying.earlier_copies(place, note))
    place.mkdir(mode=0o700, exist_ok=True)
    faultpoints.point("data copied again")
    try:
        exchange(str(fresh), str(place))
        aside = fresh
    except OSError:  # a file system that can't exchange names
        aside = folder / f"{INCLUDED}.old"
        remove(aside)
        os.rename(place, aside)
        os.rename(fresh, place)
    copying.note_copies(place, note)
    with suppress(OSError):
        remove(aside)
    return copied
