"""The way back from a switch, from wherever it stopped."""

from __future__ import annotations

import errno
import os
import stat as stat_module
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct, field

from gitdeploy.checkout.leftovers import delete, forget_modules, remove_folder, unchecked
from gitdeploy.checkout.local import git_mode
from gitdeploy.checkout.manifest import Directory, Item, Manifest
from gitdeploy.checkout.permissions import set_attributes
from gitdeploy.checkout.switch import Order, file_systems, release_locks, shown_name
from gitdeploy.checkout.times import make_newer, second
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints
from gitdeploy.system.bytecode import Beside
from gitdeploy.system.durable import exists, same_file, sync_file_systems
from gitdeploy.text import path_text


def undo(manifest: Manifest, last: Callable[[], None]) -> list[str]:
    """Put the old state back, wherever `apply` had come to; may be repeated, also in another process.

    LAST flips the venv back. Returns sentences about what somebody put in the way meanwhile (moved to `saved`).
    """
    work = _Undo(manifest)
    return work.undo(last)


class _Undo(Struct):
    manifest: Manifest
    said: list[str] = field(default_factory=list)
    spared: frozenset[bytes] = frozenset()  # bytecode that is a release's: what the two don't share is an item

    def undo(self, last: Callable[[], None]) -> list[str]:
        manifest = self.manifest
        self.spared = manifest.spared | {item.live for item in manifest.items}
        order = Order(manifest)
        for item in sorted(order.added, key=lambda item: item.live.count(b"/"), reverse=True):
            self._take_away(item)
        forget_modules((item.live for item in order.added if not exists(item.live)), self.spared)
        for module in manifest.modules:
            if module.staged and not exists(module.staged) and exists(module.live):
                os.rename(module.live, module.staged)
                faultpoints.point("undo module")
        for path in sorted(manifest.made_directories, key=lambda path: path.count(b"/"), reverse=True):
            self._remove_directory(path)
        for directory in manifest.old_directories:
            if git_mode(directory.path) != 0o40000:
                if exists(directory.path):
                    self._move_aside(directory.path)
                self._bring_back(directory)
        for item in (*order.changed, *order.blocking_deletions, *order.other_deletions):
            self._put_back(item.live, item.old, item.keep, item)
        beside = Beside()
        delete(unchecked(path for item in order.changed for path in beside(item.live)), self.spared)
        for control in manifest.controls:
            for name in control.names:
                old, keep = (manifest.special(control, name, part) for part in ("old", "keep"))
                if exists(keep) and exists(old):
                    self._put_back(control.place(name), old, keep, None)
        last()
        faultpoints.point("undo venv")
        release_locks(manifest)
        sync_file_systems(*file_systems(manifest))
        return self.said

    def _take_away(self, item: Item) -> None:
        if same_file(item.live, item.keep):
            if self._written_since(item.live, item.new_facts):
                self._copy_aside(item.live)
            os.unlink(item.live)
            faultpoints.point("undo add")
        # Anything else there is somebody's: it stays, unless the old state needs its place (then it is moved aside).

    def _remove_directory(self, path: bytes) -> None:
        try:
            remove_folder(path, self.spared)
            faultpoints.point("undo rmdir")
        except FileNotFoundError:
            return
        except NotADirectoryError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Somebody's files are in it. Where the old state has a file of that name, they are moved aside later.

    def _bring_back(self, directory: Directory) -> None:
        """Make a directory with its mode and owner aside, then rename it into place: never half-made."""
        temporary = os.fsencode(self.manifest.stage) + b"/undo-directory"
        with suppress(FileNotFoundError):
            os.rmdir(temporary)
        os.mkdir(temporary)
        os.chown(temporary, directory.uid, directory.gid)
        set_attributes(temporary, directory.attributes)
        os.chmod(temporary, directory.mode)
        os.rename(temporary, directory.path)
        faultpoints.point("undo mkdir")

    def _put_back(self, live: bytes, old: bytes, keep: bytes, item: Item | None) -> None:
        """OLD at LIVE again. ITEM: what it is of the switch; None for a control file."""
        if same_file(live, old):
            return
        if not exists(old):
            return  # an earlier undo had no room for a link and renamed it into place
        if exists(live):
            if item is None and live.endswith(b"/index"):
                pass  # any `git status` writes the index anew: that is not an edit of anybody's
            elif not same_file(live, keep):
                self._move_aside(live)
            elif item is not None and self._written_since(live, item.new_facts):
                self._copy_aside(live)
        if item is not None and not os.path.islink(old):
            with suppress(OSError):  # somebody else's file keeps its time
                make_newer(old, [second(facts[1]) for facts in (item.old_facts, item.new_facts) if facts is not None])
        # A control file is renamed within the repository, which may be on another file system than the stage.
        temporary = old + b".tmp" if item is None else os.fsencode(self.manifest.stage) + b"/undo"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.makedirs(os.path.dirname(live), exist_ok=True)
        try:
            os.link(old, temporary, follow_symlinks=False)
            faultpoints.point("undo link")
            os.rename(temporary, live)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMLINK):
                raise
            os.rename(old, live)  # no room even for a name: give up the link instead
        faultpoints.point("undo change")

    @staticmethod
    def _written_since(path: bytes, facts: tuple[int, int] | None) -> bool:
        found = os.lstat(path)
        return facts is not None and (found.st_size, found.st_mtime_ns) != facts

    def _place_aside(self, path: bytes) -> bytes:
        root = os.fsencode(self.manifest.root) + b"/"
        name = path.removeprefix(root).replace(b"/", b"__")[-200:]
        os.makedirs(self.manifest.saved, mode=0o700, exist_ok=True)
        for number in range(1000):
            place = os.fsencode(self.manifest.saved) + b"/" + name + (b".%d" % number if number else b"")
            if not exists(place):
                return place
        raise DeploymentFailed(tr("There is no free name left in {saved}.", saved=path_text(str(self.manifest.saved))))

    def _move_aside(self, path: bytes) -> None:
        place = self._place_aside(path)
        os.rename(path, place)
        faultpoints.point("undo aside")
        self.said.append(
            tr(
                "{shown_name} was changed by somebody meanwhile; that version is kept: {place}",
                shown_name=shown_name(self.manifest, path),
                place=path_text(place),
            )
        )

    def _copy_aside(self, path: bytes) -> None:
        """A file of the new release that was written to while it was live: what was written is kept."""
        place = self._place_aside(path)
        if stat_module.S_ISLNK(os.lstat(path).st_mode):
            os.symlink(os.readlink(path), place)
        else:
            with suppress(OSError):
                os.link(path, place)
        self.said.append(
            tr(
                "{shown_name} was written to while the new release was live; kept: {place}",
                shown_name=shown_name(self.manifest, path),
                place=path_text(place),
            )
        )
