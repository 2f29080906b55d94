"""What is encrypted in a backup's folder.

`encrypted-1.age` (or `.gpg`) holds what stood in the folder, in the form of `archive.py`; beside it `encrypted-1.json` has the
names, sizes and times of that, so that what a backup holds can be listed and compared without the key. What was written into
the folder later is in `encrypted-2.age`, and so on; the later one counts. A part is there once its name is, which it gets by
one rename; what it holds is deleted from the folder after that. So at whatever instant the process dies, everything is there
plain or encrypted, and the next call deletes what is there both ways.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups import archive, copying, encryption
from gitdeploy.backups.archive import FILES, Entry, Listing, Reader
from gitdeploy.backups.store import MANIFEST, OUTCOME, REPLACED_AT, Backup
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, progress
from gitdeploy.system.durable import sync_directory, write_durably
from gitdeploy.text import path_text, size_text

OPENED = "decrypted.new"  # half a decryption
_PART = re.compile(r"encrypted-([1-9][0-9]{0,5})\.(?:age|gpg)")
_OWN = re.compile(r"encrypted-[0-9]+\.(?:age|gpg|json)(?:\.new|\.tmp)?")
_LARGEST = archive.MOST_LISTED * 16  # bytes of a part's list


class Contents(Struct, frozen=True):
    """`encrypted-1.json`: for whom, and what; without hashes, by which a short secret could be guessed."""

    recipients: Sequence[str]
    entries: Sequence[Entry]


def parts(folder: Path) -> list[Path]:
    """The encrypted files of the backup in FOLDER, oldest first; none where it isn't encrypted."""
    try:
        found = [(int(part[1]), part[0]) for name in os.listdir(folder) if (part := _PART.fullmatch(name))]
    except FileNotFoundError:
        return []
    return [folder / name for _, name in sorted(found)]


def recipients(folder: Path) -> list[str]:
    """For whom the newest part is encrypted."""
    found = parts(folder)
    return list(_contents(found[-1]).recipients) if found else []


def _contents(part: Path) -> Contents:
    """What PART holds; nothing where that can't be told."""
    return _contents_of(_stamped(part))


_Stamped = tuple[Path, tuple[int, ...]]  # a list's place, and what tells that it is the same


def _stamped(part: Path) -> _Stamped:
    place = part.with_suffix(".json")
    try:
        facts = place.stat()
    except OSError:
        return place, ()
    return place, (facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_ctime_ns)


@lru_cache(maxsize=4)
def _contents_of(stamped: _Stamped) -> Contents:
    place, facts = stamped
    with suppress(OSError, ValueError, RecursionError, msgspec.ValidationError):
        if facts and facts[0] <= _LARGEST:
            return msgspec.convert(json.loads(place.read_bytes()), Contents)
    return Contents((), ())


def entries(folder: Path) -> Mapping[str, Entry]:
    """Path in the backup's folder -> what is encrypted of it."""
    return _entries_of(tuple(_stamped(part) for part in parts(folder)))


@lru_cache(maxsize=2)  # each path of a backup is asked for by itself
def _entries_of(lists: tuple[_Stamped, ...]) -> Mapping[str, Entry]:
    return {entry.path.removeprefix(FILES): entry for each in lists for entry in _contents_of(each).entries}


def plain(folder: Path) -> list[str]:
    """Names in FOLDER that stand there as they are and should be encrypted."""
    own = (MANIFEST, OUTCOME, REPLACED_AT)
    return sorted(
        name
        for name in os.listdir(folder)
        if name not in own and not name.startswith(tuple(f"{each}." for each in own)) and not _OWN.fullmatch(name)
    )


# ---- encrypting ----


def encrypt(folder: Path, backup: str, wanted: Sequence[str]) -> bool:
    """Whatever stands plain in FOLDER, that of the backup BACKUP, is encrypted for the recipients WANTED and then deleted;
    whether anything did. Raises `GitDeployError`, `OSError`."""
    left: OSError | None = None
    try:
        tidy(folder)
    except OSError as error:  # something can't be deleted: the rest is encrypted all the same
        left = error
    more = _more_than_parts(folder)
    if more:
        made = write_part(folder, folder, backup, wanted)
        sync_directory(folder)
        faultpoints.point("backup encrypted")
        _delete_what_is_in(folder, _contents(made))
    if left is not None:
        raise left
    return more


def _more_than_parts(folder: Path) -> bool:
    """Whether anything stands plain in FOLDER that no part holds. What can't be deleted, or is neither file, link nor folder,
    would make a new part each time. Sockets and pipes, which hold nothing, are deleted."""
    held = entries(folder)
    more = False
    for name in plain(folder):
        for path in (name, *_below_name(folder, name)):
            with _folder_of(folder, path) as inside:
                last = path.rpartition("/")[2]
                if inside is None or _deleted_pipe(inside, last):
                    continue
                entry = held.get(path)
                more = more or entry is None or not _same(inside, last, entry)
    return more


