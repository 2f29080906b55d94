"""Times of files in a generation that goes live, where something tells by them whether a file changed.

Django's collectstatic (and its like) copy a package's static file only where it is newer than the copy. Both venvs are
older than that by then: one was live when the copy was made, the other was built from an installer's cache, or long ago.
So what the generation that goes live has otherwise than the one before gets a new time, in either direction.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gitdeploy.errors import GitDeployError
from gitdeploy.system import faultpoints
from gitdeploy.venvs.durable import sync_filesystem
from gitdeploy.venvs.live import site_folders
from gitdeploy.venvs.seal import File, figures, listed, read_facts, seal, sealed_files

_STATIC = "/static/"  # where Django and Flask look for a package's static files
_BESIDE = ".gitdeploy-new"
_BLOCK = 1 << 20


def renew_static(generation: Path, before: Path) -> int:
    """Give the static files of packages in GENERATION that BEFORE has otherwise, or not, the next whole second; how many.

    Each is put in place whole, as a file of its own: other generations and an installer's cache may have the old one by
    another name. Raises OSError; what was done by then stays, and does no harm.
    """
    if not generation.is_dir() or not before.is_dir():
        return 0
    sealed = _sealed(generation)
    names = [name for name in (_static(generation) if sealed is None else sealed) if _STATIC in name]
    changed = [name for name in names if _otherwise(f"{generation}/{name}", f"{before}/{name}")]
    if not changed:
        return 0
    now = int(time.time()) + 1  # a copy may be of this very second, and only whole ones are compared
    try:
        for name in changed:
            path = f"{generation}/{name}"
            shutil.copy2(path, path + _BESIDE)
            os.utime(path + _BESIDE, (now, now))
        sync_filesystem(generation)
        for name in changed:
            os.replace(f"{generation}/{name}{_BESIDE}", f"{generation}/{name}")
            faultpoints.point("static file renewed")
    finally:
        for name in changed:
            with suppress(FileNotFoundError):
                os.unlink(f"{generation}/{name}{_BESIDE}")
    if sealed is not None:
        _seal_again(generation, sealed, changed)
    return len(changed)


def _sealed(generation: Path) -> dict[str, File] | None:
    with suppress(GitDeployError):
        return sealed_files(generation)
    return None


def _static(venv: Path) -> Iterator[str]:
    """Files below folders `static` of a venv that has no seal, relative to it."""
    for site in site_folders(venv):
        for base, _, files in os.walk(site):
            if _STATIC in f"{base}/":
                yield from (os.path.relpath(os.path.join(base, name), venv) for name in files)


def _otherwise(path: str, before: str) -> bool:
    """Whether PATH is a regular file, and BEFORE isn't one with the same content."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    try:
        if os.path.samefile(path, before):
            return False
        return os.path.getsize(path) != os.path.getsize(before) or not _same(path, before)
    except OSError:
        return True


def _same(one: str, other: str) -> bool:
    with open(one, "rb") as first, open(other, "rb") as second:
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
    return True


def _seal_again(generation: Path, sealed: dict[str, File], names: Sequence[str]) -> None:
    for name in names:
        sealed[name] = figures(generation / name)
    seal(generation, read_facts(generation), listed(sealed.items()))
