"""deploy.yaml changed by a person: one at a time, checked before it is saved, never over somebody else's change."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitdeploy.checkout.git import Repository
from gitdeploy.config import FILE_NAME, Config, parse
from gitdeploy.errors import ConfigError, DeploymentFailed, LockedError
from gitdeploy.messages import tr
from gitdeploy.site.whose import close_to_others
from gitdeploy.state import DeploymentLock, StateDirectory
from gitdeploy.system.durable import write_durably
from gitdeploy.text import path_text, shell_word

WAIT = 30.0  # seconds that a deployment which runs is waited for before the file is saved


def require_owner(root: Path) -> None:
    """Only the checkout's owner edits what it is deployed by. Raises `DeploymentFailed`, whatever deploy.yaml holds."""
    if (refused := close_to_others(Repository.open(root))) is not None:
        raise DeploymentFailed(*refused)


@contextmanager
def only_editor(root: Path) -> Iterator[None]:
    """Nobody else edits meanwhile. Raises `LockedError`."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # a lock that needs no file
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(
                tr("Somebody else edits deploy.yaml: another `gitdeploy config edit` is open."),
                tr("Wait until that has ended."),
            ) from error
        yield
    finally:
        os.close(descriptor)


def content(file: Path) -> bytes:
    """What the file holds, nothing where there is none. Raises `ConfigError` for a link: what it leads to is not ours."""
    try:
        if stat.S_ISLNK(file.lstat().st_mode):
            raise ConfigError(
                tr("{file} is a link.", file=path_text(str(file))),
                tr("Edit what it leads to: {file}", file=shell_word(os.path.realpath(file))),
            )
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def checked(raw: bytes, root: Path) -> Config:
    """RAW as it would be read here. Raises `ConfigError` with line and key."""
    return parse(raw, root=root)


def save(root: Path, file: Path, before: bytes, after: bytes, *, who: str) -> None:
    """Put AFTER in FILE's place, mode as it was; while no deployment runs, and only where it still holds BEFORE. Raises
    `LockedError`, `DeploymentFailed`."""
    with _no_deployment(root, who):
        if content(file) != before:
            raise DeploymentFailed(tr("deploy.yaml was changed by somebody else meanwhile, so it was not saved."))
        mode = stat.S_IMODE(file.stat().st_mode) if before else 0o644
        try:
            write_durably(file, after, mode)
            os.chmod(file, mode)
        except OSError as error:
            raise DeploymentFailed(
                tr("{file} can't be written: {why}.", file=path_text(str(file)), why=error.strerror)
            ) from error


@contextmanager
def _no_deployment(root: Path, who: str) -> Iterator[None]:
    state = StateDirectory(root)
    if not state.exists():  # nothing was ever deployed here
        yield
        return
    with DeploymentLock(state.lock).acquire(who=who, command="gitdeploy config edit", wait=WAIT):
        yield


def is_tracked(root: Path, file: Path) -> bool:
    """Whether FILE is a release's own, so that a change of it here is a local one."""
    if file.name != FILE_NAME or file.parent != root:
        return False
    return bool(Repository.open(root).run("ls-files", "-z", "--", FILE_NAME).stdout)
