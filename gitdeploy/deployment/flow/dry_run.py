"""A plan without a deployment: the release's objects are fetched, nothing else is changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout.changes import Problem
from gitdeploy.databases import open_databases
from gitdeploy.deployment.flow.upgrade import plan_upgrade
from gitdeploy.deployment.plan.make import Plan
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.stops import Hop, problems_of, require_whole_steps
from gitdeploy.deployment.plan.way import way_to
from gitdeploy.deployment.prepare.release import Chosen, Nothing, moved_tag, newest, prepared_commit
from gitdeploy.errors import GitDeployError, NotFound, PolicyError, SourceError
from gitdeploy.messages import tr
from gitdeploy.site import rehearsals
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.backwards import direction, lower
from gitdeploy.site.missing import missing_tag
from gitdeploy.site.rehearsals import Known
from gitdeploy.site.remotes import fetch_places
from gitdeploy.site.signatures import require_signature
from gitdeploy.site.site import Site, head_of
from gitdeploy.site.skipping import Skips
from gitdeploy.site.tags import check_tag
from gitdeploy.state import Database
from gitdeploy.system import interruption
from gitdeploy.text import clean, moment_text
from gitdeploy.upkeep import updates
from gitdeploy.versions import CodeState, version_text


def look(site: Site, tag: str | None, options: Options) -> Plan | None:
    """The plan of an upgrade to TAG (None: the newest; then None where that is live)."""
    if tag is not None:
        check_tag(tag)
    site.require_owner()
    with site.open_database() as database, site.repository.asking():
        origin = site.release_at(head_of(site))
        if tag is None:
            found = newest(site, database, origin, options)
            if isinstance(found, Nothing) or found.tag is None:
                return None
            tag = found.tag
        local = site.repository.resolve(f"refs/tags/{tag}")
        target, now = _target(site, tag, origin, options)
        try:
            plan = plan_upgrade(site, database, Chosen(target), options, origin)
            plan = replace(plan, releases=updates.catalogue(site, database).explained(plan.origin, tag, here=True))
            way = direction(site, plan.origin, plan.target)
        finally:
            _forget(site, tag, now)
        moved = moved_tag(tag, now.commit, [(local, "here"), (database.first_seen(tag), tr("when it was first seen"))])
        backwards = lower(plan.origin, plan.target, site) or way.refusal
        refusals = [moved if not options.accept_moved_tag else None, backwards if not options.allow_downgrade else None]
        problems = [Problem(error.message, error.hint, refused=True) for error in refusals if error is not None]
        warnings = (*now.warnings, *filter(None, (way.said,)), *plan.warnings)
        remembered = _remembered(site, database, plan.target)
        return replace(
            plan,
            problems=(*problems, *plan.problems),
            warnings=warnings,
            remembered=remembered,
            rehearsal=rehearsed(site, database, plan),
        )


def rehearsed(site: Site, database: Database, plan: Plan) -> Known | None:
    """The last rehearsal of what PLAN installs, and whether settings and data are still what they were then."""
    found = rehearsals.last(database, plan.target.commit)
    if found is None:
        return None
    schema = None
    with suppress(GitDeployError):
        databases = (
            open_databases(site.config.backup.databases, site.root, app_environment(site)) if found.schema else ()
        )
        schema = {each.name: each.fingerprint() for each in databases}
    settings = rehearsals.settings_digest(plan.before, plan.after)
    origin = plan.origin.commit
    return rehearsals.known(database, plan.target.commit, settings=settings, origin=origin, schema=schema)


def look_through(site: Site, tag: str | None, options: Options) -> Plan | None:
    """The same of the first of the deployments that lead there, with all of them in `hops`."""
    site.require_owner()
    with site.open_database() as database, site.repository.asking():
        found = hops(site, database, tag, options)
    if not found:
        return look(site, tag, options)
    plan = look(site, found[0].tag, options)
    return plan if plan is None else replace(plan, hops=found)


def hops(site: Site, database: Database, tag: str | None, options: Options) -> tuple[Hop, ...]:
    """The deployments that lead to TAG (None: the newest), itself the last; none where that is one alone, or nothing. Raises
    `PolicyError` where there is no way, `UsageError` where OPTIONS leave something out that each of several must do."""
    if tag is not None:
        check_tag(tag)
    origin = site.release_at(head_of(site))
    if tag is None:
        found = newest(site, database, origin, options)
        if isinstance(found, Nothing) or found.tag is None:
            return ()
        tag = found.tag
    target, now = _target(site, tag, origin, options)
    try:
        way, _ = way_to(site, database, origin, target, ask=True)
    finally:
        _forget(site, tag, now)
    if way.none:
        (problem,) = problems_of(way, origin, target)
        raise PolicyError(problem.message, problem.hint)
    if way.hops:
        require_whole_steps(options)
    return way.hops


def problems(site: Site, *, ask: bool) -> Sequence[Problem]:
    """What an upgrade to the newest release would be refused for; without a newer one, or where the source is not to be
    asked, one to what is live."""
    plan = look_through(site, None, Options()) if ask else None
    if plan is None:
        with site.open_database() as database, site.repository.asking():
            plan = plan_upgrade(site, database, Chosen(site.release_at(head_of(site))), Options())
    return plan.problems


def _remembered(site: Site, database: Database, target: CodeState) -> tuple[str, ...]:
    """What is known here against TARGET: it failed, it is skipped."""
    said = []
    if (bad := database.bad_release(target.commit)) is not None:
        where = tr(" (gitdeploy log {deployment})", deployment=bad.deployment) if bad.deployment is not None else ""
        said.append(
            tr(
                "{bad_tag} failed here before, on {at}: {reason}{where}",
                bad_tag=clean(bad.tag),
                at=moment_text(bad.at),
                reason=clean(bad.reason),
                where=where,
            )
        )
    if (skip := Skips.read(database, site.config.source.tag_prefix).against(target.tag)) is not None:
        said.append(skip.sentence)
    return tuple(said)


class _Now(Struct, frozen=True):
    """What a tag is now: its commit, whether that was fetched just for this, and what to say about it."""

    commit: str
    fetched: bool = False
    warnings: tuple[str, ...] = ()


def _target(site: Site, tag: str, origin: CodeState, options: Options) -> tuple[CodeState, _Now]:
    """(TAG as a release, its objects being here until `_forget`; how they came). Raises `PolicyError`, `SourceError`."""
    now = _as_it_is_now(site, tag, site.repository.resolve(f"refs/tags/{tag}"))
    target = CodeState(version_text(tag, site.config.source.tag_prefix), tag, now.commit)
    # First of all: of a release that nobody vouches for nothing is read, and nobody is asked for more of it.
    if site.config.git.verify != "none":
        try:
            require_signature(site, origin, target, older=options.allow_downgrade)
        except BaseException:
            _forget(site, tag, now)
            raise
    return target, now


def _forget(site: Site, tag: str, now: _Now) -> None:
    if now.fetched:
        with suppress(GitDeployError), interruption.shield():
            remotes.drop_incoming(site.repository, tag)


def _as_it_is_now(site: Site, tag: str, local: str | None) -> _Now:
    """The commit of TAG, which is LOCAL here, as the remote has it; as it is here where it was prepared, or no remote
    can be reached."""
    if local is None:
        return _fetched(site, tag)
    if prepared_commit(site, tag) == local:
        return _Now(local)
    failure: SourceError | None = None
    for remote, credentials in fetch_places(site):
        try:
            found = remotes.ls_remote_tags(site.repository, remote, credentials, only=tag).get(tag)
        except SourceError as error:
            failure = failure or error
            continue
        if found is not None:
            return _Now(local) if found.commit == local else _fetched(site, tag)
    if failure is None:
        return _fetched(site, tag)  # it is gone there: the same refusal as that of an upgrade
    return _Now(
        local, warnings=(tr("{message} Going by {tag} as it was fetched before.", message=failure.message, tag=tag),)
    )


def _fetched(site: Site, tag: str) -> _Now:
    failure: SourceError | NotFound | None = None
    for remote, credentials in fetch_places(site):
        faults: list[str] = []
        try:
            got = remotes.fetch_tag(site.repository, remote, tag, credentials, on_fault=faults.append)
        except (SourceError, NotFound) as error:
            failure = failure or missing_tag(site, remote, credentials, tag, error)
        else:
            return _Now(got.commit, fetched=True, warnings=tuple(faults))
    assert failure is not None
    raise failure
