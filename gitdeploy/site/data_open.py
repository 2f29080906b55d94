"""Data are what the app has open: the databases that `backup.databases` names, beside those that its processes use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.databases import Database
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services import open_services
from gitdeploy.services.opened import Opened, OpenFile, opened_by
from gitdeploy.site.site import Site
from gitdeploy.state import NAME
from gitdeploy.system import proc
from gitdeploy.system.owner import user_name
from gitdeploy.text import listing, path_text

_VARIABLES = ("DATABASE_URL", "SQLALCHEMY_DATABASE_URI")
_TEMPORARY = "etilqs_"  # what SQLite calls its own temporary files
_KINDS = {"PostgreSQL": "postgresql", "MySQL": "mysql"}


def look_open(site: Site) -> Opened:
    """What the app's processes have open now. Changes nothing, never raises."""
    try:
        services = open_services(site.config.service, site.root)
    except (GitDeployError, OSError):
        services = ()
    return opened_by(services, site.root, site.venv_link)


def open_paths(site: Site, opened: Opened) -> list[str]:
    """Database files below the checkout that the app has open, with what SQLite keeps beside them."""
    real = os.path.realpath(site.root)
    names = [os.path.realpath(file.path) for file in _of_the_app(site, opened) if not file.deleted]
    below = [os.path.relpath(name, real) for name in names if name.startswith(real + "/")]
    return sorted(
        tr("{name}{ending}", name=name, ending=ending) for name in below for ending in ("", "-wal", "-shm", "-journal")
    )


def open_warnings(site: Site, databases: Sequence[Database], opened: Opened, environment: dict[str, str]) -> list[str]:
    """Sentences: a setting that leads elsewhere than the app, and what nobody backs up."""
    files = _of_the_app(site, opened)
    said = _empty(databases)
    said += [
        tr(
            "The app (process {pid}) has a database open that is {file} no more: the file was "
            "deleted or replaced. What it writes there is lost when it ends. Restart the app, then "
            "look at the database again.",
            pid=file.pid,
            file=path_text(str(file.path)),
        )
        for file in files
        if _replaced(file, databases)
    ]
    configured = {database.identity for database in databases}
    others = [file for file in files if not file.deleted and f"sqlite {file.device}:{file.inode}" not in configured]
    if others:
        said.append(_not_named(site, databases, others, files))
    kinds = {database.kind for database in databases}
    missing = [server for server in opened.servers if _KINDS[server.partition(" ")[0]] not in kinds]
    if missing:
        said.append(
            tr(
                "The app is connected to {missing}, and backup.databases names no such database: nothing "
                "of it is backed up.",
                missing=listing(missing, 3),
            )
        )
    if not databases and not said and (name := next((v for v in _VARIABLES if environment.get(v)), None)) is not None:
        said.append(
            tr(
                "{name} is set, and backup.databases names no database: nothing of it is backed up. In "
                "deploy.yaml: backup: {{databases: [{{env: {name}}}]}}",
                name=name,
            )
        )
    return said


def unseen(opened: Opened) -> str | None:
    """Whose processes could not be looked into; None where all could."""
    if not opened.closed:
        return None
    owners = {user_name(uid) for pid in opened.closed if (uid := proc.owner_of(pid)) is not None}
    whose = tr("{owners}'s", owners=listing(sorted(owners), 3)) if owners else tr("another user's")
    return tr("Which databases the app has open can't be told: its processes are {whose}.", whose=whose)


def _of_the_app(site: Site, opened: Opened) -> list[OpenFile]:
    """Without gitdeploy's own files and SQLite's temporary ones."""
    own = (os.path.realpath(site.state.path) + "/", f"{site.root / NAME}/")
    return [f for f in opened.files if not str(f.path).startswith(own) and not f.path.name.startswith(_TEMPORARY)]


def _empty(databases: Sequence[Database]) -> list[str]:
    return [
        tr(
            "The database {database} is an empty file: the app's data are elsewhere, or there are none yet.",
            database=database.name,
        )
        for database in databases
        if database.kind == "sqlite" and database.files()[0].is_file() and not database.size()
    ]


def _replaced(file: OpenFile, databases: Sequence[Database]) -> bool:
    """Whether FILE was one of DATABASES, whose name now leads to another file or to none."""
    places = {os.path.realpath(d.files()[0]) for d in databases if d.kind == "sqlite"}
    return file.deleted and str(file.path) in places


def _not_named(site: Site, databases: Sequence[Database], others: list[OpenFile], files: list[OpenFile]) -> str:
    real = os.path.realpath(site.root)
    names = [_shown(file.path, real) for file in others]
    it = tr("it") if len(names) == 1 else tr("them")
    open_now = {f"sqlite {file.device}:{file.inode}" for file in files}
    unopened = [d.name for d in databases if d.kind == "sqlite" and d.identity not in open_now]
    add = listing([f"sqlite:///{name}" for name in names], 3)
    if not databases:
        said = tr(
            "The app has {names} open, and backup.databases names no database: nothing of {it} is backed up.",
            names=listing(names, 3),
            it=it,
        )
    elif unopened and len(unopened) == len([d for d in databases if d.kind == "sqlite"]):
        said = tr(
            "backup.databases names {unopened}, but the app has {names} open: nothing of {it} is backed up.",
            unopened=listing(unopened, 3),
            names=listing(names, 3),
            it=it,
        )
    else:
        said = tr(
            "The app has {names} open too, and backup.databases doesn't name {it}: nothing of {it} is backed up.",
            names=listing(names, 3),
            it=it,
        )
    return tr("{said} To have it dumped, name it there: {add}", said=said, add=add)


def _shown(path: Path, real: str) -> str:
    name = str(path)
    return path_text(os.path.relpath(name, real) if name.startswith(real + "/") else name)
