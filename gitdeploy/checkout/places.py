"""Whether what is planned fits where it is to go: paths that no release may have, what stands in their way, mounts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from gitdeploy.checkout.changes import LINK, FileChange, Problem
from gitdeploy.checkout.local import git_mode
from gitdeploy.checkout.paths import Entry
from gitdeploy.messages import tr
from gitdeploy.system.bytecode import is_bytecode
from gitdeploy.system.mounts import mount_points
from gitdeploy.text import count, listing, path_text


class Disk(Struct):
    """What stands where below ROOT, as git sees it."""

    root: bytes
    links: dict[bytes, bool] = field(default_factory=dict)  # folder -> whether it is, or is behind, a symbolic link

    def full(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def mode(self, path: bytes) -> int:
        """What git would record for PATH; 0 also where it would be reached through a symbolic link."""
        folder = os.path.dirname(path)
        return 0 if folder and self._behind_link(folder) else git_mode(self.full(path))

    def _behind_link(self, folder: bytes) -> bool:
        known = self.links.get(folder)
        if known is None:
            above = os.path.dirname(folder)
            known = bool(above and self._behind_link(above)) or os.path.islink(self.full(folder))
            self.links[folder] = known
        return known


class Places(Struct):
    """The places on DISK of CHANGES."""

    disk: Disk
    changes: Mapping[bytes, FileChange]
    parents: dict[bytes, bool] = field(default_factory=dict)

    def hostile(
        self, entries: Mapping[bytes, Entry], gitlinks: Sequence[bytes], forbidden: Sequence[bytes]
    ) -> Iterator[Problem]:
        """Paths that no release may have. FORBIDDEN: those that belong to this server (the state directory, the venv)."""
        for path in (*(path for path, entry in entries.items() if entry.new), *gitlinks):
            parts = path.split(b"/")
            if any(p in (b"", b".", b"..") or p.lower() == b".git" or len(p) > 255 for p in parts) or len(path) > 3500:
                yield _hostile(path, tr("is not a path that a checkout can have"))
            if any(is_below(path, taken) for taken in forbidden):
                yield _hostile(path, tr("belongs to this server, not to a release"))
        for path, entry in entries.items():
            new, full = entry.new, self.disk.full(path)
            if new is not None and new.mode == LINK and os.path.isdir(full) and not os.path.islink(full):
                target = new.owner.repository.blob(new.oid)
                resolved = os.path.normpath(os.path.join(os.path.dirname(full), target))
                if not is_below(resolved, self.disk.root):
                    yield _hostile(
                        path,
                        tr(
                            "would turn a directory into a link to {target}, outside the checkout",
                            target=path_text(target),
                        ),
                    )

    def alone(self, folders: Sequence[bytes]) -> Iterator[Problem]:
        """What would reach into FOLDERS, submodules that are left alone."""
        for folder in folders:
            if reaching := [path for path in self.changes if is_below(path, folder)]:
                yield Problem(
                    tr(
                        "Submodule {folder}, which is left alone here, stands where the release has other files: "
                        "{names}.",
                        folder=path_text(folder),
                        names=_names(reaching),
                    ),
                    tr(
                        "Its settings say so (git.keep, git.submodules, or git's own submodule.NAME.update and .active). "
                        "Change them, or move it away first."
                    ),
                    refused=True,
                )

    def blocked(self, folders: Sequence[bytes]) -> Iterator[Problem]:
        """Directories where files must go, files where directories (FOLDERS too) must go, links and mounts on the way."""
        mounts = _mounts_below(self.disk.root)
        deleted = {path for path, change in self.changes.items() if change.kind == "deleted"}
        blocked: list[bytes] = []
        linked: list[bytes] = []
        wanted = [(path, change.kind) for path, change in self.changes.items() if change.kind != "deleted"]
        for path, kind in (*wanted, *((folder + b"/", "folder") for folder in folders)):
            if kind == "added" and self.disk.mode(path) == 0o40000:
                blocked += [
                    p for p in _files_below(self.disk.full(path), path) if p not in deleted and not is_bytecode(p)
                ]
            if blocker := self._blocking_parent(path, deleted):
                (linked if os.path.islink(self.disk.full(blocker)) else blocked).append(blocker)
        mounted = [path for path in self.changes if any(is_below(path, mount) for mount in mounts)]
        if blocked:
            yield Problem(
                tr(
                    "{count} of yours stand where the release has a file or folder: {names}.",
                    count=count(len(set(blocked)), "path"),
                    names=_names(set(blocked)),
                ),
                tr("Move them away first."),
                refused=True,
            )
        if linked:
            yield Problem(
                tr("A symbolic link stands where the release has a folder: {names}.", names=_names(set(linked))),
                tr("Put a real folder there, or keep the files behind it out of the release (git.keep)."),
                refused=True,
            )
        if mounted:
            yield Problem(
                tr("The release changes files on another mount inside the checkout: {names}.", names=_names(mounted)),
                tr("Files can't be renamed across mounts. Unmount it for the deployment, or add the path to git.keep."),
            )

    def _blocking_parent(self, path: bytes, deleted: set[bytes]) -> bytes | None:
        """The nearest thing above PATH that is not a directory and won't be deleted."""
        parent = os.path.dirname(path)
        while parent:
            if parent in self.parents:
                if self.parents[parent]:
                    return None
            else:
                mode = self.disk.mode(parent)
                self.parents[parent] = mode == 0o40000
                if mode not in (0, 0o40000) and parent not in deleted:
                    del self.parents[parent]
                    return parent
            parent = os.path.dirname(parent)
        return None


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether PATH is FOLDER or something in it."""
    return path == folder or path.startswith(folder + b"/")


def _hostile(path: bytes, why: str) -> Problem:
    return Problem(
        tr("The release tracks `{path}`, which {why}.", path=path_text(path), why=why),
        tr("Such a release can't be installed; ask its author to remove it."),
        refused=True,
    )


def _names(paths: Iterable[bytes]) -> str:
    return listing([path_text(path) for path in sorted(paths)])


def _files_below(folder: bytes, name: bytes) -> list[bytes]:
    found = []
    for base, _, files in os.walk(folder, onerror=_raise):
        found += [name + (os.path.join(base, file))[len(folder) :] for file in files]
        found += [
            name + os.path.join(base, link)[len(folder) :]
            for link in os.listdir(base)
            if stat.S_ISLNK(os.lstat(os.path.join(base, link)).st_mode) and link not in files
        ]
    return found


def _raise(error: OSError) -> None:
    raise error


def _mounts_below(root: bytes) -> list[bytes]:
    """Mount points inside the checkout, relative to it."""
    real = os.path.realpath(root) + b"/"
    return [point[len(real) :] for point in mount_points() if point.startswith(real)]
