"""The switch and its undo: renames only.

No file data are written here, so a full disk stops neither. Order matters and is the same everywhere: what is in the
way of a directory or a file, directories, added, changed, deleted files, emptied directories, index, HEAD, and (by the
caller's `last`) the venv. Undoing compares what is live *now* with the links kept of both sides, never with recorded
numbers, since inode and device numbers don't survive a remount.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from gitdeploy.checkout.blobs import copy_with_time
from gitdeploy.checkout.changes import look
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.incoming import sweep_incoming
from gitdeploy.checkout.leftovers import delete, forget_modules, remove_folder
from gitdeploy.checkout.manifest import Control, Item, Manifest
from gitdeploy.checkout.permissions import dress_as, dress_new_folder
from gitdeploy.checkout.stage_parts import new_index
from gitdeploy.checkout.staged import discard_stage
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, interruption
from gitdeploy.system.durable import exists, same_file, sync_file_systems
from gitdeploy.text import path_text

LOCK_WAIT = 10.0  # seconds that another git's index.lock is waited for


def get_ready(manifest: Manifest) -> None:
    """Take git's locks and look once more: nothing that the switch will replace has changed since it was staged.

    Nothing live is touched; raises `DeploymentFailed` with all locks given back.
    """
    try:
        for control in manifest.controls:
            _take_locks(manifest, control)
            _prepare_control(manifest, control)
        for item in manifest.items:
            _check_unchanged(item)
        sync_file_systems(*(control.source for control in manifest.controls))
    except BaseException:
        release_locks(manifest)
        raise


def apply(manifest: Manifest, last: Callable[[], None]) -> None:
    """Make the staged state live; LAST flips the venv. Raises OSError or `DeploymentFailed` half-way: then undo."""
    steps = Order(manifest)
    for item in steps.blocking_deletions:
        _delete(item)
    for directory in steps.blocking_directories:
        remove_folder(directory, manifest.spared)
        faultpoints.point("switch rmdir")
    for path in manifest.made_directories:
        os.mkdir(path)
        dress_new_folder(path)
        faultpoints.point("switch mkdir")
    for module in manifest.modules:
        if module.staged:
            if exists(module.live):
                raise DeploymentFailed(
                    tr("{live} appeared while the release was being switched.", live=path_text(module.live))
                )
            os.rename(module.staged, module.live)
            faultpoints.point("switch module")
    for item in steps.added:
        if exists(item.live):
            raise DeploymentFailed(
                tr(
                    "{shown_name} appeared while the release was being switched.",
                    shown_name=shown_name(manifest, item.live),
                )
            )
        os.rename(item.new, item.live)
        faultpoints.point("switch add")
    for item in steps.changed:
        _check_unchanged(item)
        os.rename(item.new, item.live)
        faultpoints.point("switch change")
    delete(manifest.stale, manifest.spared)
    for item in steps.other_deletions:
        _delete(item)
    forget_modules((item.live for item in manifest.items if item.kind == "deleted"), manifest.spared)
    for kept in reversed(manifest.old_directories):
        with suppress(OSError):  # not empty: there is something of the user's, or of the release's, in it
            remove_folder(kept.path, manifest.spared)
            faultpoints.point("switch emptied")
    for control in manifest.controls:
        for name in control.names:
            os.rename(manifest.special(control, name, "new"), control.place(name))
            faultpoints.point(f"switch {name}")
    last()
    faultpoints.point("switch venv")
    release_locks(manifest)
    sync_file_systems(*file_systems(manifest))


def position(manifest: Manifest) -> Literal["old", "new", "between"]:
    """Which side is live now, by the links: files, index and HEAD (not the venv)."""
    switched = unswitched = 0
    for item in manifest.items:
        if item.kind == "deleted":
            is_old = same_file(item.live, item.old)
        elif item.kind == "added":
            is_old = not same_file(item.live, item.keep)
        else:
            is_old = not same_file(item.live, item.keep)
        switched, unswitched = switched + (not is_old), unswitched + is_old
    for control in manifest.controls:
        for name in control.names:
            is_new = same_file(control.place(name), manifest.special(control, name, "keep"))
            switched, unswitched = switched + is_new, unswitched + (not is_new)
    for module in manifest.modules:
        if module.staged:
            is_new = exists(module.live) and not exists(module.staged)
            switched, unswitched = switched + is_new, unswitched + (not is_new)
    return "old" if switched == 0 else "new" if unswitched == 0 else "between"


def clean_up(manifest: Manifest) -> None:
    """Forget the stage of an ended deployment (after undo or commit); then refresh git's cached file times."""
    release_locks(manifest)
    if manifest.modules:  # first: while there is a stage, a later process comes here again
        sweep_incoming(manifest.controls[0].source, every=True)
    discard_stage(manifest.stage, {control.source for control in manifest.controls})
    places = [(control.work_tree, control.source, control.common) for control in manifest.controls]
    places += [(m.work_tree, Path(os.fsdecode(m.live)), Path(os.fsdecode(m.live))) for m in manifest.modules]
    for work_tree, source, common in reversed(places):  # inner ones first: git looks into them
        if (work_tree / ".git").exists() and source.is_dir():
            # link() and unlink() change ctime: without this `git status` would read every switched file again.
            Repository(work_tree, source, common).run("update-index", "-q", "--refresh", tied=True)


