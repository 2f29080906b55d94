"""Database migrations known by name: which ones a release brings, and whether each can be reversed.

They are read from the release's files and never run. One file a framework.
"""

from __future__ import annotations

from gitdeploy.migrations import alembic, django
from gitdeploy.migrations.base import Change, Files, Migration, second_half

FRAMEWORKS = (django, alembic)


def is_migration(path: str) -> bool:
    """Whether the file at PATH may be one, by its name alone."""
    return any(framework.PATH.fullmatch(path) for framework in FRAMEWORKS)


def applied_by(files: Files) -> frozenset[str]:
    """What Django has recorded (`shop.0002_names`) in a database that the release with FILES has migrated."""
    return django.applied_by(files)


def left_behind(files: Files, applied: frozenset[str]) -> tuple[str, ...]:
    """Migrations that a database where APPLIED are recorded still needs, and that the release with FILES has no more: squashed
    or deleted ones. Django would fail on them, or make tables that are there. Sentences."""
    return django.left_behind(files, applied)


def compare(before: Files, after: Files) -> tuple[Change, ...]:
    """What a release changes: BEFORE and AFTER are path -> content of the files that `is_migration` names."""
    return tuple(change for framework in FRAMEWORKS for change in framework.compare(before, after))


__all__ = ["Change", "Files", "Migration", "applied_by", "compare", "is_migration", "left_behind", "second_half"]
