"""Where the app keeps its data: databases, uploads, and tracked files that it writes itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from gitdeploy.checkout.local import read_local
from gitdeploy.config import DatabaseConfig
from gitdeploy.config.checks import database_url
from gitdeploy.databases import open_databases
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services.opened import opened_by
from gitdeploy.text import listing, path_text, redact, size_text
from gitdeploy.upkeep.drafting.expressions import UNKNOWN, FromVariable
from gitdeploy.upkeep.drafting.lines import Line, flow
from gitdeploy.upkeep.drafting.seen import Seen

# Files that an operator edits on the server, or that the app writes: tracked ones block every upgrade, or are overwritten.
_LOCAL_NAMES = frozenset(".env config.ini local.cfg local_settings.py settings.ini settings.local.py".split())
_LOCAL_ENDINGS = (".db", ".sqlite", ".sqlite3")
_URL_VARIABLES = ("DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_DATABASE_URL", "DATABASE_URI")
_KINDS = (("sqlite", "sqlite"), ("postg", "postgresql"), ("mysql", "mysql"))
_DRIVERS = (
    *((name, "postgresql") for name in ("psycopg", "psycopg2", "psycopg2-binary")),
    *((name, "mysql") for name in ("mysqlclient", "pymysql")),
)
_UPLOADS = ("MEDIA_ROOT", "UPLOAD_FOLDER", "UPLOADED_FILES_DEST", "UPLOADS_DEFAULT_DEST", "UPLOAD_DIR")
_EMPTY_SQLITE = b"SQLite format 3\0"
_MOST_COUNTED = 50_000  # files of a folder of uploads whose sizes are added up


# ---- databases ----


def database_lines(seen: Seen) -> Iterator[Line]:
    """What is to be dumped before each upgrade; each tried before it stands there."""
    found = {flow(value): (value, why) for value, why in _databases(seen)}
    good: list[Any] = []
    reasons: dict[str, None] = {}
    identities = set()
    failed = []
    for value, why in found.values():
        wrong, identity = _tried(seen, value)
        if wrong is not None:
            failed.append(Line("backup.databases", [value], question=tr("{why}, but: {wrong}", why=why, wrong=wrong)))
        elif identity not in identities:
            identities.add(identity)
            good.append(value)
            reasons[why] = None
    if good:
        yield Line(
            "backup.databases", good, tr("{reasons}; dumped before each upgrade", reasons=listing(list(reasons), 2))
        )
    yield from failed
    if not found:
        yield Line(
            "backup.databases", [{"env": "DATABASE_URL"}],
            question=tr("no database was found: has it one? postgresql, mysql, sqlite are dumped before each upgrade"),
        )  # fmt: skip


def _databases(seen: Seen) -> Iterator[tuple[Any, str]]:
    """(as deploy.yaml has it, where it was found) of each database, the surest first."""
    named = next((name for name in _URL_VARIABLES if "://" in seen.told.get(name, "")), None)
    if named is not None:
        yield {"env": named}, tr("{named}, as the service, the environment or .env has it", named=named)
    for file in opened_by((), seen.root, seen.site.venv_link).files:
        if not file.deleted and not file.path.is_relative_to(os.path.realpath(seen.site.state.path)):
            yield _sqlite_url(seen, str(file.path)), tr("the app has it open")
    settings = [*_of_settings(seen)]
    yield from settings
    if named is None and not settings:
        for folder in (seen.root, seen.root / "instance", seen.root / "data"):
            for path in sorted(folder.glob("*")):
                if path.name.endswith(_LOCAL_ENDINGS) and path.is_file() and _may_be_database(path):
                    yield _sqlite_url(seen, str(path)), tr("a database file in the checkout")


def _of_settings(seen: Seen) -> Iterator[tuple[Any, str]]:
    """What the app's own settings name."""
    values, told_in = seen.settings.values, seen.settings.told_in
    for name in ("SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_DATABASE_URL", "DATABASE_URL"):
        if isinstance(url := values.get(name), str) and "://" in url:
            yield _as_entry(seen, url), tr("{name} in {told_in}", name=name, told_in=told_in[name])
            break
    named = next((name for name in ("DATABASES", "DATABASE") if isinstance(values.get(name), dict)), "")
    databases = values.get(named, {})  # DATABASE: one alone, that the app's own settings make Django's DATABASES of
    for alias, said in (databases if named == "DATABASES" else {"default": databases}).items():
        if not isinstance(said, dict):
            continue
        place = tr("{name} in {told_in}", name=named, told_in=told_in.get(named, "")) + (
            "" if alias == "default" else f" ({alias})"
        )
        if isinstance(url := said.get("url"), str):
            yield _as_entry(seen, url), place
        elif isinstance(url := _django_url(seen, said), str):
            yield url, place


def _as_entry(seen: Seen, url: str) -> Any:
    """A URL as deploy.yaml may have it: by its variable where one has it, which keeps a password out of the file."""
    if isinstance(url, FromVariable) and "://" in seen.told.get(url.variable, ""):
        return {"env": url.variable}
    return _sqlite_url(seen, url.partition("///")[2]) if url.startswith("sqlite:///") else redact(url)


