"""Interpreters that uv downloaded for this app: which of them no venv is made with any more."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitdeploy.venvs.generations import in_use

_GONE = ".gone-"
_FRESH = 7 * 86400.0  # seconds: one that was downloaded for a build which failed is there for the next try


def unused(pythons: Path, places: Iterable[Path]) -> list[Path]:
    """The interpreters below PYTHONS that no venv of PLACES is made with, no process runs, and that weren't downloaded just now."""
    if not pythons.is_dir():
        return []
    homes = [home for place in places for home in _homes(place)]
    old = time.time() - _FRESH
    return [
        folder
        for folder in sorted(pythons.iterdir())
        if not folder.name.startswith(".") and folder.is_dir() and not folder.is_symlink()
        and not any(home == os.path.realpath(folder) or home.startswith(f"{os.path.realpath(folder)}/") for home in homes)
        and folder.lstat().st_mtime < old and not in_use(folder)
    ]  # fmt: skip


def _homes(place: Path) -> list[str]:
    """Where the interpreter of the venv at PLACE really lies, by all that says so."""
    found = [os.path.realpath(place / "bin" / "python")]
    with suppress(OSError):
        for line in (place / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name.strip() in ("home", "executable", "base-executable"):
                found.append(os.path.realpath(value.strip()))
    return found


def sweep(pythons: Path) -> None:
    """Finish deletions that were cut off."""
    for gone in pythons.glob(f"{_GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete an interpreter, and the links of uv's that lead to it. Another name first, so that none is ever half there."""
    real = os.path.realpath(folder)
    for entry in folder.parent.iterdir():
        if entry.is_symlink() and os.path.realpath(entry) == real:
            entry.unlink()
    gone = folder.with_name(f"{_GONE}{folder.name}")
    shutil.rmtree(gone, ignore_errors=True)
    os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)
