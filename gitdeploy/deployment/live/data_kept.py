"""What data held before others took their place: kept, counted, and told, for as long as `backup.keep_replaced` says.

The journal has a `data-kept` record for each database and each path, written once its copy is whole and before it is
replaced; whatever is killed in between, the next process tells the same.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from gitdeploy.backups import encrypted, encryption, store
from gitdeploy.backups.archive import FILES
from gitdeploy.backups.places import REPLACED
from gitdeploy.databases import ABSENT, Database, Dump, Written
from gitdeploy.deployment.live.dumps import dump_one
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.deployment.record.replaced import RECORD, Kept
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints
from gitdeploy.text import path_text

if TYPE_CHECKING:
    from gitdeploy.deployment.live.live import Live

# ---- keeping ----


def keep_database(journal: Journal, own: Path, database: Database, dump: Dump, dumps: Path, *, keep_for: float) -> None:
    """Dump what is there into OWN, the deployment's backup, before DUMP (of the folder DUMPS) takes its place; each try
    into a folder of its own, so that none overwrites an earlier one's. Raises `GitDeployError`."""
    number = 1
    while os.path.lexists(place := own / REPLACED / f"database-{number}"):
        number += 1
    place.mkdir(mode=0o700, parents=True)
    until = now_text()
    file, size, written = "", 0, Written({}, told=False)
    if database.fingerprint() != ABSENT:
        try:
            made = dump_one(database, place, journal, own.parent)
            file, size = str(place / made.file), made.size
            written = database.written(dumps, dump, place / made.file)
        except GitDeployError:
            rescued = database.rescue(place)
            if rescued is None:
                raise
            file, size = str(rescued), rescued.stat().st_size
    reader = database.reader(Path(file)) if file else ""
    kept = Kept(dump.name, "database", file, size, dump.at, until, written.tables, 0, written.told, reader=reader)
    note(journal, own, kept, keep_for)
    faultpoints.point("data kept")


def note(journal: Journal, own: Path, kept: Kept, keep_for: float) -> Kept:
    """Write down that KEPT is in OWN, a backup, which then stays for KEEP_FOR seconds; as it was written down."""
    if kept.file:
        store.mark_replaced(own.parent, own.name)
    end = (datetime.now(UTC) + timedelta(seconds=keep_for)).isoformat(timespec="seconds")
    kept = replace(kept, backup=own.name, keep_until=end if kept.file else "")
    journal.write(RECORD, kept.name, {name: value for name, value in asdict(kept).items() if name != "name"})
    return kept


def place_text(live: Live, place: Path | str) -> str:
    """Where the copy at PLACE, in the deployment's own backup, is to be found after the deployment: encrypted, maybe."""
    part = _part(live)
    if part is None or not Path(place).is_relative_to(part.parent):
        return path_text(str(place))
    name = Path(place).relative_to(part.parent)
    return tr("{name} in {part}", name=path_text(f"{FILES}{name}"), part=path_text(str(part)))


def reader_text(live: Live, kept: Kept) -> str:
    """The command that shows what was KEPT."""
    part = _part(live)
    return kept.reader if part is None else encryption.by_hand(part)


def _part(live: Live) -> Path | None:
    wanted, folder = live.before.backup.encrypt, live.backup_folder
    return encrypted.next_part(folder, wanted) if wanted and folder is not None else None


def now_text() -> str:
    """This moment, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
