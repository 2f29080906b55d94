"""A second venv beside the first: one more name for each packaged file, a copy of each that something writes in place.

pip (19.3 and later) and uv replace files and never write into them, so a packaged file may have a name in both venvs.
Copied instead: what tools and people do edit in place (`bin/`, the venv's own settings, `*.dist-info`, `*.pth` ...), and
whatever no `RECORD` lists or has another size than it says: an app that writes into its own packages.
"""

from __future__ import annotations

import csv
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import interruption, progress
from gitdeploy.system.reflink import share
from gitdeploy.text import path_text
from gitdeploy.venvs.built import BUILT
from gitdeploy.venvs.live import packages, site_folders
from gitdeploy.venvs.scripts import names_places
from gitdeploy.venvs.seal import BYTECODE, File, sealed_files

_COPIED_FOLDERS = ("bin", "etc", "share")
_COPIED_ENDINGS = (".pth", ".egg-link", ".conf")
_COPIED_NAMES = ("cacert.pem",)
_COPIED_FOLDER_ENDINGS = (".dist-info", ".egg-info")
_LEFT_OUT = (".lock",)  # uv's, in the venv's root
_BLOCK = 4096
_LINK_REFUSED = frozenset((errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES))
_CURES = {
    errno.ENOSPC: tr(" Make room: gitdeploy prune"),
    errno.EACCES: tr(" Give the venv to its app's user again, as root: chown -R --reference=.git venv/"),
}
_NO_REFLINK = frozenset(
    (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)
)


class Cloned(Struct):
    """How much was done: files with a second name, files copied, bytes copied, and the first reasons for not linking."""

    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    reflinked: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)  # of packages, as they are in the clone, by their path in it


def clone(source: Path, target: Path, *, link_mode: str = "auto", on_start: Callable[[], None] | None = None) -> Cloned:
    """Make TARGET, which must not exist, a venv with the files of SOURCE. SOURCE isn't changed.

    on_start: called when TARGET has its settings, scripts and packages' metadata, so that its interpreter starts there;
    the packages themselves follow.

    link_mode: auto (reflink where the file system has it, else hard links), reflink, hardlink or copy; a file that can't
    be linked is copied. Raises `DeploymentFailed` where SOURCE can't be read or TARGET not written.
    """
    if link_mode in ("auto", "hardlink") and _writes_in_place(packages(source)):
        link_mode = "copy"
    try:
        return _Cloner(source, target, link_mode).run(on_start)
    except OSError as error:
        raise DeploymentFailed(
            tr(
                "Copying the venv to {target} failed at {filename}: {strerror}.",
                target=path_text(str(target)),
                filename=path_text(str(error.filename or source)),
                strerror=error.strerror,
            ),
            tr("The live venv was not touched.") + _CURES.get(error.errno or 0, ""),
        ) from error


def clone_size(source: Path, target: Path, *, link_mode: str = "auto") -> int:
    """Bytes on disk that `clone` of SOURCE to TARGET would take, blocks shared by reflink counted as if copied."""
    if link_mode == "auto" and _writes_in_place(packages(source)):
        link_mode = "copy"
    return _Cloner(source, target, "hardlink" if link_mode == "auto" else link_mode).size()


def _writes_in_place(installed: dict[str, str]) -> bool:
    """pip before 19.3 writes into files that overlap between packages."""
    found = re.match(r"(\d+)\.(\d+)", installed.get("pip", "99.0"))
    return found is not None and (int(found[1]), int(found[2])) < (19, 3)


