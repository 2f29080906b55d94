"""Upgrade through releases that may not be skipped: one whole deployment after the other, each with its own backup, migration
and health; it ends at the first that fails, where that one's rollback leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from gitdeploy import upkeep
from gitdeploy.deployment.flow import dry_run
from gitdeploy.deployment.flow.upgrade import Step, upgrade
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.plan.stops import Hop
from gitdeploy.deployment.record.work import Result, Session
from gitdeploy.errors import GitDeployError, LockedError, PolicyError
from gitdeploy.messages import joined, tr
from gitdeploy.site.journey import begin_journey, read_journey, stop_journey
from gitdeploy.site.pause import PAUSED, paused_sentence
from gitdeploy.site.site import head_of


def upgrade_through(session: Session, tag: str | None, options: Options) -> Result:
    """Upgrade to TAG, or to the newest release, by way of those that may not be skipped. How the last deployment ended, with
    those before it in `through`. Raises what the first that failed raised; until then all is as for `upgrade`."""
    hops = dry_run.hops(session.site, session.database, tag, options)
    if len(hops) < 2:
        return upgrade(session, tag, options)
    tags = [hop.tag for hop in hops]
    require_admitted(session, tags[0])  # else nothing begins
    begin_journey(session.database, tags, session.caller.performer)
    done: list[Result] = []
    for number, hop in enumerate(hops):
        try:
            if done:
                session.site = session.site.read_again()  # it is the last release's deploy.yaml by now
                _may_go_on(session)
                require_admitted(session, hop.tag)
            result = upgrade(session, hop.tag, options, Step(number + 1, len(hops), tags[-1]))
        except GitDeployError as error:
            _say_where(session, hops, number, error)
            error.document = {**(error.document or {"error": error.as_dict()}), "through": _documents(done)}
            raise
        if result.status != "succeeded" and number < len(hops) - 1:
            continue  # it is live already
        done.append(result)
        options = replace(options, skip_contract=False)  # it was meant for what waits now
    return replace(done[-1], through=_documents(done[:-1]))


def _may_go_on(session: Session) -> None:
    """Between two deployments: nobody paused them. Raises `LockedError`."""
    if (paused := session.database.meta_get(PAUSED)) is not None:
        raise LockedError(paused_sentence(paused), tr("Resume them: gitdeploy unlock"))


def require_admitted(session: Session, tag: str) -> None:
    """Where `watch` goes there, a release on the way is held to `check` of deploy.yaml as every other. Raises `PolicyError`."""
    if not session.caller.watching:
        return
    site, database = session.site, session.database
    live = site.release_at(head_of(site))
    why = upkeep.watch.held_back(site, database, live, tag, datetime.now(UTC))
    if why:
        raise PolicyError(why, tr("To install it all the same: gitdeploy upgrade {tag}", tag=tag))


def _say_where(session: Session, hops: Sequence[Hop], number: int, error: GitDeployError) -> None:
    """ERROR ended the step NUMBER: how far it came, and what goes on from there."""
    stop_journey(session.database, tr("{tag}: {why}", tag=hops[number].tag, why=error.message))
    journey = read_journey(session.database)
    if journey is None:
        return
    where = tr(
        "This was step {number} of {all} on the way to {target}. Once that is fixed, go on: {way}",
        number=number + 1,
        all=len(hops),
        target=journey.target,
        way=journey.way,
    )
    error.hint = joined("\n", filter(None, (error.hint, where)))


def _documents(results: Sequence[Result]) -> list[dict[str, object]]:
    return [{"id": each.id, "tag": each.target.tag, "status": each.status, "backup": each.backup} for each in results]
