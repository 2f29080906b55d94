"""Where a process can be killed: at the named points of gitdeploy, and after each call that changes a name on disk.

Only for forks that end afterwards: there is no way back from `watch`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitdeploy.system import faultpoints

_NAMES = ("link", "mkdir", "remove", "rename", "replace", "rmdir", "symlink", "unlink")
_SYNCS = ("fsync", "close")  # syncfs(2) has no name in `os`; its descriptor is closed right after it
_BULK = 25  # a venv is cloned and deleted by hundreds of calls, one as good as the other: one in so many is a point


def watch(root: Path, reached: Callable[[str], None], *, syncs: bool = False) -> None:
    """From now on REACHED is told of every point of this process below ROOT; SYNCS: after every fsync too."""
    top = os.fsencode(root)
    counts: Counter[str] = Counter()
    telling = False

    def tell(name: str) -> None:
        nonlocal telling
        if not telling:
            telling = True
            try:
                reached(name)
            finally:
                telling = False

    def watched(call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def do(*args: Any, **options: Any) -> Any:
            result = original(*args, **options)
            name = f"{call} {_area(top, args, options)}".rstrip()
            counts[name] += 1
            if name.endswith(" elsewhere") or (name.endswith((" tree", " venvs")) and counts[name] % _BULK != 1):
                return result
            tell(name)
            return result

        return do

    faultpoints.point = tell
    for call in (*_NAMES, *(_SYNCS if syncs else ())):
        setattr(os, call, watched(call, getattr(os, call)))


def _area(top: bytes, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """In a word what the last path of a call is part of."""
    if options.get("dir_fd") is not None:
        return "tree"
    paths = [arg for arg in args if isinstance(arg, str | bytes | os.PathLike)]
    if not paths:
        return ""  # a descriptor
    path = os.fsencode(paths[-1])
    if not path.startswith(top + b"/"):
        return "elsewhere"
    parts = path[len(top) + 1 :].split(b"/")
    if parts[0] == b".gitdeploy":
        return parts[1].decode() if len(parts) > 2 else "state"
    return ".git" if parts[0] == b".git" else "live"
