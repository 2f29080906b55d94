"""A stage that is there: used later, or thrown away."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from gitdeploy.checkout.manifest import FILE, Manifest
from gitdeploy.checkout.times import make_newer, recorded, second
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import bytecode
from gitdeploy.system.durable import same_file, sync_directory, sync_file_system
from gitdeploy.text import path_text


def relink(manifest: Manifest) -> bool:
    """Make a stage that was kept for later fit to be switched: each of its links is a link still, or becomes one again
    (the app was copied or moved to another disk meanwhile). False where what it holds is no longer what was staged."""
    renewed = False
    for item in manifest.items:
        for one, other, facts in ((item.live, item.old, item.old_facts), (item.new, item.keep, item.new_facts)):
            if facts is None or same_file(one, other):
                continue
            try:
                found = os.lstat(one)
                if (found.st_size, found.st_mtime_ns) != facts or not _same_content(one, other):
                    return False
                os.unlink(other)
                os.link(one, other, follow_symlinks=False)
            except OSError:
                return False
            renewed = True
    if renewed:
        sync_file_system(manifest.stage)
    return True


def renew_times(manifest: Manifest, newest: int) -> Manifest:
    """The same stage with the times that its files would get now: what was made from the live ones since it was staged
    must be older. NEWEST as in `stage_switch`."""
    items = []
    caches = bytecode.Beside()
    for item in manifest.items:
        if item.new_facts is not None and not os.path.islink(item.new):
            earlier = [newest, *(second(facts[1]) for facts in (item.old_facts, item.new_facts) if facts is not None)]
            make_newer(item.new, [*earlier, *recorded(caches(item.live), item.new_facts[0])])
            item = replace(item, new_facts=(item.new_facts[0], os.lstat(item.new).st_mtime_ns))
        items.append(item)
    return replace(manifest, items=tuple(items))


def _same_content(one: bytes, other: bytes) -> bool:
    if os.path.islink(one) or os.path.islink(other):
        return os.path.islink(one) and os.path.islink(other) and os.readlink(one) == os.readlink(other)
    return filecmp.cmp(one, other, shallow=False)


def discard_stage(stage: Path, git_dirs: Iterable[Path]) -> None:
    """Delete a stage that is of no use any more, and its files beside the index."""
    with suppress(OSError):
        # First, and durably: half a stage with a manifest would look like a switch that has to be undone.
        os.unlink(stage / FILE)
        sync_directory(stage)
    for folder in git_dirs:
        with suppress(FileNotFoundError):
            for entry in os.listdir(folder):
                if entry.startswith(f"gitdeploy.{stage.name}."):
                    remove_beside(folder / entry)
    shutil.rmtree(stage, ignore_errors=True)


def remove_beside(path: Path) -> None:
    """Delete what a stage has beside git's own files: a file, or the repository of a submodule."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)


def _hint(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return tr("It belongs to another user or is immutable (lsattr): give it to the checkout's owner.")
    if error.errno == errno.EXDEV:
        return tr("It is on another mount: unmount it for the deployment, or add it to git.keep.")
    if error.errno == errno.EROFS:
        return tr("The file system is read-only.")
    return ""


def staging_failure(error: OSError) -> DeploymentFailed:
    """What ERROR means for whoever waits for the stage."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeploymentFailed(
            tr("The disk is full: the new files can't be written beside the old ones."),
            tr("Make room, then try again."),
        )
    name = path_text(os.fsdecode(error.filename)) if error.filename else tr("a file")
    return DeploymentFailed(tr("{name} can't be staged: {strerror}.", name=name, strerror=error.strerror), _hint(error))
