"""The app's databases: dumped with a backup, restored where the code goes back. One file a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gitdeploy.databases.base import ABSENT, Database, Dump, Written
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact


def open_databases(entries: Sequence[Any], root: Path, environment: Mapping[str, str]) -> tuple[Database, ...]:
    """The databases that `backup.databases` names, each once: two settings may lead to the same one. Raises `ConfigError`
    for one that can't be used."""
    found: dict[str, Database] = {}
    for entry in entries:
        url = entry.url or environment.get(entry.env or "", "")
        if not url:
            raise ConfigError(
                tr(
                    "{env}, which backup.databases refers to, is set neither in the environment nor in .env.",
                    env=clean(str(entry.env)),
                ),
                tr("Set it, or remove that entry."),
            )
        database = _open(url, root, environment)
        found.setdefault(database.identity, database)
    return tuple(found.values())


def database_of(dump: Dump, databases: Sequence[Database]) -> Database | None:
    """The one of DATABASES that DUMP was made of: by its name, or by the file that it was, whatever it is called now."""
    for database in databases:
        if database.kind == dump.kind and database.name == dump.name:
            return database
    if dump.kind == "sqlite" and dump.path:
        same = _kind("sqlite")(Path(dump.path), dump.name).identity
        return next((database for database in databases if database.identity == same), None)
    return None


_KINDS = {
    "sqlite": "sqlite:SQLite",
    **dict.fromkeys(("postgresql", "postgres", "postgis"), "postgresql:PostgreSQL"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql:MySQL"),
}  # scheme of the URL -> module and class, imported only where an app names it


def _kind(scheme: str) -> type[Any]:
    module, _, name = _KINDS[scheme].partition(":")
    kind: type[Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return kind


def _open(url: str, root: Path, environment: Mapping[str, str]) -> Database:
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme in _KINDS:
        made: Database = _kind(scheme).from_url(url, root, environment)
        return made
    raise ConfigError(
        tr(
            "backup.databases: {scheme} databases can't be dumped by gitdeploy.", scheme=redact(clean(scheme, limit=40))
        ),
        tr("Dump it in a hook: hooks/pre-deploy gets GITDEPLOY_BACKUP_DIR."),
    )


__all__ = ["ABSENT", "Database", "Dump", "Written", "database_of", "open_databases"]
