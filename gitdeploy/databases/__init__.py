"""The app's databases: dumped with a backup, restored where the code goes back. One file a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitdeploy.databases.base import ABSENT, Database, Dump
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
        found.append(_open(url, root, environment))
    return tuple(found)


def _open(url: str, root: Path, environment: Mapping[str, str]) -> Database:
    """One kind a line, each imported only where it is used."""
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme == "sqlite":
        from gitdeploy.databases.sqlite import SQLite

        return SQLite.from_url(url, root)
    if scheme in ("postgresql", "postgres", "postgis"):
        from gitdeploy.databases.postgresql import PostgreSQL

        return PostgreSQL.from_url(url, root, environment)
    if scheme in ("mysql", "mariadb"):
        from gitdeploy.databases.mysql import MySQL

        return MySQL.from_url(url, root)
    raise ConfigError(
        f"backup.databases: {redact(clean(scheme, limit=40))} databases can't be dumped by gitdeploy.",
        "Dump it in a hook: hooks/pre-deploy gets GITDEPLOY_BACKUP_DIR.",
    )


__all__ = ["ABSENT", "Database", "Dump", "open_databases"]
