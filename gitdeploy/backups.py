"""Backups: saved states of the app that `restore` brings back.

A backup is a git ref (the tracked files, byte for byte) and a folder `.gitdeploy/backups/<id>` with its manifest, the
kept files, `backup.include` and database dumps. The manifest alone is enough to restore from: a backup outlives a lost
state.db and a lost ref. The venv's share is the generation that was live, which is just not deleted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field
from msgspec.structs import asdict

from gitdeploy import faultpoints, interruption
from gitdeploy.errors import DeploymentFailed, NotFound, UsageError
from gitdeploy.regex import regex
from gitdeploy.text import clean, listing, path_text

REFS = "refs/gitdeploy/backups/"
MANIFEST = "manifest.json"
OUTCOME = "outcome"
REPLACED_AT = "replaced-at"
KEPT_LIMIT = 256 << 20  # bytes: a keep path larger than this stays where it is and is not copied
_ID = regex(r"\d{8}-\d{6}-[A-Za-z0-9][A-Za-z0-9._-]*")
_FICLONE = 0x40049409
_CLOCK_TICK = 100_000_000  # nanoseconds: within so many a file may change without a sign of it

Outcome = Literal["pending", "good", "failed"]


class Refs(Protocol):
    """What is needed of git here."""

    def refs(self, prefix: str) -> dict[str, str]: ...
    def resolve(self, name: str) -> str | None: ...
    def update_ref(self, name: str, new: str, old: str | None = None) -> None: ...
    def delete_ref(self, name: str) -> None: ...


class Backup(Struct, frozen=True):
    """A backup's manifest. `snapshot` is the recorded state of the checkout, `dumps` those of the databases."""

    id: str
    created_at: str
    app: str
    version: str | None
    tag: str | None
    commit: str
    branch: str | None
    reason: str
    label: str
    snapshot: Mapping[str, Any]
    submodules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    all_submodules: bool = False  # whether those are all that had files then
    generation: str | None = None
    venv: str | None = None
    requirements_key: str | None = None
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


def new_id(folder: Path, version: str | None, now: datetime | None = None) -> str:
    """An id that sorts by time and is free: `20261123-101500-v1.2.9` (UTC). Later than every earlier one's time even
    where the clock was set back."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    names = sorted(name for name in _names(folder) if _ID.fullmatch(name))
    if names and names[-1][:15] > moment:
        moment = names[-1][:15]
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", version or "unversioned").strip("-._") or "unversioned"
    identity = f"{moment}-{label[:60]}"
    while any(name[:15] == moment and name >= identity for name in names):
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


def write(folder: Path, backup: Backup) -> None:
    """Write a backup's manifest, durably; from then on the backup counts."""
    place = folder / backup.id
    place.mkdir(mode=0o700, exist_ok=True)
    temporary = place / f"{MANIFEST}.{os.urandom(4).hex()}"
    with temporary.open("w", encoding="ascii") as out:
        json.dump(asdict(backup), out, indent=1)
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


def read(folder: Path, identity: str) -> Backup | Damaged:
    """One backup by its id."""
    try:
        data = json.loads((folder / identity / MANIFEST).read_bytes())
        if data.get("format") != 1:
            return Damaged(identity, "its manifest is of a newer gitdeploy")
        backup = Backup(**data)
        if backup.id != identity or not re.fullmatch(r"[0-9a-f]{40,64}", backup.commit):
            return Damaged(identity, "its manifest is not its own")
        if not {"commit", "head", "tree", "index_tree"} <= backup.snapshot.keys():
            return Damaged(identity, "its manifest is incomplete")
    except FileNotFoundError:
        return Damaged(identity, "it has no manifest (it was never finished)")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Damaged(identity, f"its manifest can't be read: {clean(str(error), limit=120)}")
    return backup


def read_all(folder: Path) -> tuple[list[Backup], list[Damaged]]:
    """All backups, newest first, and the damaged ones."""
    found: list[Backup] = []
    damaged: list[Damaged] = []
    for name in sorted(_names(folder), reverse=True):
        if _ID.fullmatch(name):
            entry = read(folder, name)
            if isinstance(entry, Backup):
                found.append(entry)
            else:
                damaged.append(entry)
    return found, damaged


