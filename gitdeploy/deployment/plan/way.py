"""The way to a release, by what releases say of themselves and by what the database still needs."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gitdeploy.deployment.plan.left_behind import Databases, may_leave_behind
from gitdeploy.deployment.plan.migrations import migrations_between
from gitdeploy.deployment.plan.stops import Hop, Way, find_way
from gitdeploy.messages import tr
from gitdeploy.migrations import Change
from gitdeploy.site.between import Between, read_between
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.text import listing
from gitdeploy.versions import CodeState, read_version


def way_to(
    site: Site,
    database: Database | None,
    origin: CodeState,
    target: CodeState,
    *,
    ask: bool,
    migrations: Sequence[Change] | None = None,
) -> tuple[Way, tuple[str, ...]]:
    """(the way from ORIGIN to TARGET, whose objects are here; warnings). ASK: the remote for its tags. MIGRATIONS: what is
    known to lie between."""
    between = read_between(site, database, origin, target, ask=ask)
    way = find_way(between, origin)
    if between.target is None or way.none:
        return way, between.warnings
    if migrations is None:
        trees = (site.repository.tree_of(origin.commit), site.repository.tree_of(target.commit))
        migrations = migrations_between(site.repository, *trees)
    if may_leave_behind(migrations):
        way = _with_migrations(site, between, origin, way)
    return way, between.warnings


def _with_migrations(site: Site, between: Between, origin: CodeState, way: Way) -> Way:
    """WAY with the releases in it that bring the database so far that each after them finds what it needs."""
    assert between.target is not None
    goals = way.hops or (Hop(between.target.tag, between.target.commit),)
    databases = Databases(site, origin)
    applied, here = databases.now, between.live
    hops: list[Hop] = []
    needs: list[str] = []
    for goal in goals:
        version = read_version(goal.tag, site.config.source.tag_prefix)
        if lacks := databases.lacks(applied, goal.commit):
            needs += lacks
            choice = [
                each for each in between.releases
                if (here is None or each.version > here) and version is not None and each.version < version
            ]  # fmt: skip
            bridge = databases.bridge(applied, choice, goal.commit)
            if bridge is None:
                return Way(none=_no_bridge(goal, lacks))
            hops.append(Hop(bridge.tag, bridge.commit, "migrations", goal.tag))
            applied = databases.after(applied, bridge.commit)
        hops.append(goal)
        applied, here = databases.after(applied, goal.commit), version
    return replace(way, hops=tuple(hops) if len(hops) > 1 else (), needs=tuple(dict.fromkeys(needs)))


def _no_bridge(goal: Hop, lacks: Sequence[str]) -> str:
    return tr(
        "{tag} has migrations no more that the live database still needs, and no release before it has them: {lacks}.",
        tag=goal.tag,
        lacks=listing(list(lacks), 5),
    )
