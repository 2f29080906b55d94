"""Permissions of what is put beside or in place of other files: those of a replaced file, else what its folder asks for.

A file is written in the stage and renamed into its folder, so that the kernel does nothing there by itself: what `open`
and `mkdir` would have taken from the folder (a default access control list, SELinux's context) is taken here.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress

Attributes = tuple[tuple[str, bytes], ...]
"""Extended attributes: (name, value)."""

_DEFAULT_LIST, _LIST = "system.posix_acl_default", "system.posix_acl_access"
_CONTEXT = "security.selinux"
# acl(5) as the kernel keeps it (posix_acl_xattr.h): a version, then tag, permissions and id of each entry.
_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


def attributes_of(path: bytes) -> Attributes:
    """What PATH has of them, as far as we may see; nothing where the file system has none."""
    found = []
    with suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            with suppress(OSError):
                found.append((name, os.getxattr(path, name, follow_symlinks=False)))
    return tuple(found)


def set_attributes(path: bytes, attributes: Iterable[tuple[str, bytes]]) -> None:
    """Give PATH those that we may give it: SELinux's context is root's to set."""
    for name, value in attributes:
        with suppress(OSError):
            os.setxattr(path, name, value, follow_symlinks=False)


def dress_new_file(path: bytes, folder: bytes, *, executable: bool) -> None:
    """The permissions of a file that goes into FOLDER, where none is replaced: 0644 or 0755, and the folder's group may
    write to it where it may write to the folder; or what the folder's default access control list says."""
    bits = 0o755 if executable else 0o644
    os.chmod(path, bits | _for_group(os.lstat(path), os.lstat(folder)))
    attributes = dict(attributes_of(folder))
    if (default := attributes.get(_DEFAULT_LIST)) is not None:
        set_attributes(path, [(_LIST, _applied(default, 0o777 if executable else 0o666))])
    if (context := attributes.get(_CONTEXT)) is not None:
        set_attributes(path, [(_CONTEXT, context)])


def dress_new_folder(path: bytes) -> None:
    """The same of a folder that was made in its place, whatever our umask is. Its default list the kernel has seen to."""
    folder = os.path.dirname(path)
    if _has_default_list(folder):
        return
    found = os.lstat(path)
    bits = 0o755 | _for_group(found, os.lstat(folder))
    if found.st_mode & 0o777 != bits:  # not without need: chmod by one who isn't in its group takes setgid away
        os.chmod(path, found.st_mode & 0o7000 | bits)


def dress_as(path: bytes, other: bytes) -> None:
    """Give PATH the permissions of OTHER, and its owner and group as far as we may; nothing where there is no OTHER."""
    try:
        found = os.lstat(other)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        return
    with suppress(PermissionError):
        os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))


def _for_group(found: os.stat_result, folder: os.stat_result) -> int:
    return folder.st_mode & stat.S_IWGRP if found.st_gid == folder.st_gid else 0


def _has_default_list(folder: bytes) -> bool:
    try:
        os.getxattr(folder, _DEFAULT_LIST)
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
    return True


def _applied(default: bytes, mode: int) -> bytes:
    """The list of a new file below a folder with the list DEFAULT: nobody gets more than MODE (posix_acl_create)."""
    body = default[_HEADER.size :]
    entries = [_ENTRY.unpack_from(body, at) for at in range(0, len(body) - len(body) % _ENTRY.size, _ENTRY.size)]
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP
    most = {_OWNER: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    limited = [_ENTRY.pack(tag, permissions & most.get(tag, 7), owner) for tag, permissions, owner in entries]
    return default[: _HEADER.size] + b"".join(limited)
