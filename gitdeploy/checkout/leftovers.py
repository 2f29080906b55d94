"""Bytecode of modules that the switch or its undo takes away, and of those that it replaces.

What Python wrote beside a file belongs to that file: a folder in which nothing else is left counts as empty, so a plug-in
that a release deletes is gone for an app that lists folders. What a release tracks (`spared`) is its own business.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from gitdeploy.system import bytecode, faultpoints

_SOURCE = b".py"
_FULL = (errno.ENOTEMPTY, errno.EEXIST)


def forget_modules(gone: Iterable[bytes], spared: Collection[bytes]) -> None:
    """Delete the bytecode of GONE, files that are no longer there: also what Python would import without its source."""
    beside = bytecode.Beside()
    for live in gone:
        if live.endswith(_SOURCE) and (found := [*beside(live), *_sourceless(live)]):
            delete(found, spared)
            with suppress(OSError):  # there is more in it
                os.rmdir(os.path.dirname(live) + b"/" + bytecode.FOLDER)


def _sourceless(live: bytes) -> list[bytes]:
    """`module.pyc` beside `module.py`, as `compileall -b` makes it."""
    path = live + b"c"
    return [path] if bytecode.made_from(path) is not None else []


def delete(paths: Collection[bytes], spared: Collection[bytes]) -> None:
    """Delete those of PATHS that are not spared and can be."""
    for path in paths:
        if path not in spared:
            with suppress(OSError):  # it went meanwhile, or may not go: Python makes it anew, or finds no source to it
                os.unlink(path)
                faultpoints.point("bytecode forgotten")


def unchecked(caches: Iterable[bytes]) -> list[bytes]:
    """Those of CACHES that Python takes for a source's own whatever stands there (`--invalidation-mode unchecked-hash`)."""
    return [path for path in caches if (made := bytecode.made_from(path)) is not None and made.unchecked]


def remove_folder(path: bytes, spared: Collection[bytes]) -> None:
    """rmdir of a folder in which nothing but bytecode is left, if that. Raises OSError where something else is in it."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in _FULL or not _clear(path, spared):
            raise
        os.rmdir(path)


def _clear(path: bytes, spared: Collection[bytes]) -> bool:
    """Delete the bytecode that is all that is left in PATH; whether that was so."""
    if os.path.basename(path) == bytecode.FOLDER:
        caches = path
    elif os.listdir(path) == [bytecode.FOLDER]:
        caches = path + b"/" + bytecode.FOLDER
    else:
        return False
    if os.path.islink(caches):
        return False
    files = [caches + b"/" + name for name in os.listdir(caches)]
    if not all(bytecode.is_bytecode(file) and file not in spared and not os.path.isdir(file) for file in files):
        return False
    delete(files, spared)
    if caches != path:
        os.rmdir(caches)
    return True
