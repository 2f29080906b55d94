"""Backups: saved states of the app that `restore` brings back.

A backup is a git ref (the tracked files, byte for byte) and a folder `.gitdeploy/backups/<id>` with its manifest, the
kept files, `backup.include` and database dumps. The manifest alone is enough to restore from: a backup outlives a lost
state.db and a lost ref. The venv's share is the generation that was live, which is just not deleted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field
from msgspec.structs import asdict

from gitdeploy.checkout.snapshot import Snapshot
from gitdeploy.errors import DeploymentFailed, NotFound, UsageError
from gitdeploy.messages import heard, said, tr
from gitdeploy.system import faultpoints
from gitdeploy.text import clean, listing

REFS = "refs/gitdeploy/backups/"
MANIFEST = "manifest.json"
OUTCOME = "outcome"
REPLACED_AT = "replaced-at"
_LOOKED = 10  # backups, from the newest back, whose dumps tell how large the next one will be
KEPT_LIMIT = 256 << 20  # bytes: a keep path larger than this stays where it is and is not copied
ID = re.compile(r"\d{8}-\d{6}-[A-Za-z0-9][A-Za-z0-9._-]*")

Outcome = Literal["pending", "good", "failed"]


class Refs(Protocol):
    """What is needed of git here."""

    def refs(self, prefix: str) -> dict[str, str]: ...
    def resolve(self, name: str) -> str | None: ...
    def update_ref(self, name: str, new: str, old: str | None = None) -> None: ...
    def delete_ref(self, name: str) -> None: ...


class SubmoduleState(Struct, frozen=True):
    """What a submodule was like; `source`: its repository below .git, where it is there (`modules/NAME`), else empty."""

    snapshot: Snapshot
    source: str = ""


class Backup(Struct, frozen=True):
    """A backup's manifest. `snapshot` is the recorded state of the checkout, `submodules` those of each with files here, by
    its path; `dumps` those of the databases."""

    id: str
    created_at: str
    app: str
    version: str | None
    tag: str | None
    commit: str
    branch: str | None
    reason: str
    label: str
    snapshot: Snapshot
    submodules: Mapping[str, SubmoduleState] = field(default_factory=dict)
    all_submodules: bool = False  # whether those are all that had files then
    generation: str | None = None
    venv: str | None = None
    kept: Sequence[str] = ()
    kept_data: Sequence[str] = ()
    included: Sequence[str] = ()
    not_copied: Sequence[str] = ()
    dumps: Sequence[Mapping[str, Any]] = ()
    modes: Mapping[str, Sequence[int]] = field(
        default_factory=dict
    )  # path -> permissions, owner, group where not usual
    usual_modes: Mapping[str, int] = field(default_factory=dict)  # git's mode -> permissions of most such files
    format: int = 1
    saved_at: str = ""  # when its data were saved
    data_release: Mapping[str, Any] | None = None  # the release whose schema its data have; None: not known
    second_halves: Mapping[str, Any] | None = None  # of migrations, still to run on its data
    imported: bool = False  # another server made it

    @property
    def ref(self) -> str:
        return REFS + self.id

    @property
    def holds(self) -> list[str]:
        """Words for what is in it: code, venv, kept, data."""
        return [
            word
            for word, there in (
                ("code", True),
                ("venv", self.generation is not None),
                ("kept", bool(self.kept)),
                ("data", bool(self.dumps or self.included)),
            )
            if there
        ]


class Damaged(Struct, frozen=True):
    """A backup folder whose manifest can't be used, and why."""

    id: str
    problem: str


