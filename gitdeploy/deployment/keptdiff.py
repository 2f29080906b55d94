"""What a release changed in a file that stays as it is here: shown, so that a new setting in it isn't missed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from gitdeploy.checkout.filters import has_filters, read_filtered
from gitdeploy.checkout.git import Repository
from gitdeploy.text import clean, path_text

MOST_LINES = 20  # of one file's difference; the rest is named


def kept_differences(repository: Repository, old: str, new: str, kept: Sequence[bytes]) -> Iterator[str]:
    """For each of KEPT whose content differs between the commits OLD and NEW: a sentence, then the changed lines."""
    names = [os.fsdecode(path) for path in kept if b"\n" not in path]
    before, after = repository.read_many(old, names), repository.read_many(new, names)
    secret = has_filters(repository) if before != after else False
    for name in names:
        if before.get(name) == after.get(name):
            continue
        shown = path_text(name)
        if name not in after:
            yield f"{shown} is kept as it is here; the release deletes it."
            continue
        what = "changed its own version of it" if name in before else "brings one of its own"
        filtered = secret and _is_filtered(repository, new, name, after[name])
        if filtered or b"\0" in (before.get(name) or b"") + after[name]:
            yield f"{shown} is kept as it is here; the release {what}" + (
                " (it goes through a filter)." if filtered else "."
            )
            continue
        yield f"{shown} is kept as it is here; the release {what}:"
        import difflib  # which a deployment without such a file need not load

        lines = [
            line
            for line in difflib.unified_diff(_lines(before.get(name)), _lines(after[name]), n=0, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
        yield from (f"  {clean(line, limit=200)}" for line in lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            yield f"  … and {len(lines) - MOST_LINES} more lines: git diff {old[:12]} {new[:12]} -- {shown}"


def _is_filtered(repository: Repository, commit: str, name: str, content: bytes) -> bool:
    """Whether a filter (git-crypt, say) makes something else of the file: then neither belongs into a log."""
    return read_filtered(repository, commit, [name])[name] != content


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "backslashreplace").splitlines()
