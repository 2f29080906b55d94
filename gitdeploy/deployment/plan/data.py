"""What a deployment needs of the app's databases: that they answer, room for their dumps, and what can't be done well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.backups import encrypted, encryption
from gitdeploy.backups.places import KEPT
from gitdeploy.backups.store import Backup
from gitdeploy.checkout.changes import Problem, TreePlan
from gitdeploy.checkout.envpath import lines_without_version
from gitdeploy.config import Config
from gitdeploy.databases import Database, Dump, database_of, open_databases
from gitdeploy.databases import Database as AppDatabase
from gitdeploy.deployment.plan.data_moves import differing_paths
from gitdeploy.deployment.plan.data_release import data_name, fits
from gitdeploy.deployment.plan.threatened import threatened_databases
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services.opened import Opened
from gitdeploy.site.app_environment import app_environment, service_environment
from gitdeploy.site.data_open import open_warnings
from gitdeploy.site.data_risk import writes_at_risk
from gitdeploy.site.site import Site
from gitdeploy.text import listing, path_text, size_text

_GROWTH, _LEAST = (
    2,
    1 << 20,
)  # a dump may be so many times as large as the last one of the same database, or so many bytes


class DataPlan(Struct, frozen=True):
    """Facts for the plan; `needed` are bytes for dumps in the state directory."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    needed: int = 0


def plan_data(
    site: Site, opened: Opened, tree: TreePlan, after: Config, *, migrates: bool, dumps: bool, halves: bool = False
) -> DataPlan:
    """Ask each database of `backup.databases`, and look at what the app has OPENED and at what the switch (TREE, to the
    configuration AFTER) does to it. MIGRATES: a migration will run; in two HALVES. DUMPS: databases are dumped here, and may
    go back; else another host does that. Changes nothing."""
    problems = threatened_databases(site, tree, (site.config, after))
    goes_back = migrates and not (
        halves and site.config.backup.restore_data == "auto" and site.config.health.configured
    )
    warnings = [said] if (said := writes_at_risk(site.config, migrates=goes_back)) is not None else []
    needed = 0
    problems += _encrypting(site, after)
    environment = app_environment(site)
    try:
        databases = open_databases(site.config.backup.databases, site.root, environment)
    except GitDeployError as error:
        return DataPlan((*problems, Problem(error.message, error.hint)), tuple(warnings))
    warnings += open_warnings(site, databases, opened, environment)
    warnings += service_environment(site).unread
    for database in databases if dumps else ():
        try:
            found = database.problems()
            problems += [Problem(message, hint) for message, hint in found]
            if not found:
                warnings += database.warnings()
                needed += dump_size(site, database)
        except GitDeployError as error:
            problems.append(Problem(error.message, error.hint))
    if dumps and site.config.backup.restore_data != "never":
        problems += _room_beside(databases)
    # A roll-back dumps what it replaces before it does so; what is encrypted is there twice until it is.
    needed *= 1 + (site.config.backup.restore_data != "never") + bool(site.config.backup.encrypt)
    return DataPlan(tuple(problems), tuple(warnings), needed)


def _encrypting(site: Site, after: Config) -> list[Problem]:
    """Backups could not be encrypted, as deploy.yaml says they are; asked of the program itself."""
    for wanted in dict.fromkeys((site.config.backup.encrypt, after.backup.encrypt)):
        try:
            if wanted:
                encryption.try_encrypting(wanted, site.root)
        except GitDeployError as error:
            return [Problem(error.message, error.hint)]
    return []


def dump_size(site: Site, database: Database) -> int:
    """Bytes that a dump may take: by the database's size, or by its last dump where that was much smaller (compressed)."""
    size = database.size()
    for backup in site.backups():
        for dump in backup.dumps:
            if dump["name"] == database.name:
                return min(size, max(_GROWTH * int(dump["size"]), _LEAST))
    return size


def _room_beside(databases: tuple[Database, ...]) -> list[Problem]:
    """A database file is restored beside the live one."""
    problems = []
    for database in databases:
        file = next((file for file in database.files() if file.is_file()), None)
        if file is None:
            continue
        found, size = os.statvfs(os.path.dirname(os.path.realpath(file))), database.size()
        if (free := found.f_bavail * found.f_frsize) < size:
            problems.append(
                Problem(
                    tr(
                        "Too little space beside the database {database} to put a dump back: {free} free, {size} "
                        "needed.",
                        database=database.name,
                        free=size_text(free),
                        size=size_text(size),
                    ),
                    tr("Make room there, or do without: backup: {{restore_data: never}}"),
                )
            )
    return problems


def restore_warnings(site: Site, backup: Backup, *, with_data: bool) -> list[str]:
    """What a restore of BACKUP by hand leaves as it is although the backup has it otherwise."""
    if with_data:
        return []
    said = []
    folder = site.state.backups / backup.id / KEPT
    differing = [
        path_text(path)
        for path in backup.kept
        if (then := folder / path).is_file() and _other_content(site.root / path, then)
    ]
    hidden = [path_text(path) for path in backup.kept if not os.path.lexists(folder / path)]
    if hidden and encrypted.parts(folder.parent):
        said.append(
            tr(
                "Kept as it is now: {hidden}. What the backup has of it is encrypted and was not compared. To bring it back "
                "too: --with-data",
                hidden=listing(hidden, 5),
            )
        )
    if differing:
        said.append(
            tr(
                "Kept as it is now, different in the backup: {differing}. To bring it back too: --with-data",
                differing=", ".join(differing),
            )
        )
    if changed := differing_paths(site, backup):
        said.append(
            tr(
                "Kept as it is now, different in the backup (backup.include): {changed}. To bring it "
                "back too: --with-data",
                changed=listing(changed, 5),
            )
        )
    return [*said, *_databases_stay(site, backup)] if backup.dumps else said


def _databases_stay(site: Site, backup: Backup) -> list[str]:
    """What a restore without data means for the databases that BACKUP has dumps of."""
    said = []
    if not fits(backup, site.backups()):
        said.append(
            tr(
                "The data in backup {backup} are of {data_name}: its code may not work with them.",
                backup=backup.id,
                data_name=data_name(backup),
            )
        )
    try:
        changed = changed_schemas(
            open_databases(site.config.backup.databases, site.root, app_environment(site)), backup
        )
    except GitDeployError as error:
        return [
            *said,
            tr(
                "Whether the databases' schema differs from the backup's can't be said: {message}",
                message=error.message,
            ),
        ]
    if changed:
        said.append(
            tr(
                "The schema of {changed} has changed since backup {backup}: its code may not work with "
                "it. To bring the data back too, as they were then: --with-data",
                changed=listing(changed, 5),
                backup=backup.id,
            )
        )
    else:
        said.append(
            tr(
                "Databases stay as they are now; backup {backup} has their dumps. To bring them back too: --with-data",
                backup=backup.id,
            )
        )
    return said


def _other_content(now: Path, then: Path) -> bool:
    return not now.is_file() or lines_without_version(now.read_bytes()) != lines_without_version(then.read_bytes())


def changed_schemas(databases: Sequence[AppDatabase], backup: Backup) -> list[str]:
    """Names of databases whose schema is another than when BACKUP dumped them. Raises `GitDeployError`."""
    pairs = [(dump, database_of(dump, databases)) for dump in map(Dump.from_dict, backup.dumps)]
    return [d.name for dump, d in pairs if d is not None and d.fingerprint() != dump.fingerprint]
