"""The seal of a generation: what it was built from, and size, mtime and inode of each of its files.

Kept beside the generation, as `<generation>.seal`: a line of JSON, then a zlib stream of one line a file. While a
generation is being built `<generation>.partial` stands beside it; what has that mark is thrown away, never used.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system import faultpoints, interruption
from gitdeploy.text import path_text, shell_word
from gitdeploy.venvs.built import BUILT

# Written by interpreters and installers as they run: no sign that somebody changed a package.
BYTECODE = "__pycache__"  # a folder: compilers have files of other names in it for a moment, numba for good
_IGNORED_ENDINGS = (".pyc", "/.lock")


class Facts(Struct, frozen=True):
    """What a generation was built from. key: see `Requirements`; made_at: seconds since 1970; packages: name to version."""

    key: str = ""
    installer: str = ""
    made_at: float = 0.0
    packages: Mapping[str, str] = field(default_factory=dict)


class File(Struct, frozen=True):
    """A sealed file: size in bytes, mtime in nanoseconds, inode number."""

    size: int
    mtime: int
    inode: int


def seal_path(generation: Path) -> Path:
    return generation.with_name(generation.name + ".seal")


def partial_path(generation: Path) -> Path:
    return generation.with_name(generation.name + ".partial")


def walk(generation: Path, known: Mapping[str, File] = MappingProxyType({})) -> Iterator[tuple[str, File]]:
    """Every regular file and symlink below GENERATION but bytecode: path relative to it, and its figures.

    KNOWN holds figures of a moment ago: a name that still has that inode is not looked at again.
    """
    folders = [("", os.fspath(generation))]
    while folders:
        interruption.check()
        relative, folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = relative + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != BYTECODE and (relative or entry.name != BUILT):
                        folders.append((name + "/", entry.path))
                elif not name.endswith(".pyc"):
                    file = known.get(name)
                    if file is None or file.inode != entry.inode():
                        figures = entry.stat(follow_symlinks=False)
                        file = File(figures.st_size, figures.st_mtime_ns, figures.st_ino)
                    yield name, file


def figures(path: Path) -> File:
    """What a seal says of the file at PATH."""
    found = path.lstat()
    return File(found.st_size, found.st_mtime_ns, found.st_ino)


def seal(generation: Path, facts: Facts | None = None, body: bytes | None = None) -> None:
    """Write down every file of GENERATION as it is now (BODY: of `listed`, where they were just looked at). Facts that an
    earlier seal holds stay unless FACTS are given."""
    if facts is None:
        facts = read_facts(generation) or Facts()
    head = json.dumps(
        {"key": facts.key, "installer": facts.installer, "made_at": facts.made_at, "packages": dict(facts.packages)}
    )
    target = seal_path(generation)
    beside = target.with_name(f".{target.name}.new")
    beside.write_bytes(head.encode() + b"\n" + (listed(walk(generation)) if body is None else body))
    faultpoints.point("seal written")
    os.replace(beside, target)


def listed(files: Iterable[tuple[str, File]]) -> bytes:
    """What a seal says of FILES, ready to be written."""
    lines = [f"{file.size} {file.mtime} {file.inode} {name}" for name, file in files]
    return zlib.compress("\0".join(lines).encode("utf-8", "surrogateescape"), 1)


def read_facts(generation: Path) -> Facts | None:
    """The facts in GENERATION's seal; None where there is none or it can't be read."""
    try:
        with seal_path(generation).open("rb") as file:
            said: Any = json.loads(file.readline(1 << 20))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict):
        return None
    packages = said.get("packages")
    return Facts(
        str(said.get("key", "")),
        str(said.get("installer", "")),
        float(said.get("made_at") or 0.0),
        packages if isinstance(packages, dict) else {},
    )


def sealed_files(generation: Path) -> dict[str, File] | None:
    """The files that GENERATION's seal lists; None where there is no seal. Raises `GitDeployError` for a damaged one."""
    try:
        raw = seal_path(generation).read_bytes()
    except FileNotFoundError:
        return None
    found = {}
    try:
        text = zlib.decompress(raw.partition(b"\n")[2]).decode("utf-8", "surrogateescape")
        for line in text.split("\0") if text else ():
            size, mtime, inode, name = line.split(" ", 3)
            found[name] = File(int(size), int(mtime), int(inode))
    except (zlib.error, ValueError) as error:
        raise GitDeployError(
            tr(
                "The seal {seal_path} is damaged, so nothing tells whether the venv is as it was.",
                seal_path=path_text(str(seal_path(generation))),
            ),
            tr(
                "Compare the venv's packages by hand, then delete the seal: rm {seal_path}",
                seal_path=shell_word(str(seal_path(generation))),
            ),
        ) from error
    return found


def differences(generation: Path) -> list[str]:
    """Files of GENERATION that were written or deleted since it was sealed, sorted; empty where it was never sealed.

    Numbers of inodes are no identity (a copy or a remount changes them), so size and mtime decide.
    """
    sealed = sealed_files(generation)
    if sealed is None:
        return []
    now = dict(walk(generation)) if generation.is_dir() else {}
    return sorted(
        name
        for name, file in sealed.items()
        if not (f"/{name}".endswith(_IGNORED_ENDINGS) or f"/{BYTECODE}/" in f"/{name}")
        and ((found := now.get(name)) is None or (found.size, found.mtime) != (file.size, file.mtime))
    )
