"""The generations on disk: which there are, which are in use, what deleting one would free, and deleting it."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, interruption
from gitdeploy.text import path_text, shell_word
from gitdeploy.venvs.seal import partial_path, read_facts, seal_path

if TYPE_CHECKING:
    from gitdeploy.venvs.live import LiveVenv
    from gitdeploy.venvs.requirements import Requirements

_TRASH = ".deleted-"


def matching(requirements: Requirements, live: LiveVenv | None) -> str | None:
    """The live generation where it was built from the very same: nothing needs to be installed then.

    An older generation with an equal key is not taken: packages that were installed by hand since would be missing.
    """
    if live is None or live.generation is None or live.problem is not None:
        return None
    facts = read_facts(live.real)
    return live.generation if facts is not None and facts.key and facts.key == requirements.key else None


def unfinished(venvs: Path) -> list[str]:
    """Names of generations whose build was cut off."""
    if not venvs.is_dir():
        return []
    return sorted(name.removesuffix(".partial") for name in os.listdir(venvs) if name.endswith(".partial"))


def in_use(path: Path) -> list[int]:
    """Processes that run from PATH, by their mapped files, program, working directory and command line; not this one.

    Processes of other users show their command line only, unless this is root.
    """
    name = os.fsencode(os.path.realpath(path))
    inside = name + b"/"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        folder = f"/proc/{entry}"
        if any(inside in _content(f"{folder}/{kind}") for kind in ("cmdline", "maps")):
            found.append(int(entry))
            continue
        for kind in ("exe", "cwd"):
            with suppress(OSError):
                if (os.fsencode(os.readlink(f"{folder}/{kind}")) + b"/").startswith(inside):
                    found.append(int(entry))
                    break
    return sorted(found)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def remove(path: Path) -> None:
    """Delete the generation at PATH with its seal. It gets another name first, so that a half-deleted one is never used.

    Raises `GitDeployError` where something can't be deleted.
    """
    gone = path.with_name(f"{_TRASH}{path.name}-{time.time_ns()}")
    with suppress(FileNotFoundError):
        os.rename(path, gone)
    faultpoints.point("generation out of the way")
    seal_path(path).unlink(missing_ok=True)
    partial_path(path).unlink(missing_ok=True)
    _delete(gone)


def sweep(venvs: Path) -> list[str]:
    """Finish deletions that were cut off; seals whose generation is gone and files of builds that were cut off go too.
    Nothing may be building there. Returns the names that were deleted; what another user's files hold stays where it is, and is not a failure."""
    swept: list[str] = []
    for name in sorted(os.listdir(venvs)) if venvs.is_dir() else ():
        path = venvs / name
        if name.startswith((_TRASH, ".source-")):
            try:
                _delete(path)
            except GitDeployError:
                continue  # of another user's making; see `undeletable`
        elif name.endswith(".seal.new") or (
            name.endswith(".seal") and not name.startswith(".") and not (venvs / name.removesuffix(".seal")).exists()
        ):
            path.unlink(missing_ok=True)
        else:
            continue
        swept.append(name)
    return swept


def undeletable(venvs: Path) -> list[Path]:
    """What of deleted generations is still there: files of another user's in them can't be deleted by this one."""
    return sorted(venvs.glob(f"{_TRASH}*")) if venvs.is_dir() else []


def _delete(folder: Path) -> None:
    """Delete a tree; a compiler that a killed installer left behind may still write into it, so it is tried again."""
    for left in (4, 3, 2, 1, 0):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if not left:
                raise GitDeployError(
                    tr(
                        "{folder} can't be deleted: {filename}: {strerror}.",
                        folder=path_text(str(folder)),
                        filename=path_text(str(error.filename)),
                        strerror=error.strerror,
                    ),
                    tr("Nothing uses it. Delete it as root: rm -rf {folder}", folder=shell_word(str(folder))),
                ) from error
            if isinstance(error, PermissionError):
                _make_writable(folder)
            interruption.sleep(0.05)
        else:
            return


def _make_writable(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(place, stat.S_IRWXU)


class Usage(Struct, frozen=True):
    """Bytes on disk: `freed` by deleting it (files that have no name elsewhere), `whole` with those that have one."""

    freed: int
    whole: int


def disk_usage(paths: Iterable[Path]) -> Usage:
    """What the folders PATHS take together, each file's blocks once."""
    names: dict[tuple[int, int], list[int]] = {}
    single = 0
    folders = [os.fspath(path) for path in paths]
    while folders:
        folder = folders.pop()
        try:
            entries = os.scandir(folder)
        except OSError:  # gone meanwhile, or of another user's
            continue
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    single += found.st_blocks * 512
                    folders.append(entry.path)
                elif found.st_nlink == 1:
                    single += found.st_blocks * 512
                else:
                    names.setdefault((found.st_dev, found.st_ino), [0, found.st_nlink, found.st_blocks * 512])[0] += 1
    freed = sum(size for seen, links, size in names.values() if seen == links)
    return Usage(single + freed, single + sum(size for _, _, size in names.values()))