def _below_name(folder: Path, name: str) -> Iterator[str]:
    for base, folders, files in os.walk(folder / name):
        for each in (*folders, *files):
            yield str(Path(base, each).relative_to(folder))


def _deleted_pipe(inside: int, name: str) -> bool:
    with suppress(OSError):
        mode = os.lstat(name, dir_fd=inside).st_mode
        if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
            os.unlink(name, dir_fd=inside)
            return True
    return False


def next_part(folder: Path, wanted: Sequence[str]) -> Path:
    """Where what stands plain in FOLDER now will be, encrypted for WANTED."""
    number = 1 + max((int(part.stem.partition("-")[2]) for part in parts(folder)), default=0)
    return folder / f"encrypted-{number}.{encryption.program_for(wanted)}"


def write_part(folder: Path, where: Path, backup: str, wanted: Sequence[str]) -> Path:
    """The next part of FOLDER, with what stands plain in it, in the folder WHERE; nothing is deleted."""
    part = where / next_part(folder, wanted).name
    names = set(plain(folder))
    leave = [name for name in os.listdir(folder) if name not in names]
    with progress.of(tr("reading backup {backup}", backup=backup), "bytes"):
        found = archive.entries_of(folder, leave, owners=True)
    listing = Listing(archive.FORMAT, "", backup, {}, found)
    fresh = part.with_name(f"{part.name}.new")
    fresh.unlink(missing_ok=True)
    place_of = partial(_place_of, folder)
    try:
        total = sum(entry.size for entry in found)
        with progress.of(tr("encrypting backup {backup}", backup=backup), "bytes", total, about=True):
            encryption.encrypt(lambda out: archive.write(out, listing, place_of, compressed=False), fresh, wanted)
        told = Contents(list(wanted), [replace(entry, sha256="") for entry in found])
        write_durably(part.with_suffix(".json"), json.dumps(msgspec.to_builtins(told)).encode())
        faultpoints.point("backup beside")
        os.rename(fresh, part)
    finally:
        fresh.unlink(missing_ok=True)
    return part


def _place_of(folder: Path, path: str) -> Path:
    return folder / path.removeprefix(FILES)


def tidy(folder: Path) -> None:
    """Delete what is half-made in FOLDER, and what stands there plain although a part holds just that."""
    shutil.rmtree(folder / OPENED, ignore_errors=True)
    for name in os.listdir(folder):
        if _OWN.fullmatch(name) and name.endswith((".new", ".tmp")):
            (folder / name).unlink(missing_ok=True)
    if plain(folder):
        for part in reversed(parts(folder)):
            _delete_what_is_in(folder, _contents(part))


def _delete_what_is_in(folder: Path, contents: Contents) -> None:
    """Goes on past what can't be deleted; raises the first `OSError` of those at the end. What the list names is believed in
    nothing: another server may have made it, so no link is followed."""
    names = set(plain(folder))
    failed: OSError | None = None
    for entry in sorted(contents.entries, key=lambda each: each.path, reverse=True):  # what is in a folder before it
        path = entry.path.removeprefix(FILES)
        if not archive.is_inside(path, ours=True) or path.split("/")[0] not in names:
            continue
        with _folder_of(folder, path) as inside:
            name = path.rpartition("/")[2]
            if inside is None or not _same(inside, name, entry):
                continue
            try:
                _delete(inside, name, entry)
            except OSError as error:
                failed = failed or OSError(error.errno, error.strerror, str(folder / path))
    if failed is not None:
        raise failed


