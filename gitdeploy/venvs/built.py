"""What builds write into the release's own folders (`build_ext --inplace`, `_version.py`): kept with the generation, so that
it goes live with it and comes back with it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

BUILT = ".gitdeploy-built"  # a folder in a generation, with paths as from the checkout's root

Figures = tuple[int, int, int]
# What a build needs only while it runs, or writes beside its result. An editable build's own tree below `build` stays.
_PASSING = re.compile(
    r"(?:.*/)?(?:__pycache__|\.eggs|[^/]+\.egg-info|build/(?:temp|lib|bdist)[.][^/]*|build/lib|target/(?:debug|release))(?:/.*|$)"
    r"|.*\.py[co]$|.*\.o$"
)


def tree_files(folder: Path) -> dict[str, Figures]:
    """Every regular file below FOLDER but git's own, by its path: size, mtime, inode."""
    found = {}
    for base, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in files:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                facts = os.lstat(path)
                found[os.path.relpath(path, folder)] = (facts.st_size, facts.st_mtime_ns, facts.st_ino)
    return found


def keep_built(folder: Path, before: dict[str, Figures], generation: Path, root: Path) -> list[str]:
    """Keep what a build wrote below FOLDER, where the files BEFORE were, with GENERATION; the paths. What names FOLDER in
    texts names ROOT, where they will be."""
    shutil.rmtree(generation / BUILT, ignore_errors=True)
    linked = any(generation.glob("lib/python*/site-packages/*.egg-link"))  # of old: its metadata are in the tree
    kept = []
    for path, facts in tree_files(folder).items():
        passing = _PASSING.fullmatch(path) and not (linked and ".egg-info/" in path)
        if facts == before.get(path) or passing or os.path.basename(path).startswith(".gitdeploy-"):
            continue
        place = generation / BUILT / path
        place.parent.mkdir(parents=True, exist_ok=True)
        data = (folder / path).read_bytes()
        if b"\0" not in data:
            for named in {os.fsencode(os.path.realpath(folder)), os.fsencode(folder)}:
                data = data.replace(named, os.fsencode(root))
        place.write_bytes(data)
        place.chmod((folder / path).stat().st_mode & 0o777)
        kept.append(path)
    return sorted(kept)


def built_files(generation: Path) -> list[str]:
    """The paths of what builds wrote for GENERATION."""
    place = generation / BUILT
    return sorted(tree_files(place)) if place.is_dir() else []


def note_live(generation: Path, root: Path, path: str) -> None:
    """Keep what stands at PATH below ROOT with GENERATION, which is live: it comes back with it."""
    live, place = root / path, generation / BUILT / path
    if not live.is_file() or live.is_symlink():
        place.unlink(missing_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.new")
    shutil.copy2(live, beside)
    os.replace(beside, place)
