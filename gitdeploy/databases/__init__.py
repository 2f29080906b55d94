"""The app's databases: dumped with a backup, restored where the code goes back. One file a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitdeploy.databases.base import Database, Dump
from gitdeploy.databases.sqlite import SQLite
from gitdeploy.errors import ConfigError
from gitdeploy.text import clean, redact


def open_databases(entries: Sequence[Any], root: Path, environment: Mapping[str, str]) -> tuple[Database, ...]:
    """The databases that `backup.databases` names. Raises `ConfigError` for one that can't be used."""
    found: list[Database] = []
    for entry in entries:
        url = entry.url or environment.get(entry.env or "", "")
        if not url:
            raise ConfigError(
                f"{clean(str(entry.env))}, which backup.databases refers to, is set neither in the environment nor in .env.",
                "Set it, or remove that entry.",
            )
        scheme = url.partition(":")[0].partition("+")[0].lower()
        if scheme != "sqlite":
            raise ConfigError(
                f"backup.databases: {redact(clean(scheme))} databases can't be dumped by gitdeploy yet.",
                "Dump it in a hook: hooks/pre-deploy gets GITDEPLOY_BACKUP_DIR; restore it in hooks/pre-restore.",
            )
        found.append(SQLite.from_url(url, root))
    return tuple(found)


__all__ = ["Database", "Dump", "open_databases"]