class _Cloner:
    def __init__(self, source: Path, target: Path, link_mode: str) -> None:
        self.source, self.target = os.path.realpath(source), os.path.realpath(target)
        self.sizes = recorded_sizes(source)
        self.link = link_mode in ("auto", "hardlink")
        self.reflink = link_mode in ("auto", "reflink")
        self.done = Cloned()

    def run(self, on_start: Callable[[], None] | None) -> Cloned:
        if self.reflink and self.link:
            self.link = not self._can_reflink()
            self.reflink = not self.link
        packages: list[str] = []
        self._fill("", packages)
        if on_start is not None:
            on_start()
        for package in packages:
            self._fill(package)
        return self.done

    def _fill(self, below: str, packages: list[str] | None = None) -> None:
        for relative, copied, entries in self._folders(below, packages):
            self._folder(f"{self.source}/{relative}", f"{self.target}/{relative}")
            for entry in entries:
                name = relative + entry.name
                if entry.is_symlink():
                    self._symlink(entry.path, f"{self.target}/{name}")
                elif entry.is_file(follow_symlinks=False):
                    self._file(entry, name, f"{self.target}/{name}", copied)

    def size(self) -> int:
        """Bytes on disk that `run` would take; files that get a second name only need none."""
        parent = next(folder for folder in Path(self.target).parents if folder.exists())
        linking = self.link and os.stat(self.source).st_dev == parent.stat().st_dev
        if linking and (sealed := self._sealed()):
            # What was sealed need not be looked at again: this runs in every plan.
            folders = {os.path.dirname(name) for name in sealed}
            copied_files = (
                _on_disk(file.size, module=name.endswith(".py"))
                for name, file in sealed.items()
                if self._copied(name, file.size)
            )
            return sum(copied_files) + 2 * (len(folders) + 1) * _BLOCK
        total = 0
        for relative, copied, entries in self._folders("", bytecode=not linking):
            total += _BLOCK
            for entry in entries:
                # One that was edited in place is not looked for: that asks the disk for the size of each.
                if not (linking and not copied and not self._editable(entry.name, relative + entry.name)) and (
                    entry.is_file(follow_symlinks=False)
                ):
                    size = entry.stat(follow_symlinks=False).st_size
                    total += _on_disk(size, module=linking and entry.name.endswith(".py"))
        return total

    def _sealed(self) -> dict[str, File] | None:
        with suppress(GitDeployError):
            return sealed_files(Path(self.source))
        return None

    def _copied(self, name: str, size: int) -> bool:
        folders = name.split("/")[:-1]
        inside = not folders or folders[0] in _COPIED_FOLDERS
        return inside or any(folder.endswith(_COPIED_FOLDER_ENDINGS) for folder in folders) or self._differs(name, size)

    def _differs(self, name: str, size: int) -> bool:
        recorded = self.sizes.get(name)
        return (
            names_places(os.path.basename(name))
            or name.endswith(_COPIED_ENDINGS)
            or recorded is None
            or 0 <= recorded != size
        )

    def _folders(
        self, below: str, packages: list[str] | None = None, *, bytecode: bool = True
    ) -> Iterator[tuple[str, bool, Sequence[os.DirEntry[str]]]]:
        """The folder BELOW of the source and all in it, each before what is in it: path relative to the source (empty, or
        with a slash at its end), whether it lies where files are copied and not linked, and what it holds but folders.

        PACKAGES gets the folders right below a `site-packages` that are linked; they are left out then. What is in folders
        of bytecode is left out unless it is wanted.
        """
        folders = [(below, False)]
        while folders:
            interruption.check()
            relative, copied = folders.pop()
            others = []
            if relative.endswith(f"/{BYTECODE}/") and not os.access(f"{self.source}/{relative}", os.R_OK | os.X_OK):
                continue  # another user's (root's, say) from a run with a narrow umask; it is made anew
            with os.scandir(f"{self.source}/{relative}") as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        if relative or entry.name not in _LEFT_OUT:
                            others.append(entry)
                        continue
                    if not relative and entry.name == BUILT:
                        continue  # of the source's release
                    inside = copied or entry.name.endswith(_COPIED_FOLDER_ENDINGS)
                    inside = inside or (not relative and entry.name in _COPIED_FOLDERS)
                    name = f"{relative}{entry.name}/"
                    if entry.name == BYTECODE and not bytecode:
                        yield name, inside, ()
                    elif packages is not None and not inside and relative.endswith("/site-packages/"):
                        packages.append(name)
                    else:
                        folders.append((name, inside))
            yield relative, copied or not relative, others

    def _folder(self, source: str, target: str) -> None:
        os.mkdir(target)
        mode = stat.S_IMODE(os.lstat(source).st_mode)
        if mode != stat.S_IMODE(os.lstat(target).st_mode):
            os.chmod(target, mode | stat.S_IRWXU)

    def _symlink(self, source: str, target: str) -> None:
        """A link inside the venv stays inside; a relative one that leaves it would miss from another place."""
        text = os.readlink(source)
        if text.startswith(self.source + "/"):
            text = os.path.relpath(text, os.path.dirname(source))
        elif not text.startswith("/"):
            reached = os.path.normpath(os.path.join(os.path.dirname(source), text))
            if reached != self.source and not reached.startswith(self.source + "/"):
                text = reached
        os.symlink(text, target)

    def _file(self, entry: os.DirEntry[str], name: str, target: str, copied: bool) -> None:
        progress.add(1, "files")
        if self.link and not copied and not self._edited(entry, name) and self._linked(entry.path, target, name):
            self._note(entry, name, entry.inode())
            return
        try:
            inode = self._copy(entry.path, target)
        except PermissionError:
            if not name.endswith(".pyc"):
                raise
            return
        if not copied and not self._editable(entry.name, name):  # those are rewritten
            self._note(entry, name, inode)

    def _linked(self, source: str, target: str, name: str) -> bool:
        """Whether the file could be given a second name."""
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _LINK_REFUSED:
                raise
            if error.errno in (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS):
                self.link = False
            self.done.refused.setdefault(error.errno, name)
            return False
        self.done.linked += 1
        return True

    def _note(self, entry: os.DirEntry[str], name: str, inode: int) -> None:
        """A packaged file has its place in the clone, with the size and time that it had. Bytecode is never sealed."""
        if name in self.sizes and not name.endswith(".pyc"):
            found = entry.stat(follow_symlinks=False)  # it remembers: no second look at the disk
            self.done.files[name] = File(found.st_size, found.st_mtime_ns, inode)

    def _editable(self, last: str, name: str) -> bool:
        """Whether the file NAME, whose last part is LAST, may be written in place."""
        if last.endswith(_COPIED_ENDINGS) or last in _COPIED_NAMES or names_places(last):
            return True
        return name not in self.sizes and not (last.endswith(".pyc") and _source_of(name) in self.sizes)

    def _edited(self, entry: os.DirEntry[str], name: str) -> bool:
        """Whether the file may be written in place, or has been: it isn't what its package's RECORD says."""
        if self._editable(entry.name, name):
            return True
        size = self.sizes.get(name, -1)
        return size >= 0 and size != entry.stat(follow_symlinks=False).st_size

    def _copy(self, source: str, target: str) -> int:
        """Copy with mode and time; the inode of the copy."""
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(reader)
            writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                if not (self.reflink and self._share(reader, writer)):
                    while data := os.read(reader, 1 << 20):
                        interruption.check()
                        view = memoryview(data)
                        while view:
                            view = view[os.write(writer, view) :]
                os.fchmod(writer, stat.S_IMODE(found.st_mode))
                # A .pyc holds the mtime of its source.
                os.utime(writer, ns=(found.st_atime_ns, found.st_mtime_ns))
                inode = os.fstat(writer).st_ino
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        self.done.copied += 1
        self.done.copied_bytes += found.st_size
        return inode

    def _share(self, reader: int, writer: int) -> bool:
        try:
            share(reader, writer)
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            self.reflink = False
            return False
        self.done.reflinked += 1
        return True

    def _can_reflink(self) -> bool:
        """Try with a file of the venv's own, beside the target."""
        probe = self.target + ".reflink"
        try:
            with open(os.path.join(self.source, "pyvenv.cfg"), "rb") as reader, open(probe, "wb") as writer:
                share(reader, writer)
        except OSError:
            return False
        finally:
            if os.path.lexists(probe):
                os.unlink(probe)
        return True


