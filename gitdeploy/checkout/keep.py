"""Paths of the checkout whose local content always survives."""

from __future__ import annotations

import fnmatch
import os

from msgspec import Struct


class KeepPaths(Struct, frozen=True):
    """Paths whose local content always survives: `patterns` are names, folders, or globs, `files` just those names."""

    patterns: tuple[str, ...]
    files: frozenset[bytes] = frozenset()

    def match(self, path: bytes) -> bool:
        if path in self.files:
            return True
        if not self.patterns:
            return False
        name = os.fsdecode(path)
        return any(
            name == pattern or name.startswith(pattern + "/") or fnmatch.fnmatchcase(name, pattern)
            for pattern in (p.rstrip("/").removeprefix("./") for p in self.patterns)
        )
