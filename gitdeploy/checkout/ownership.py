"""What of the checkout its user can't replace or write to: files of somebody else's, as one `sudo git pull` leaves them.

The kernel decides: a folder must be writable for a rename in it, and a file one's own for a second name (a hard link) and
for giving the new one its owner. root may do all of it, but for a file system that is read-only and a folder that nobody may
change (chattr(1)).
"""

from __future__ import annotations

import errno
import fcntl
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from gitdeploy.checkout.git import Repository
from gitdeploy.messages import joined, tr
from gitdeploy.system.mounts import mount_of
from gitdeploy.system.ourselves import user_word
from gitdeploy.system.owner import user_name
from gitdeploy.text import count, listing, path_text, shell_word

_NOT_A_FOLDER = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP))
_FILES = ("HEAD", "index", "config", "packed-refs", "shallow", "info/exclude")  # beside folders: what git or we replace


_GET_FLAGS, _IMMUTABLE = 0x80086601, 0x10  # FS_IOC_GETFLAGS, FS_IMMUTABLE_FL (linux/fs.h)


class Foreign(Struct, frozen=True):
    """Something that can't be replaced or written to: its path, whose it is, whether it is a folder, and what stands against
    it."""

    path: bytes
    uid: int
    folder: bool
    by: Literal["rights", "read-only", "immutable"] = "rights"


def foreign(repository: Repository, paths: Iterable[bytes], more: Iterable[Path] = ()) -> list[Foreign]:
    """What stands against replacing PATHS (of the checkout), and against writing objects, refs, the index and HEAD; MORE:
    further folders that must be writable."""
    found: dict[bytes, Foreign] = {}
    root = os.fsencode(repository.root)
    folders = {_nearest(os.path.dirname(root + b"/" + path), root) for path in paths}
    folders |= {os.fsencode(folder) for folder in more}
    folders |= set(_git_folders(repository))
    for folder in folders:
        facts = os.lstat(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            found[folder] = Foreign(folder, facts.st_uid, folder=True, by=_what_stands_against(folder))
    if os.geteuid() == 0:
        return [found[path] for path in sorted(found)]
    files = {root + b"/" + path for path in paths}
    files |= {os.fsencode(base / name) for base in (repository.git_dir, repository.common_dir) for name in _FILES}
    for file in files:
        try:
            facts = os.lstat(file)
        except OSError as error:  # of one that may not be looked at, the folder is named already
            if error.errno not in _NOT_A_FOLDER:
                raise
            continue
        if facts.st_uid != os.geteuid():
            found[file] = Foreign(file, facts.st_uid, folder=False)
    return [found[path] for path in sorted(found)]


def _what_stands_against(folder: bytes) -> Literal["rights", "read-only", "immutable"]:
    """What keeps FOLDER from being written to."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "read-only"
    return "immutable" if _is_immutable(folder) else "rights"


def _is_immutable(folder: bytes) -> bool:
    """Whether it is marked so; root may lack the right otherwise too (a network's file system, a container)."""
    flags = array("i", [0, 0])
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # one that can't be looked into either
        return False
    try:
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
    except OSError:  # a file system without them
        return False
    finally:
        os.close(descriptor)
    return bool(flags[0] & _IMMUTABLE)


def _nearest(folder: bytes, root: bytes) -> bytes:
    """FOLDER, or the first above it that is there."""
    while folder != root:
        try:
            os.lstat(folder)
        except OSError as error:  # not there, below a file or a link that leads in a circle, or not to be looked at
            if error.errno not in _NOT_A_FOLDER:
                raise
            folder = os.path.dirname(folder)
        else:
            return folder if os.path.isdir(folder) and not os.path.islink(folder) else os.path.dirname(folder)
    return root


def _git_folders(repository: Repository) -> Iterator[bytes]:
    """Folders of the repository that something is written into: its own, those of objects, those of refs."""
    yield from {os.fsencode(repository.git_dir), os.fsencode(repository.common_dir)}
    common = os.fsencode(repository.common_dir)
    for name in (b"objects", b"refs", b"info"):
        if not os.path.lexists(common + b"/" + name):
            continue
        for folder, inner, _ in os.walk(common + b"/" + name):
            yield folder
            if name == b"objects" and folder != common + b"/objects":
                inner.clear()  # objects/??/ and objects/pack/ have none that matters
            # one that can't be looked into yields nothing below it, and is named itself
    return


def in_words(root: Path, found: list[Foreign]) -> tuple[str, str]:
    """(what is wrong, the command that mends it)."""
    if by := {each.by for each in found} - {"rights"}:
        worst = "read-only" if "read-only" in by else "immutable"
        return _closed_to_all(root, [each.path for each in found if each.by == worst], worst)
    owners = sorted({each.uid for each in found})
    base = os.fsencode(root) + b"/"
    names = [path_text(each.path.removeprefix(base)) for each in found]
    closed = sum(each.folder for each in found)
    parts = [count(closed, "folder")] * bool(closed) + [count(len(found) - closed, "file")] * (closed < len(found))
    own = os.geteuid()
    message = tr(
        "{parts} of the checkout can't be changed by {user_name}: {names} (belongs to {owners})."
        if len(found) == 1
        else "{parts} of the checkout can't be changed by {user_name}: {names} (belong to {owners}).",
        parts=joined(" and ", parts),
        user_name=user_name(own),
        names=listing(names, 5),
        owners=listing([user_name(uid) for uid in owners], 3),
    )
    who = user_word(own)
    if owners == [own]:  # one's own, without the right to write
        return message, f"chmod -R u+rwX {shell_word(str(root))}"
    only = f"--from={user_word(owners[0])} " if len(owners) == 1 else ""
    return message, f"sudo chown -R {only}{who} {shell_word(str(root))}"


def _closed_to_all(root: Path, folders: list[bytes], by: str) -> tuple[str, str]:
    """`in_words` for FOLDERS that root can't write to either."""
    base = os.fsencode(root) + b"/"
    names = listing([path_text(folder.removeprefix(base)) for folder in folders], 5)
    if by == "read-only":
        mounts = sorted({mount_of(Path(os.fsdecode(folder))) for folder in folders})
        return (
            tr("Nothing can be written there, the file system is read-only: {names}.", names=names),
            tr("dmesg says why. As root: mount -o remount,rw {mount}", mount=shell_word(str(mounts[0]))),
        )
    return (
        tr("Nobody can change what is in there, root included (chattr +i): {names}.", names=names),
        tr("As root: chattr -i {folders}", folders=" ".join(shell_word(os.fsdecode(folder)) for folder in folders[:5])),
    )
