"""A backup as one file, to be copied off the server: what stands in it, written and read.

A tar, compressed: `export.json` first, which lists every other member with size and SHA-256; `objects.bundle` (git's
own format, git-bundle(1)), one more below `modules/` for each submodule; and below `files/` what the backup's folder holds. What is read is believed in nothing: a
member that isn't listed, another size or hash, a path that leads outside, a link or a device ends the reading.

What is encrypted in a backup (`encrypted.py`) has the same form, uncompressed and without git's objects.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.backups.places import REPLACED
from gitdeploy.backups.store import ID
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import interruption, progress
from gitdeploy.text import clean, path_text
from gitdeploy.text import listing as listing_of

LISTING = "export.json"
BUNDLE = "objects.bundle"
FILES = "files/"
FORMAT = 1
MOST_LISTED = 64 << 20  # bytes of export.json
MOST_MEMBERS = 500_000
_LONGEST_NAME = 8192  # bytes
_LONGEST_ID = 100
_BLOCK = 1 << 20
_HASH = re.compile(r"[0-9a-f]{64}")


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """A member: its path in the archive, permissions, bytes and hash. A link has `link`, a path beside it, and no bytes; a
    folder neither. `mtime`: nanoseconds since 1970; `uid` and `gid` are -1 where whose it is doesn't go along."""

    path: str
    mode: int
    size: int = 0
    sha256: str = ""
    link: str = ""
    folder: bool = False
    mtime: int = 0
    uid: int = -1
    gid: int = -1


class Package(Struct, frozen=True):
    """An installed distribution of the backup's venv; `sha256`: of its RECORD, which has the hashes of its files."""

    name: str
    version: str
    sha256: str


class Module(Struct, frozen=True):
    """A submodule: its path in the checkout, its repository below .git (`modules/NAME`), the member with its objects, and
    the commit that keeps its state."""

    path: str
    source: str
    file: str
    commit: str


class Listing(Struct, frozen=True):
    """`export.json`: what the archive is. `manifest`: the backup's own, as its server had it."""

    format: int
    app: str
    backup: str
    manifest: Mapping[str, Any]
    entries: Sequence[Entry]
    packages: Sequence[Package] = ()
    modules: Sequence[Module] = ()


def module_member(number: int) -> str:
    """The member with the objects of the submodule NUMBER."""
    return f"modules/{number}.bundle"


class Refused(DeploymentFailed):
    """An archive is not what it should be; `why`: the end of a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(
            tr("This file can't be imported: {why}.", why=why),
            tr("Export it anew where it came from: gitdeploy backups export ID FILE"),
        )
        self.why = why


def refused(why: str) -> Refused:
    return Refused(why)


# ---- writing ----


def entries_of(folder: Path, leave: Collection[str], *, owners: bool = False) -> list[Entry]:
    """Everything below FOLDER but the names of LEAVE at its top; with whose it is for OWNERS. Sockets and pipes are left out."""
    found: list[Entry] = []
    for base, folders, files in os.walk(folder):
        folders.sort()
        top = Path(base) == folder
        if top:
            folders[:] = [name for name in folders if name not in leave]
        for name in sorted([*folders, *files]):
            if top and name in leave:
                continue
            place = Path(base, name)
            facts = place.lstat()
            path = FILES + str(place.relative_to(folder))
            made = Entry(path, stat.S_IMODE(facts.st_mode) & 0o777, mtime=facts.st_mtime_ns)
            if owners:
                made = replace(made, mode=stat.S_IMODE(facts.st_mode), uid=facts.st_uid, gid=facts.st_gid)
            if stat.S_ISLNK(facts.st_mode):
                found.append(replace(made, link=os.readlink(place)))
            elif stat.S_ISDIR(facts.st_mode):
                found.append(replace(made, folder=True))
            elif stat.S_ISREG(facts.st_mode):
                found.append(replace(made, size=facts.st_size, sha256=file_hash(place)))
    return found


def file_hash(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            interruption.check()
            made.update(block)
            progress.add(len(block), "bytes")
    return made.hexdigest()


def write(out: IO[bytes], listing: Listing, place_of: Callable[[str], Path], *, compressed: bool = True) -> None:
    """Write the archive to OUT, which need not be seekable. PLACE_OF: where a member's bytes are, by its path."""
    mode: Literal["w|gz", "w|"] = "w|gz" if compressed else "w|"
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.GNU_FORMAT) as tar:
        text = json.dumps(msgspec.to_builtins(listing), indent=1).encode()  # its own: names may be no UTF-8
        _add(tar, LISTING, len(text), io.BytesIO(text))
        for entry in listing.entries:
            if entry.folder or entry.link:
                continue
            with place_of(entry.path).open("rb") as source:
                hashed = _Hashed(source)
                with suppress(EOFError):
                    _add(tar, entry.path, entry.size, hashed)
                if hashed.made.hexdigest() != entry.sha256:  # what reads it would refuse the whole
                    raise DeploymentFailed(
                        tr("{path} was changed while it was read.", path=path_text(entry.path.removeprefix(FILES))),
                        tr("Try again in a moment."),
                    )