def find(folder: Path, reference: str) -> Backup:
    """The backup that REFERENCE names: an id, a unique prefix of one, its ref, or `latest`.

    Raises `UsageError` (exit 2) where there is none, `DeploymentFailed` where it is damaged.
    """
    wanted = reference.removeprefix(REFS)
    found, damaged = read_all(folder)
    if wanted == "latest":
        if not found:
            raise NotFound("There is no backup yet.", "`gitdeploy backup` makes one; every upgrade does too.")
        return found[0]
    for entry in damaged:
        if entry.id == wanted:
            raise DeploymentFailed(
                f"Backup {wanted} can't be restored: {entry.problem}.",
                f"Its files may still be there: git show {REFS}{wanted}, and .gitdeploy/backups/{wanted}/",
            )
    exact = [backup for backup in found if backup.id == wanted]
    matching = exact or [backup for backup in found if wanted and backup.id.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    shown = clean(reference, limit=80)
    if matching:
        raise UsageError(
            f"`{shown}` begins several backups: {listing([b.id for b in matching], 5)}.", "Give more of the id."
        )
    raise NotFound(f"There is no backup `{shown}`.", "`gitdeploy backups` lists them.")


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
    """Delete a backup: the manifest first, so that a half-deleted one is no backup any more."""
    with suppress(FileNotFoundError):
        os.unlink(folder / identity / MANIFEST)
    faultpoints.point("backup removed")
    if REFS + identity in refs.refs(REFS + identity):
        refs.delete_ref(REFS + identity)
    shutil.rmtree(folder / identity, ignore_errors=True)


def disk_size(path: Path) -> int:
    """Bytes on disk below PATH, every hard link counted once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for base, _, files in os.walk(path):
        for name in (*files, "."):
            with suppress(OSError):
                found = os.lstat(os.path.join(base, name))
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * 512
    return total


# ---- kept files ----


def matching_paths(root: Path, patterns: Iterable[str]) -> list[str]:
    """Existing paths (relative, no folder twice) that keep or include patterns name. Nothing outside ROOT, ever."""
    found: set[str] = set()
    for pattern in patterns:
        name = pattern.rstrip("/").removeprefix("./")
        if any(character in name for character in "*?["):
            found |= {str(path.relative_to(root)) for path in root.glob(name) if ".gitdeploy" not in path.parts}
        elif _exists(root / name):
            found.add(name)
    inner = {path for path in found if any(path.startswith(other + "/") for other in found)}
    return sorted(
        path for path in found - inner if path.split("/")[0] not in (".git", ".gitdeploy") and _inside(root, path)
    )


def _exists(path: Path) -> bool:
    """Whether anything stands at PATH. Raises `DeploymentFailed` where that can't be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _unreadable(path: Path, error: OSError) -> DeploymentFailed:
    return DeploymentFailed(
        f"{path_text(str(path))} can't be read for the backup: {error.strerror}.",
        "Make it readable for the user that runs gitdeploy, or take it out of git.keep and backup.include.",
    )


def _inside(root: Path, path: str) -> bool:
    parent = os.path.realpath(root / os.path.dirname(path))
    real = os.path.realpath(root)
    return parent == real or parent.startswith(real + "/")


def content_size(root: Path, paths: Iterable[str]) -> int:
    """Bytes of the files at and below PATHS."""
    total = 0
    for path in paths:
        full = root / path
        if full.is_dir() and not full.is_symlink():
            for base, _, files in os.walk(full):
                for name in files:
                    with suppress(OSError):
                        total += os.lstat(os.path.join(base, name)).st_size
        else:
            with suppress(OSError):
                total += os.lstat(full).st_size
    return total


def copy_paths(root: Path, paths: Sequence[str], folder: Path, leave: Collection[Path] = ()) -> list[str]:
    """Copy files and folders (modes, times, links as links; no sockets, no pipes) below FOLDER; files of LEAVE are left
    out. Returns what was copied."""
    copied = []
    for path in paths:
        source, place = root / path, folder / path
        if source not in leave:
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_tree(source, place, leave)
            copied.append(path)
    return copied


def copy_tree(source: Path, place: Path, leave: Collection[Path] = (), known: Path | None = None) -> None:
    """Copy one file, link or folder, sharing blocks where the file system can.

    known: an earlier copy of it, nobody else's: files that have not changed since are linked from there.
    """
    interruption.check()
    if source in leave:
        return
    try:
        found = source.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        place.symlink_to(os.readlink(source))
    elif stat.S_ISDIR(found.st_mode):
        place.mkdir(mode=0o700, exist_ok=True)
        try:
            names = os.listdir(source)
        except PermissionError as error:
            raise _unreadable(source, error) from error
        for name in names:
            copy_tree(source / name, place / name, leave, known / name if known is not None else None)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif stat.S_ISREG(found.st_mode):
        if known is not None and _unchanged(found, known):
            with suppress(OSError):
                os.link(known, place)
                return
        _copy_file(source, place)
        os.chmod(place, stat.S_IMODE(found.st_mode))
        _owner(place, found)
        os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))


def _unchanged(found: os.stat_result, copy: Path) -> bool:
    """Whether a file has not changed, mode and all, since COPY was made of it; told by the clock of the file system."""
    try:
        then = copy.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(then.st_mode)
        and (then.st_size, then.st_mtime_ns, then.st_mode) == (found.st_size, found.st_mtime_ns, found.st_mode)
        and found.st_ctime_ns < then.st_ctime_ns - _CLOCK_TICK
    )


def _owner(place: Path, found: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(place, found.st_uid, found.st_gid)
        os.chmod(place, stat.S_IMODE(found.st_mode))


def _copy_file(source: Path, place: Path) -> None:
    try:
        with open(source, "rb") as reader, open(place, "xb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError:
                shutil.copyfileobj(reader, writer, 1 << 20)
    except PermissionError as error:
        raise _unreadable(source, error) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DeploymentFailed(
                "The disk is full: the backup can't be written.", "Make room, then try again."
            ) from error
        raise