def _django_url(seen: Seen, said: Mapping[str, Any]) -> str | None:
    """The URL of one of Django's DATABASES, without its password; None where too little of it is known."""
    engine, name = str(said.get("ENGINE") or ""), said.get("NAME")
    kind = next((kind for part, kind in _KINDS if part in engine), None if engine else _by_driver(seen))
    if kind is None or not isinstance(name, str | PurePosixPath) or not str(name):
        return None
    if kind == "sqlite":
        return _sqlite_url(seen, str(name))
    host, port, user = (said.get(key) for key in ("HOST", "PORT", "USER"))
    if UNKNOWN in (host, user):
        return None
    login = f"{quote(str(user))}@" if user else ""
    at = f"{quote(str(host), safe='')}" if host else ""
    return f"{kind}://{login}{at}{f':{port}' if port and port is not UNKNOWN and at else ''}/{quote(str(name))}"


def _by_driver(seen: Seen) -> str | None:
    """The kind whose driver alone is in the venv: what an app that names no engine can only mean."""
    found = {kind for driver, kind in _DRIVERS if driver in seen.packages}
    return found.pop() if len(found) == 1 else None


def _sqlite_url(seen: Seen, path: str) -> str:
    """`sqlite:///` and PATH from the root, or the whole path where it is outside. A relative one as SQLAlchemy has it."""
    full = os.path.normpath(os.path.join(seen.root, path))
    for top in (str(seen.root), os.path.realpath(seen.root)):
        if full.startswith(f"{top}/"):
            return f"sqlite:///{os.path.relpath(full, top)}"
    return f"sqlite:///{full}"


def _may_be_database(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(16) in (b"", _EMPTY_SQLITE)
    except OSError:
        return False


def _tried(seen: Seen, value: Any) -> tuple[str | None, str]:
    """(why the database VALUE can't be dumped, which one it is)."""
    if isinstance(value, str) and (wrong := database_url(value)) is not None:
        return tr("it {wrong}", wrong=wrong.partition("; found")[0]), ""
    entry = DatabaseConfig(url=value) if isinstance(value, str) else DatabaseConfig(env=value["env"])
    try:
        (database,) = open_databases([entry], seen.root, seen.told)
        return next((message for message, _ in database.problems()), None), database.identity
    except (GitDeployError, OSError, ValueError) as error:
        return str(getattr(error, "message", error)), ""


# ---- uploads ----


def upload_lines(seen: Seen) -> Iterator[Line]:
    """Folders of uploads inside the checkout: releases don't touch them, and whether each backup copies them is a question
    of their size."""
    for name in _UPLOADS:
        path = _inside(seen, seen.settings.text(name))
        if path is not None and (seen.root / path).is_dir():
            said = tr(
                "uploads ({name} in {told_in}), {size}",
                name=name,
                told_in=seen.settings.told_in[name],
                size=_size(seen.root / path),
            )
            yield Line(
                "backup.include",
                [path],
                question=tr("{said}; no release touches them. Copy them into each backup?", said=said),
            )
            return


def _inside(seen: Seen, path: str | None) -> str | None:
    """PATH from the checkout's root; None where it is outside, or the root itself."""
    if not path:
        return None
    full = os.path.normpath(os.path.join(seen.root, path))
    return os.path.relpath(full, seen.root) if full.startswith(f"{seen.root}/") else None


def _size(folder: Path) -> str:
    total = number = 0
    for base, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                continue
            number += 1
            if number >= _MOST_COUNTED:
                return tr("more than {total}", total=size_text(total))
    return size_text(total)


# ---- what stays ----


def keep_lines(seen: Seen, known: tuple[str, ...] = ()) -> Iterator[Line]:
    """Paths whose local content survives every release. KNOWN: those that a recipe names. What is tracked and named like a
    server's own counts where it differs here: else a release's changes to it would never come."""
    changed = [os.fsdecode(change.path) for change in read_local(seen.site.repository).changes]
    local = [name for name in seen.names if os.path.basename(name) in _LOCAL_NAMES or name.endswith(_LOCAL_ENDINGS)]
    databases = _database_files(seen)
    uploads = [
        f"{path}/"
        for name in _UPLOADS
        if (path := _inside(seen, seen.settings.text(name))) and any(each.startswith(f"{path}/") for each in seen.names)
    ]
    sure = [name for name in local if name in changed or name in databases]
    kept = list(dict.fromkeys([".env", *known, *sure, *uploads]))
    why = tr("local content that survives every release")
    if own := [name for name in (*sure, *uploads) if name not in known and name != ".env"]:
        why = tr("tracked, but local by the look of it: {own}", own=listing([path_text(name) for name in own], 5))
    yield Line("git.keep", kept, why)
    others = [name for name in (*changed, *local) if not _covered(name, kept)]
    if others:
        shown = listing([path_text(name) for name in dict.fromkeys(others)], 5)
        differ = (
            tr("changed here though tracked")
            if any(name in changed for name in others)
            else tr("tracked, and named like a server's own")
        )
        said = tr(
            "{differ}: {shown}. Does the server or the app write there? What is kept gets no changes of a release",
            differ=differ,
            shown=shown,
        )
        yield Line("git.keep", [*kept, *dict.fromkeys(others[:10])], question=said)


def _database_files(seen: Seen) -> set[str]:
    """Tracked files that are databases which the app's settings name, or that it has open."""
    urls = [value for value, _ in _databases(seen) if isinstance(value, str) and value.startswith("sqlite:///")]
    return {url.removeprefix("sqlite:///") for url in urls}


def _covered(name: str, kept: list[str]) -> bool:
    return name in kept or any(name.startswith(path) for path in kept if path.endswith("/"))