class _Hashed:
    """Bytes of SOURCE, hashed as they are read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.made = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._source.read(size)
        if len(block) < size:
            raise EOFError  # it is shorter by now
        self.made.update(block)
        interruption.check()
        progress.add(size, "bytes")
        return block


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes] | _Hashed) -> None:
    interruption.check()
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, cast("IO[bytes]", source))


# ---- reading ----


class _Plain(tarfile.TarInfo):
    """A member without headers of any length, which the library would read into memory whole."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        long_name = self.type == tarfile.GNUTYPE_LONGNAME and self.size <= _LONGEST_NAME
        if not long_name and self.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise tarfile.ReadError("a member of another kind")
        made: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # not in its types
        return made


class Reader:
    """An archive that is read from its beginning to its end. Every method raises `DeploymentFailed` for what it mustn't be.

    whole: an export, compressed, with git's objects. ours: this server wrote it, so that links may lead anywhere and files be
    whoever's; nothing of it is written outside all the same.
    """

    def __init__(self, source: IO[bytes], *, whole: bool = True, ours: bool = False) -> None:
        self._ours = ours
        mode: Literal["r|gz", "r|"] = "r|gz" if whole else "r|"
        try:
            self._tar = tarfile.open(fileobj=source, mode=mode, tarinfo=_Plain)  # noqa: SIM115  # read on in `unpack`
            self._members = iter(self._tar)
            self.listing = self._read_listing()
        except (tarfile.TarError, EOFError, OSError, UnicodeError) as error:
            raise refused(
                tr("it is not an export of a backup ({error})", error=clean(str(error), limit=100))
            ) from error
        self.entries = {entry.path: entry for entry in self.listing.entries}
        check_listing(self.listing, whole=whole, ours=ours)
        self.left_out = frozenset(leading_outside(self.listing, whole=whole, ours=ours))

    @property
    def size(self) -> int:
        """Bytes that all members need."""
        return sum(entry.size for entry in self.listing.entries)

    def _read_listing(self) -> Listing:
        member = next(self._members, None)
        most = MOST_LISTED * 16 if self._ours else MOST_LISTED
        if member is None or member.name != LISTING or not member.isreg() or member.size > most:
            raise refused(tr("it does not begin with its list"))
        source = self._tar.extractfile(member)
        assert source is not None
        try:
            return msgspec.convert(json.loads(source.read()), Listing)
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            raise refused(tr("its list can't be read ({error})", error=clean(str(error), limit=120))) from error

    def unpack(self, folder: Path) -> None:
        """Write all members below FOLDER, one of our own that holds nothing but what was unpacked before: files first, links
        last, so that nothing is ever written through one."""
        missing = {path for path, entry in self.entries.items() if not entry.folder and not entry.link}
        for entry in self.listing.entries:
            if entry.folder:
                (folder / entry.path).mkdir(parents=True, mode=0o700, exist_ok=True)
        try:
            for member in self._members:
                self._tar.members = []  # type: ignore[attr-defined]  # else it would remember each
                if member.name not in missing:
                    raise refused(tr("{name} is not in its list", name=path_text(member.name[:200])))
                entry = self.entries[member.name]
                if not member.isreg() or member.size != entry.size:
                    raise refused(tr("{name} is not what its list says", name=path_text(member.name)))
                source = self._tar.extractfile(member)
                assert source is not None
                self._write(source, entry, folder)
                missing.discard(member.name)
        except (tarfile.TarError, EOFError) as error:
            raise refused(tr("it is cut off or damaged ({error})", error=clean(str(error), limit=100))) from error
        if missing:
            raise refused(tr("{name} is missing in it", name=path_text(min(missing))))
        for entry in self.listing.entries:
            if entry.link and entry.path not in self.left_out:
                place = folder / entry.path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                place.symlink_to(entry.link)
                self._facts(place, entry)
        for entry in reversed(self.listing.entries):
            if entry.folder:
                (folder / entry.path).chmod(self._mode(entry) | 0o700)
                self._facts(folder / entry.path, entry)

    def _write(self, source: IO[bytes], entry: Entry, folder: Path) -> None:
        place = folder / entry.path
        place.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        made = hashlib.sha256()
        place.unlink(missing_ok=True)
        with place.open("xb") as out:
            os.fchmod(out.fileno(), self._mode(entry))
            for block in _blocks(source):
                made.update(block)
                out.write(block)
        if made.hexdigest() != entry.sha256:
            raise refused(tr("{name} has another hash than its list says", name=path_text(entry.path)))
        self._facts(place, entry)

    def _mode(self, entry: Entry) -> int:
        return entry.mode if self._ours else entry.mode & 0o777

    def _facts(self, place: Path, entry: Entry) -> None:
        if self._ours and os.geteuid() == 0 and entry.uid >= 0 and entry.gid >= 0:
            os.chown(place, entry.uid, entry.gid, follow_symlinks=False)
            if not entry.link:
                os.chmod(place, entry.mode | (0o700 if entry.folder else 0))
        with suppress(OverflowError):  # a time that no file has
            os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False)


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        interruption.check()
        progress.add(len(block), "bytes")
        yield block


