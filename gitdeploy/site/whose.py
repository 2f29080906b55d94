"""Whose a checkout is, and who may start programs in it: its owner, and root after it became that user.

Whoever else looks must not run what another user prepared there: git's filters and settings, the venv's Python, a
health command. So every folder of such a checkout is closed to this process's children (`gitdeploy.system.bounds`), and
what can be told without one is told.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitdeploy.checkout.facts import is_object_id
from gitdeploy.checkout.git import Repository
from gitdeploy.messages import tr
from gitdeploy.site.status import Status
from gitdeploy.system import bounds
from gitdeploy.system.ourselves import again, user_word
from gitdeploy.system.owner import user_name
from gitdeploy.text import path_text, shell_word
from gitdeploy.versions import CodeState

_LONGEST = 4096  # bytes of a file of a ref


def close_to_others(repository: Repository, *more: Path | None) -> tuple[str, str] | None:
    """Where this process's user may start nothing in the checkout: why, and who may. From then on no child starts in it,
    nor in MORE (the venv)."""
    refusal = _refusal(repository)
    folders = {repository.root, repository.git_dir, repository.common_dir, *(each for each in more if each)}
    if refusal is None:
        bounds.reopen(folders)
    else:
        bounds.close(folders, *refusal)
    return refusal


def _refusal(repository: Repository) -> tuple[str, str] | None:
    me, owner = os.geteuid(), repository.root.stat().st_uid
    if owner != me:
        return (
            tr(
                "The checkout {root} belongs to {owner}, and you are {user}.",
                root=path_text(str(repository.root)),
                owner=user_name(owner),
                user=user_name(me),
            ),
            tr("Run it as its owner: {again}", again=again(uid=owner)),
        )
    for place in dict.fromkeys((repository.root / ".git", repository.git_dir, repository.common_dir)):
        for found in (os.lstat(place), os.stat(place)):
            if found.st_uid not in (me, 0):
                them = user_name(found.st_uid)
                return (
                    tr(
                        "The checkout {root} is yours, but {place} belongs to {them}: its settings and filters "
                        "would run as {user_name}.",
                        root=path_text(str(repository.root)),
                        place=path_text(str(place)),
                        them=them,
                        user_name=user_name(me),
                    ),
                    tr(
                        "Look at its config first. To take it over: sudo chown -hR {user_word} {place}",
                        user_word=user_word(me),
                        place=shell_word(str(place)),
                    ),
                )
    return None


def limited_status(name: str, repository: Repository, refusal: tuple[str, str]) -> Status:
    """What `status` may tell to anybody who may read the checkout's files."""
    branch, commit = _head_without_git(repository)
    live = CodeState(None, None, commit or "")
    return Status(
        name, str(repository.root), live, branch, (), None, None, None, None, interrupted=False, holder=None, held=None,
        limited=refusal,
    )  # fmt: skip


def _head_without_git(repository: Repository) -> tuple[str | None, str | None]:
    """(the branch as a full ref, the commit) of HEAD as its files say, each None where they don't. Starts no child."""
    head = _small(repository.git_dir / "HEAD")
    if not head.startswith("ref: refs/"):
        return None, head if is_object_id(head) else None
    branch = head.removeprefix("ref: ")
    commit = "" if ".." in branch.split("/") else _small(repository.common_dir / branch)
    if not is_object_id(commit):
        packed = _small(repository.common_dir / "packed-refs", 8 << 20).splitlines()
        commit = next((line.split(" ")[0] for line in packed if line.endswith(f" {branch}")), "")
    return branch, commit if is_object_id(commit) else None


def _small(path: Path, most: int = _LONGEST) -> str:
    """The text of a regular file, stripped; empty where there is none, or it may not be read. No link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            return ""
        return os.read(descriptor, most).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)