@contextmanager
def _folder_of(folder: Path, path: str) -> Iterator[int | None]:
    """A descriptor of the folder below FOLDER that PATH lies in; None where that is none, or is reached by a link."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as opened:
        inside = os.open(folder, flags)
        opened.callback(os.close, inside)
        for part in path.split("/")[:-1]:
            try:
                inside = os.open(part, flags, dir_fd=inside)
            except OSError:
                yield None
                return
            opened.callback(os.close, inside)
        yield inside


def _same(inside: int, name: str, entry: Entry) -> bool:
    """Whether NAME in a folder (its descriptor INSIDE) is what ENTRY was made of; a folder is, whatever is in it."""
    try:
        facts = os.lstat(name, dir_fd=inside)
        if stat.S_ISLNK(facts.st_mode):
            return os.readlink(name, dir_fd=inside) == entry.link
    except OSError:
        return False
    if stat.S_ISDIR(facts.st_mode):
        return entry.folder
    plain_file = stat.S_ISREG(facts.st_mode) and not entry.folder and not entry.link
    return plain_file and (facts.st_size, facts.st_mtime_ns) == (entry.size, entry.mtime)


def _delete(inside: int, name: str, entry: Entry) -> None:
    if entry.folder:
        with suppress(OSError):  # something else is in it, and is encrypted the next time
            os.rmdir(name, dir_fd=inside)
        return
    try:
        os.unlink(name, dir_fd=inside)
    except PermissionError:  # in a folder that was copied without the right to write
        os.chmod(f"/proc/self/fd/{inside}", 0o700)
        os.unlink(name, dir_fd=inside)


# ---- decrypting ----


def decrypt(folder: Path, backup: Backup, identity: Path | None) -> str:
    """What is encrypted in FOLDER, BACKUP's, stands there plain as well; `tidy` deletes it again. Nothing is there where it fails.
    What was left out of it, as a sentence. Raises `GitDeployError`, `OSError`."""
    tidy(folder)
    needed = sum(entry.size for entry in entries(folder).values())
    if needed > (free := shutil.disk_usage(folder).free):
        raise DeploymentFailed(
            tr(
                "To decrypt backup {backup} takes {size}, and {free} is free.",
                backup=backup.id,
                size=size_text(needed),
                free=size_text(free),
            ),
            tr("Make room, then try again."),
        )
    opened = folder / OPENED
    opened.mkdir(mode=0o700)
    left_out: set[str] = set()
    try:
        for part in parts(folder):
            with progress.of(tr("decrypting backup {backup}", backup=backup.id), "bytes", part.stat().st_size):
                encryption.decrypt(part, identity, partial(_unpack, opened, backup, left_out))
        faultpoints.point("backup decrypted")
        _move(opened / FILES, folder)
    finally:
        shutil.rmtree(opened, ignore_errors=True)
    return archive.left_out_sentence(left_out)


def _unpack(opened: Path, backup: Backup, left_out: set[str], source: IO[bytes]) -> None:
    try:
        reader = Reader(source, whole=False, ours=not backup.imported)
        if reader.listing.backup != backup.id:
            raise archive.refused(tr("it is of another backup"))
        reader.unpack(opened)
        left_out |= reader.left_out
    except archive.Refused as error:
        raise DeploymentFailed(
            tr("What is encrypted in backup {backup} can't be used: {why}.", backup=backup.id, why=error.why),
            tr("To look into it: gitdeploy backups show {backup}", backup=backup.id),
        ) from error


def _move(source: Path, target: Path) -> None:
    """Everything below SOURCE below TARGET, but for what is there."""
    if not source.is_dir():
        return
    for place in sorted(source.iterdir()):
        there = target / place.name
        if not os.path.lexists(there):
            os.rename(place, there)
        elif there.is_dir() and not there.is_symlink() and place.is_dir() and not place.is_symlink():
            _move(place, there)


# ---- comparing ----


def differing_files(folder: Path, path: str, live: Path, leave: frozenset[Path] = frozenset()) -> tuple[int, int]:
    """As `copying.differing_files` of PATH in a backup's FOLDER and LIVE, also where that copy is encrypted."""
    if os.path.lexists(folder / path):
        return copying.differing_files(folder / path, live, leave)
    return copying.differing(_files(folder, path), live, leave)


def content_size(folder: Path, path: str) -> int:
    """Bytes of the files at and below PATH in a backup's FOLDER, encrypted or not."""
    if os.path.lexists(folder / path):
        return copying.content_size(folder, [path])
    return sum(size for size, _ in _files(folder, path).values())


def _files(folder: Path, path: str) -> dict[str, tuple[int, int]]:
    """What `copying` compares of the copy at PATH."""
    return {
        os.path.relpath(name, path): (len(os.fsencode(entry.link)), zlib.crc32(os.fsencode(entry.link)))
        if entry.link
        else (entry.size, entry.mtime)
        for name, entry in _below(folder, path)
        if not entry.folder
    }


def _below(folder: Path, path: str) -> Iterator[tuple[str, Entry]]:
    held = entries(folder)
    if path in held and not held[path].folder:
        yield path, held[path]
        return
    for name, entry in held.items():
        if name == path or name.startswith(f"{path}/"):
            yield name, entry


def ways_in(folder: Path) -> list[str]:
    """The commands by which somebody with the key looks into what is encrypted in FOLDER."""
    return [encryption.by_hand(part) for part in parts(folder)]


def not_all(folder: Path) -> str | None:
    """A name in FOLDER that stands there plain, if any does."""
    names = plain(folder)
    return path_text(names[0]) if names else None
