"""Paths of the checkout whose local content always survives."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re
from collections.abc import Iterable

from msgspec import Struct

_BARE = re.compile(r"\.?[A-Za-z][A-Za-z0-9._/-]*")
_NOT_TEXT = frozenset("y n yes no on off true false null .inf .nan".split())  # to YAML


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


def keep_line(kept: Iterable[str], paths: Iterable[bytes]) -> str:
    """The line of deploy.yaml that keeps PATHS, and what is KEPT already."""
    words = dict.fromkeys([*kept, *map(_pattern, paths)])
    return f"git: {{keep: [{', '.join(_yaml(word) for word in words)}]}}"


def _pattern(path: bytes) -> str:
    """What names PATH and nothing else; a byte that no text can hold is any character."""
    name = glob.escape(path.decode("utf-8", "surrogateescape"))
    return "".join(character if character.isprintable() else "?" for character in name)


def _yaml(text: str) -> str:
    bare = _BARE.fullmatch(text) and text.lower() not in _NOT_TEXT
    return text if bare else json.dumps(text, ensure_ascii=False)