def new_id(folder: Path, version: str | None, used: Container[str] = (), now: datetime | None = None) -> str:
    """An id that sorts by time and is free: `20261123-101500-v1.2.9` (UTC). Later than every earlier one's time even
    where the clock was set back. USED: those of backups that may be gone, so that an id means one backup for ever."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    names = ids(folder)
    if names and names[0][:15] > moment:
        moment = names[0][:15]
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", version or "unversioned").strip("-._") or "unversioned"
    identity = f"{moment}-{label[:60]}"
    while identity in used or any(name[:15] == moment and name >= identity for name in names):
        moment = _next_second(moment)
        identity = f"{moment}-{label[:60]}"
    return identity


def _next_second(moment: str) -> str:
    then = datetime.strptime(moment, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return datetime.fromtimestamp(then.timestamp() + 1, UTC).strftime("%Y%m%d-%H%M%S")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def ids(folder: Path) -> list[str]:
    """The names of all backups in FOLDER, also of unfinished ones, newest first."""
    return sorted((name for name in _names(folder) if ID.fullmatch(name)), reverse=True)


def write(folder: Path, backup: Backup) -> None:
    """Write a backup's manifest, durably; from then on the backup counts."""
    place = folder / backup.id
    place.mkdir(mode=0o700, exist_ok=True)
    temporary = place / f"{MANIFEST}.{os.urandom(4).hex()}"
    with temporary.open("w", encoding="ascii") as out:
        json.dump(as_document(backup), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    faultpoints.point("backup manifest")
    os.rename(temporary, place / MANIFEST)
    for directory in (place, folder):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    faultpoints.point("backup written")


def as_document(backup: Backup) -> dict[str, Any]:
    """The manifest as JSON values."""
    states = {path: {**one.snapshot.as_dict(), "source": one.source} for path, one in backup.submodules.items()}
    document = {**asdict(backup), **said(backup.reason, "reason")}
    return {**document, "snapshot": backup.snapshot.as_dict(), "submodules": states}


def from_document(data: Mapping[str, Any]) -> Backup:
    """What `as_document` made. Raises `KeyError`, `TypeError` and `AttributeError` for what is none."""
    states = {
        path: SubmoduleState(Snapshot.from_dict(each), str(each.get("source", "")))
        for path, each in data.get("submodules", {}).items()
    }
    known = {name: value for name, value in data.items() if name in Backup.__struct_fields__}
    if "reason" in known:
        known["reason"] = heard(data, "reason")
    return Backup(**{**known, "snapshot": Snapshot.from_dict(data["snapshot"]), "submodules": states})


def read(folder: Path, identity: str) -> Backup | Damaged:
    """One backup by its id."""
    try:
        data = json.loads((folder / identity / MANIFEST).read_bytes())
        if data.get("format") != 1:
            return Damaged(identity, tr("its manifest is of a newer gitdeploy"))
        backup = from_document(data)
        if backup.id != identity or not re.fullmatch(r"[0-9a-f]{40,64}", backup.commit):
            return Damaged(identity, tr("its manifest is not its own"))
    except FileNotFoundError:
        return Damaged(identity, tr("it has no manifest (it was never finished)"))
    except KeyError:
        return Damaged(identity, tr("its manifest is incomplete"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Damaged(identity, tr("its manifest can't be read: {error}", error=clean(str(error), limit=120)))
    return backup


def read_all(folder: Path) -> tuple[list[Backup], list[Damaged]]:
    """All backups, newest first, and the damaged ones."""
    found: list[Backup] = []
    damaged: list[Damaged] = []
    for name in ids(folder):
        entry = read(folder, name)
        if isinstance(entry, Backup):
            found.append(entry)
        else:
            damaged.append(entry)
    return found, damaged


def last_dump(folder: Path, database: str) -> int | None:
    """Bytes of the newest dump of DATABASE; None where the newest backups have none."""
    for name in ids(folder)[:_LOOKED]:
        found = read(folder, name)
        sizes = (
            [dump.get("size") for dump in found.dumps if dump.get("name") == database]
            if isinstance(found, Backup)
            else []
        )
        if sizes and isinstance(sizes[0], int) and sizes[0] > 0:
            return sizes[0]
    return None


def where_files_are(identity: str) -> str:
    """Where what a backup holds may still be found by hand."""
    return tr("git show {refs}{identity}, and .gitdeploy/backups/{identity}/", refs=REFS, identity=identity)


def find(folder: Path, reference: str) -> Backup:
    """The backup that REFERENCE names: an id, a unique prefix of one, its ref, or `latest`.

    Raises `UsageError` (exit 2) where there is none, `DeploymentFailed` where it is damaged.
    """
    wanted = reference.removeprefix(REFS)
    found, damaged = read_all(folder)
    if wanted == "latest":
        if not found:
            raise NotFound(tr("There is no backup yet."), tr("`gitdeploy backup` makes one; every upgrade does too."))
        return found[0]
    for entry in damaged:
        if entry.id == wanted:
            raise DeploymentFailed(
                tr("Backup {wanted} can't be restored: {problem}.", wanted=wanted, problem=entry.problem),
                tr("Its files may still be there: {where_files_are}", where_files_are=where_files_are(wanted)),
            )
    exact = [backup for backup in found if backup.id == wanted]
    matching = exact or [backup for backup in found if wanted and backup.id.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    shown = clean(reference, limit=80)
    if matching:
        raise UsageError(
            tr(
                "`{shown}` begins several backups: {matching}.",
                shown=shown,
                matching=listing([b.id for b in matching], 5),
            ),
            tr("Give more of the id."),
        )
    raise NotFound(tr("There is no backup `{shown}`.", shown=shown), tr("`gitdeploy backups` lists them."))


def set_outcome(folder: Path, identity: str, outcome: Outcome) -> None:
    """Remember, durably, how the deployment that made a backup ended; a failed one's never pushes a good one out."""
    place = folder / identity / OUTCOME
    with suppress(OSError):
        with place.with_suffix(".new").open("w", encoding="ascii") as out:
            out.write(outcome + "\n")
            out.flush()
            os.fsync(out.fileno())
        os.rename(place.with_suffix(".new"), place)


def outcome(folder: Path, identity: str) -> Outcome:
    with suppress(OSError):
        text = (folder / identity / OUTCOME).read_text().strip()
        if text in ("good", "failed"):
            return text  # type: ignore[return-value]
    return "pending"


def mark_replaced(folder: Path, identity: str) -> None:
    """Remember, durably, that a backup holds the only copy of data that others have taken the place of just now."""
    place = folder / identity / REPLACED_AT
    fresh = place.with_name(f"{REPLACED_AT}.new")
    with fresh.open("w", encoding="ascii") as out:
        out.write(datetime.now(UTC).isoformat(timespec="seconds") + "\n")
        out.flush()
        os.fsync(out.fileno())
    os.rename(fresh, place)


def _holds_replaced(folder: Path, identity: str, keep_for: float) -> bool:
    """Whether it holds such a copy, not older than KEEP_FOR seconds; also where its age can't be told."""
    try:
        text = (folder / identity / REPLACED_AT).read_text()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(text.strip())).total_seconds() < keep_for
    except (ValueError, TypeError):
        return True


def to_prune(folder: Path, keep: int, keep_replaced: float) -> list[Backup]:
    """Backups beyond the newest KEEP good ones. Labelled ones and the newest good one always stay; those of failed
    deployments have KEEP places of their own. One with the only copy of replaced data stays for KEEP_REPLACED seconds
    whatever there is beside it."""
    found, _ = read_all(folder)
    plain = [backup for backup in found if not backup.label]
    good = [backup for backup in plain if outcome(folder, backup.id) != "failed"]
    failed = [backup for backup in plain if outcome(folder, backup.id) == "failed"]
    going = [*good[max(keep, 1) :], *failed[keep:]]
    return [backup for backup in going if not _holds_replaced(folder, backup.id, keep_replaced)]


def remove(folder: Path, identity: str, refs: Refs) -> None:
    """Delete a backup: the manifest first, so that a half-deleted one is not a backup any more."""
    with suppress(FileNotFoundError):
        os.unlink(folder / identity / MANIFEST)
    faultpoints.point("backup removed")
    if REFS + identity in refs.refs(REFS + identity):
        refs.delete_ref(REFS + identity)
    shutil.rmtree(folder / identity, ignore_errors=True)


# ---- kept files ----