def _on_disk(size: int, *, module: bool) -> int:
    """Bytes on disk of a copied file, of a MODULE with its bytecode, which isn't looked at: a third larger in 300 MB of
    real packages."""
    return -(-size // _BLOCK) * _BLOCK * (3 if module else 1)


def _source_of(compiled: str) -> str:
    """`a/__pycache__/b.cpython-311.pyc` was compiled from `a/b.py`."""
    folder, _, name = compiled.rpartition("/")
    return folder.removesuffix(BYTECODE) + name.partition(".")[0] + ".py"


def recorded_sizes(venv: Path) -> Mapping[str, int]:
    """Every file that a package's RECORD in VENV lists: path relative to VENV, size in bytes (-1 where it says none)."""
    # A package that comes or goes changes the folder's time.
    return _recorded_sizes(venv, tuple(site.stat().st_mtime_ns for site in site_folders(venv)))


@lru_cache(maxsize=1)
def _recorded_sizes(venv: Path, _times: tuple[int, ...]) -> Mapping[str, int]:
    sizes: dict[str, int] = {}
    for site in site_folders(venv):
        base = os.path.relpath(site, venv)
        for entry in os.listdir(site):
            if entry.endswith(".dist-info"):
                for name, size in read_record(site / entry / "RECORD"):
                    if name.startswith(("../", "/", "./")):
                        name = os.path.normpath(os.path.join(base, name))
                    else:
                        name = f"{base}/{name}"
                    sizes[name] = size
    return sizes


def read_record(path: Path) -> list[tuple[str, int]]:
    """The lines of a RECORD: path as it stands there, size in bytes or -1; empty where there is no such file."""
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        fields = next(csv.reader([line]), []) if line.startswith('"') else line.rsplit(",", 2)
        if len(fields) >= 3 and fields[0]:
            found.append((fields[0], int(fields[2]) if fields[2].isdecimal() else -1))
    return found


def prefixes_of(venv: Path, *others: Path) -> Sequence[str]:
    """Every path by which files in VENV may name it: OTHERS, where it is, and where its activate script says it was made."""
    found = {os.fspath(venv), os.path.realpath(venv)}
    for other in others:
        found.add(os.path.abspath(other))
        found.add(os.path.join(os.path.realpath(other.parent), other.name))
    try:
        activate = (venv / "bin" / "activate").read_text("utf-8", "surrogateescape")
    except OSError:
        activate = ""
    found |= {path.rstrip("/") for path in re.findall(r"""\bVIRTUAL_ENV=.*?["'](/[^"'\n]+)["']""", activate)}
    return sorted(found - {"", "/", "/usr", "/usr/local"}, key=len, reverse=True)