def check_listing(listing: Listing, *, whole: bool = True, ours: bool = False) -> None:
    """Refuse a list with paths that lead outside, or twice the same. WHOLE and OURS: as for `Reader`."""
    if listing.format != FORMAT:
        raise refused(tr("it is of a newer gitdeploy"))
    if not ID.fullmatch(listing.backup) or len(listing.backup) > _LONGEST_ID:
        raise refused(tr("its backup has no proper id"))
    if len(listing.entries) > MOST_MEMBERS and not ours:
        raise refused(tr("it lists more than {number} files", number=MOST_MEMBERS))
    seen: set[str] = set()
    bundles = {BUNDLE, *map(module_member, range(len(listing.modules)))} if whole else set()
    if [each.file for each in listing.modules] != list(map(module_member, range(len(listing.modules)))):
        raise refused(tr("its submodules are not those of its manifest"))
    kinds = {entry.path: entry for entry in listing.entries}
    for entry in listing.entries:
        shown = path_text(entry.path[:200])
        # What was replaced here is this server's, also where the backup is another's; and so may be a folder's group.
        own = _is_own(entry, whole=whole, ours=ours)
        inside = entry.path.removeprefix(FILES) if entry.path.startswith(FILES) else None
        if entry.path not in bundles and (inside is None or not is_inside(inside, ours=own)):
            raise refused(tr("{shown} leads outside of it", shown=shown))
        if entry.path in seen:
            raise refused(tr("{shown} stands in it twice", shown=shown))
        seen.add(entry.path)
        if not 0 <= entry.size < 1 << 62 or not 0 <= entry.mode <= (0o777 if whole else 0o7777):
            raise refused(tr("{shown} has an impossible size or mode", shown=shown))
        if not entry.link and not entry.folder and not _HASH.fullmatch(entry.sha256):
            raise refused(tr("{shown} has no hash", shown=shown))
        parent = entry.path.rpartition("/")[0]
        while parent:
            if parent in kinds and not kinds[parent].folder:
                raise refused(tr("{shown} lies below what is not a folder", shown=shown))
            parent = parent.rpartition("/")[0]
    if not bundles <= seen:
        raise refused(tr("it holds no git objects"))


def _is_own(entry: Entry, *, whole: bool, ours: bool) -> bool:
    return ours or (not whole and entry.path.startswith(f"{FILES}{REPLACED}/"))


def leading_outside(listing: Listing, *, whole: bool = True, ours: bool = False) -> Iterator[str]:
    """The links of a list that lead outside of it, which are not made: what is there on one server is another's on the next."""
    kinds = {entry.path: entry for entry in listing.entries}
    for entry in listing.entries:
        if entry.link and not _is_own(entry, whole=whole, ours=ours) and not _stays(entry, kinds):
            yield entry.path


def left_out_sentence(left_out: Collection[str]) -> str:
    """What is said of those; empty where there are none."""
    if not left_out:
        return ""
    names = [path_text(path.removeprefix(FILES).partition("/")[2]) for path in sorted(left_out)]
    return tr(
        "Left out, since they are links that lead outside of the backup: {links}. Make them anew after a restore.",
        links=listing_of(names, 5),
    )


def is_inside(path: str, *, ours: bool = False) -> bool:
    """Whether PATH is a relative one without tricks: no `..`, no empty part, and unless it is OURS nothing of git's or
    gitdeploy's own."""
    parts = path.split("/")
    return (
        bool(path)
        and "\0" not in path
        and len(path) < 4096
        and all(part not in ("", ".", "..") for part in parts)
        and (ours or not any(part.lower() in (".git", ".gitdeploy") for part in parts))
    )


def _stays(entry: Entry, kinds: Mapping[str, Entry]) -> bool:
    """Whether a link leads to something below the same kept or included path's part of the archive, of which KINDS has every
    member by its path. What lies above the end of another link can't be told by names."""
    if entry.link.startswith("/") or "\0" in entry.link:
        return False
    parts = entry.path.removeprefix(FILES).split("/")[:-1]
    through = False
    for part in entry.link.split("/"):
        if part == "..":
            if through or len(parts) < 2:
                return False
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
            member = kinds.get(FILES + "/".join(parts))
            through = through or (member is not None and bool(member.link))
    return True
