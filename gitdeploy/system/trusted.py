"""Whether only root can change what stands at a path: the rule by which systemd refuses an unsafe path.

A path is gone part by part, by descriptors and through links, and everything on the way counts: each folder from `/`, each
link, what is at its end. A folder that only root may write to can't be exchanged afterwards, so what was looked at is
what is used later, by whatever name.
"""

from __future__ import annotations

import errno
import grp
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.system.owner import user_name

_LINKS = 16  # so many links on the way are no circle
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_DEEPEST = 40  # folders inside each other
_LOCAL = ("/usr/local", "staff")  # Debian lets that group write there, in front of everything that root runs


class Weak(Struct, frozen=True):
    """The first thing on the way that others than root can change: its path, owner, group and mode."""

    path: str
    uid: int
    gid: int
    mode: int

    @property
    def who(self) -> str:
        """Who can change it: `otrs`, `the group www-data`, `everybody`."""
        if self.uid != 0:
            return user_name(self.uid)
        return (
            "everybody" if self.mode & stat.S_IWOTH else tr("the group {group_name}", group_name=group_name(self.gid))
        )


def walk(path: str, see: Callable[[str, os.stat_result, bool], object]) -> int:
    """A descriptor (O_PATH) of what PATH leads to. SEE is told of everything on the way, its name, what it is, and whether
    more comes behind it; what it raises ends the walk. Raises `OSError`."""
    waiting, links = deque(_parts(path)), 0
    here, name = os.open("/", _LOOK), "/"
    try:
        see(name, os.fstat(here), bool(waiting))
        while waiting:
            part = waiting.popleft()
            below = os.open(part, _LOOK, dir_fd=here)
            try:
                found, shown = os.fstat(below), os.path.normpath(os.path.join(name, part))
                link = stat.S_ISLNK(found.st_mode)
                see(shown, found, bool(waiting) or link)
                target = os.readlink("", dir_fd=below) if link else ""
            except BaseException:
                os.close(below)
                raise
            if not link:
                os.close(here)
                here, name = below, shown
                continue
            os.close(below)
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                os.close(here)
                here, name = os.open("/", _LOOK), "/"
            waiting.extendleft(reversed(_parts(target)))
    except BaseException:
        os.close(here)
        raise
    return here


def weak(path: str | os.PathLike[str]) -> Weak | None:
    """What on the way to PATH, or at its end, others than root can change; None where there is nothing such, also where
    the path ends early and only root could make the rest."""
    last: Weak | None = None

    def see(name: str, found: os.stat_result, more: bool) -> None:
        nonlocal last
        _refuse(name, found, more)
        last = judge(name, found, more=False)

    try:
        os.close(walk(os.path.abspath(path), see))
    except _Found as found:
        return found.weak
    except OSError:
        return last  # in a folder with the sticky bit others could make what is missing
    return None


def weak_parts(path: str | os.PathLike[str]) -> list[Weak]:
    """Everything on the way to PATH, and at its end, that others than root can change."""
    parts: list[Weak] = []

    def see(name: str, found: os.stat_result, more: bool) -> None:
        if (bad := judge(name, found, more=more)) is not None:
            parts.append(bad)

    with suppress(OSError):
        os.close(walk(os.path.abspath(path), see))
    return parts


def weak_below(folder: str | os.PathLike[str], *, depth: int = 1, ending: str = "") -> Weak | None:
    """The same of FOLDER and all that is in it, DEPTH folders deep; of files only those whose name has that ENDING. What a
    link in it leads to counts too."""
    try:
        place = walk(os.path.abspath(folder), _refuse)
    except _Found as found:
        return found.weak
    except OSError:
        return None
    try:
        return next(_inside(place, os.path.abspath(folder), depth, ending), None)
    finally:
        os.close(place)


def _inside(place: int, name: str, depth: int, ending: str) -> Iterator[Weak]:
    try:
        opened = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # no folder
        return
    folders = []
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                if not (entry.name.endswith(ending) or entry.is_dir(follow_symlinks=False)):
                    continue
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_uid == 0 and not found.st_mode & _WRITABLE:
                    continue  # nearly all are this
                shown = f"{name}/{entry.name}"
                if (bad := judge(shown, found, more=False)) is not None:
                    yield bad
                elif stat.S_ISLNK(found.st_mode):
                    if (bad := weak(shown)) is not None:
                        yield bad
                elif stat.S_ISDIR(found.st_mode) and depth > 1:
                    folders.append(entry.name)
        for each in folders:
            below = os.open(each, _LOOK, dir_fd=opened)
            try:
                yield from _inside(below, f"{name}/{each}", min(depth, _DEEPEST) - 1, ending)
            finally:
                os.close(below)
    except OSError:  # gone meanwhile: only root can have done that
        return
    finally:
        os.close(opened)


def judge(path: str, found: os.stat_result, *, more: bool) -> Weak | None:
    """What FOUND at PATH is, where others than root can change it. MORE: it is only passed: in a folder with the sticky
    bit nobody can exchange what is root's."""
    mode = found.st_mode
    bad = Weak(path, found.st_uid, found.st_gid, stat.S_IMODE(mode))
    if found.st_uid != 0:
        return bad
    if stat.S_ISLNK(mode) or (more and mode & stat.S_ISVTX):
        return None
    if mode & stat.S_IWOTH:
        return bad
    if mode & stat.S_IWGRP and (found.st_gid != 0 or _has_list(path)) and not _of_the_distribution(path, found.st_gid):
        return bad
    return None


def _has_list(path: str) -> bool:
    """Whether an access control list may give the right to more than the group: its mask shows as the group's bits."""
    try:
        return "system.posix_acl_access" in os.listxattr(path, follow_symlinks=False)
    except OSError:
        return False


def _of_the_distribution(path: str, gid: int) -> bool:
    folder, group = _LOCAL
    return (path == folder or path.startswith(f"{folder}/")) and group_name(gid) == group


def group_name(gid: int) -> str:
    """The name of the group GID, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


class _Found(Exception):
    def __init__(self, weak: Weak) -> None:
        super().__init__(weak.path)
        self.weak = weak


def _refuse(path: str, found: os.stat_result, more: bool) -> None:
    if (bad := judge(path, found, more=more)) is not None:
        raise _Found(bad)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
