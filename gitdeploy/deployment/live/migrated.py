"""After a migrate hook: whether the migrations that the plan named are recorded in the databases that the app is configured
to use. A migration that ran elsewhere leaves the app on its old schema, and a health check may still say 200."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.checkout.git import Repository
from gitdeploy.databases import Database, open_databases
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.migrations import migrations_between
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.errors import DeploymentFailed, GitDeployError, PolicyError
from gitdeploy.hooks.running import find_hooks
from gitdeploy.messages import tr
from gitdeploy.migrations import Change, second_half
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.site import Site
from gitdeploy.text import listing

_HINT = tr(
    "The hook and the app mean different databases. Hooks get the service's environment and env_file; see what else the app "
    "is configured by, or correct backup.databases in deploy.yaml."
)


class Looked(Struct, frozen=True):
    """What was looked for: `absent` names migrations that should be there and are not, `unclear` those of which nothing
    can be told (their app is not known to any database)."""

    absent: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


def require_recorded(live: Live, *, first_half: bool = False) -> None:
    """Raises `DeploymentFailed` where a migration that the release brings is in none of the databases that
    `backup.databases` names; says in the log what can't be told. FIRST_HALF: those of the second are not looked for."""
    if find_hooks(live.site.root, live.after.hooks, "migrate"):
        record, databases = live.record, live.databases(live.before)
        commits = (record.origin.commit, record.target.commit)
        listed = live.after.hooks.contract_migrations if first_half else None
        require_recorded_in(live.journal, live.site.repository, *commits, databases, listed)


def require_recorded_in(
    journal: Journal,
    repository: Repository,
    origin: str,
    target: str,
    databases: Sequence[Database],
    first_half: Collection[str] | None = None,
) -> None:
    """The same of DATABASES, for the migrations between the commits ORIGIN and TARGET. FIRST_HALF: what is listed of the second
    half, which is not looked for; None where all have run."""
    trees = (repository.tree_of(origin), repository.tree_of(target))
    changes = [change for change in migrations_between(repository, *trees) if change.recorded and change.table]
    if first_half is not None:
        later = second_half(changes, first_half)
        changes = [_without(change, later) for change in changes]
        changes = [change for change in changes if change.recorded]
    if not changes:
        return
    if not databases:
        journal.line(
            tr("Whether the migrations went to the app's database can't be told: backup.databases names none.")
        )
        return
    names = listing([database.name for database in databases], 3)
    try:
        found = look_for(changes, databases)
    except GitDeployError as error:
        journal.line(
            tr("Whether the migrations went to {names} can't be told: {message}", names=names, message=error.message),
            "warning",
        )
        return
    if found.absent:
        raise DeploymentFailed(
            tr(
                "The migrate hooks ended well, but {absent} is not recorded in {names}.",
                absent=listing(list(found.absent), 3),
                names=names,
            ),
            _HINT,
        )
    if found.unclear:
        journal.line(
            tr("Not recorded in {names}: {unclear}.", names=names, unclear=listing(list(found.unclear), 3)), "warning"
        )


def require_migrated(site: Site, plan: Plan) -> None:
    """Before an upgrade that migrates nothing: raises `PolicyError` where a migration that its release brings is in none of
    the databases that `backup.databases` names. What can't be told stops nothing."""
    later = second_half(plan.migrations, plan.after.hooks.contract_migrations)  # runs once all hosts are on the release
    changes = [_without(change, later) for change in plan.migrations if change.table]
    changes = [change for change in changes if change.recorded]
    databases = open_databases(site.config.backup.databases, site.root, app_environment(site)) if changes else ()
    absent = look_for(changes, databases).absent if databases else ()
    if absent:
        raise PolicyError(
            tr(
                "{absent} is not recorded in {names} yet, and --migrate never says that another host runs it.",
                absent=listing(list(absent), 3),
                names=listing([database.name for database in databases], 3),
            ),
            tr(
                "Upgrade the host that migrates first, then this one. To migrate from here:  gitdeploy upgrade {tag}",
                tag=plan.target.tag,
            ),
        )


def _without(change: Change, names: Collection[str]) -> Change:
    return replace(change, recorded=tuple(name for name in change.recorded if name not in names))


def look_for(changes: Sequence[Change], databases: Sequence[Database]) -> Looked:
    """Look for the new migrations of CHANGES in DATABASES. Raises `GitDeployError`."""
    absent: list[str] = []
    unclear: list[str] = []
    for table in dict.fromkeys(change.table for change in changes):
        recorded = [found for database in databases if (found := database.recorded(table)) is not None]
        there = frozenset[str]().union(*recorded)
        for change in (change for change in changes if change.table == table):
            if not recorded:
                absent += change.recorded[-1:]  # not even the table is there
            elif change.framework == "django":
                missing = [name for name in change.recorded if name not in there]
                # A folder that no database has ever had: an app that is not installed, or that has another label.
                known = any(name.startswith(f"{change.recorded[0].partition('.')[0]}.") for name in there)
                (absent if known else unclear).extend(missing)
            else:
                absent += _above(change, there)
    return Looked(tuple(absent), tuple(unclear))


def _above(change: Change, there: Collection[str]) -> list[str]:
    """The newest revisions of an Alembic CHANGE that a database is not at; THERE: those that it is at, which stand for all that
    they need."""
    waiting, reached = [name for name in change.recorded if name in there], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += change.needs.get(name, ())
    needed = {each for name in change.recorded for each in change.needs.get(name, ())}
    return [name for name in change.recorded if name not in reached and name not in needed]