# ---- git's locks, index and HEAD ----


def _take_locks(manifest: Manifest, control: Control) -> None:
    own = manifest.special(control, "own", "lock")
    with suppress(FileExistsError), open(own, "xb") as out:
        out.write(f"gitdeploy {manifest.id}\n".encode())
    for name in control.names:
        lock = control.place(name) + b".lock"
        waited = 0.0
        while True:
            try:
                os.link(own, lock)
                faultpoints.point(f"lock {name}")
                break
            except FileExistsError:
                if same_file(own, lock):
                    break
                if waited >= LOCK_WAIT:
                    raise DeploymentFailed(
                        tr("Another git holds {lock}.", lock=path_text(lock)),
                        tr("Wait until it has ended; if none runs, `gitdeploy recover` removes a stale lock."),
                    ) from None
                interruption.sleep(0.1)
                waited += 0.1


def release_locks(manifest: Manifest) -> None:
    """Give back the locks that are ours, whoever's process took them."""
    for control in manifest.controls:
        own = manifest.special(control, "own", "lock")
        for name in control.names:
            lock = control.place(name) + b".lock"
            if same_file(own, lock):
                os.unlink(lock)
        with suppress(FileNotFoundError):
            os.unlink(own)


def _prepare_control(manifest: Manifest, control: Control) -> None:
    """The new index and HEAD beside the live ones, each side with the link by which it can be told later."""
    tree = control.work_tree if control.work_tree.is_dir() else control.source  # one that comes has no folder yet
    repository = Repository(tree, control.source, control.common)
    head = control.source / "HEAD"
    if head.read_text().strip() != control.old_head.strip():
        raise DeploymentFailed(
            tr(
                "HEAD of {work_tree} was moved while the deployment was being prepared.",
                work_tree=path_text(str(control.work_tree)),
            ),
            tr("Somebody ran git there meanwhile. Run the command again."),
        )
    for name in control.names:
        for part in ("new", "keep", "old"):
            with suppress(FileNotFoundError):
                os.unlink(manifest.special(control, name, part))
    new = Path(os.fsdecode(manifest.special(control, "index", "new")))
    live, staged = os.fsencode(control.source / "index"), manifest.stage / control.index
    if control.index_facts is not None and exists(live) and look(live) == control.index_facts and staged.is_file():
        copy_with_time(staged, new)
    else:
        new_index(repository, control.index_tree, new)
    if control.hidden:
        repository.output(
            "update-index", "-z", "--skip-worktree", "--stdin", stdin=b"\0".join(control.hidden) + b"\0", index=new
        )
    with open(manifest.special(control, "HEAD", "new"), "w", encoding="utf-8") as out:
        out.write(control.head)
    if control.settings:
        config = os.fsdecode(manifest.special(control, "config", "new"))
        shutil.copy(control.place("config"), os.fsencode(config))
        for key, value in control.settings:
            repository.output("config", "--file", config, key, value, tied=True)
    for name in control.names:
        dress_as(manifest.special(control, name, "new"), control.place(name))
        os.link(manifest.special(control, name, "new"), manifest.special(control, name, "keep"))
        with suppress(FileNotFoundError):
            os.link(control.place(name), manifest.special(control, name, "old"))


# ---- one file ----


def _check_unchanged(item: Item) -> None:
    if item.kind == "added":
        return
    try:
        found, old = os.lstat(item.live), os.lstat(item.old)
        same = (found.st_dev, found.st_ino) == (old.st_dev, old.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        same = False
    if not same or (found.st_size, found.st_mtime_ns) != item.old_facts:
        raise DeploymentFailed(
            tr("{live} was changed while the deployment was running.", live=path_text(item.live)),
            tr("Nothing of it is lost. See what writes there, then run the command again."),
        )


def _delete(item: Item) -> None:
    _check_unchanged(item)
    os.unlink(item.live)
    faultpoints.point("switch delete")


def shown_name(manifest: Manifest, path: bytes) -> str:
    return path_text(path.removeprefix(os.fsencode(manifest.root) + b"/"))


def file_systems(manifest: Manifest) -> list[Path]:
    return [manifest.root, *(control.source for control in manifest.controls)]


class Order:
    """The items of a manifest in the order of the switch."""

    def __init__(self, manifest: Manifest) -> None:
        deletions = [item for item in manifest.items if item.kind == "deleted"]
        self.added = [item for item in manifest.items if item.kind == "added"]
        self.changed = [item for item in manifest.items if item.kind == "changed"]
        self.made = set(manifest.made_directories)
        becomes_file = {item.live for item in self.added}
        old = {directory.path for directory in manifest.old_directories}
        in_way = sorted((path for path in old if path in becomes_file), key=len)
        self.blocking_directories = sorted(
            (path for path in old if any(path == top or path.startswith(top + b"/") for top in in_way)),
            key=lambda path: path.count(b"/"),
            reverse=True,
        )
        blocked = set(self.blocking_directories)
        self.blocking_deletions: Sequence[Item] = [
            item for item in deletions if item.live in self.made or os.path.dirname(item.live) in blocked
        ]
        blocking = {item.live for item in self.blocking_deletions}
        self.other_deletions: Sequence[Item] = [item for item in deletions if item.live not in blocking]
