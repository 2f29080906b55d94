"""Folders on disk, with owner, mode and attributes."""

from __future__ import annotations

import os
import stat as stat_module

from gitdeploy.checkout.local import git_mode
from gitdeploy.checkout.manifest import Directory
from gitdeploy.checkout.permissions import attributes_of


def nearest_directory(path: bytes) -> bytes:
    while True:
        if git_mode(path) == 0o40000:
            return path
        path = os.path.dirname(path)


def directory_at(path: bytes) -> Directory:
    found = os.lstat(path)
    mode = stat_module.S_IMODE(found.st_mode)
    return Directory(path, mode, found.st_uid, found.st_gid, attributes_of(path))
