"""Repositories of submodules that aren't here yet, where a plan looks at them: nothing of git's own is touched by that.

They stay in `.git/gitdeploy-incoming/` until a deployment that brings submodules has ended, for a day at most. It makes a repository of
its own from one (`staged_repository`), which shares the objects by hard links and becomes `.git/modules/NAME` by the
renames of the switch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from gitdeploy.checkout.git import Repository, initialise
from gitdeploy.checkout.remote import clone_refs
from gitdeploy.checkout.remote_access import Credentials

_FOLDER = "gitdeploy-incoming"
_KEPT = 86400.0  # seconds


def incoming_repository(git_dir: Path, url: str, *, sha256: bool, lfs: str) -> Repository:
    """The repository, empty at first, for what comes from URL; GIT_DIR: the checkout's own."""
    folder = git_dir / _FOLDER / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    if not folder.is_dir():
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}-{os.urandom(4).hex()}")
        temporary.parent.mkdir(mode=0o700, exist_ok=True)
        initialise(temporary, sha256=sha256)
        made = Repository(temporary, temporary, temporary)
        for name, value in (
            ("core.bare", "false"),
            ("remote.origin.url", url),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ):
            made.output("config", "--file", str(temporary / "config"), name, value, tied=True)
        try:
            temporary.rename(folder)
        except OSError:  # another plan was faster
            shutil.rmtree(temporary, ignore_errors=True)
    with suppress(OSError):
        os.utime(folder)
    return Repository(folder, folder, folder, lfs)


def fill(repository: Repository, url: str, commit: str, credentials: Credentials | None) -> None:
    """Fetch what a clone of URL has, COMMIT with it. Raises `SourceError`."""
    if repository.resolve(commit) is None:
        clone_refs(repository, url, commit, credentials)


def staged_repository(incoming: Repository, place: Path) -> Repository:
    """A copy of INCOMING at PLACE (same file system), objects by hard links."""

    def link(source: str, target: str) -> str:
        objects = f"{os.sep}objects{os.sep}"
        if objects in source:
            with suppress(OSError):
                os.link(source, target)
                return target
        return str(shutil.copy2(source, target))

    shutil.copytree(
        incoming.git_dir,
        place,
        copy_function=link,
        ignore=lambda _, names: [n for n in names if n.endswith(".lock") or n.startswith("gitdeploy-scratch-")],
    )
    return Repository(place, place, place, incoming.lfs)


def sweep_incoming(git_dir: Path, *, every: bool = False) -> None:
    """Forget repositories that no plan has asked for since yesterday (EVERY: all of them)."""
    for folder in (git_dir / _FOLDER).glob("*"):
        with suppress(OSError):
            if every or folder.stat().st_mtime < time.time() - _KEPT:
                shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        (git_dir / _FOLDER).rmdir()
