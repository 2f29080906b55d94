"""Hosts of a rollout go back to what they ran before, each by its own journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gitdeploy.errors import DeploymentFailed
from gitdeploy.fleet.batches import batches, primary_of
from gitdeploy.fleet.events import PhaseBegan
from gitdeploy.fleet.journal import HALTED, PRIMARY, ROLLED_BACK, SUCCEEDED, Member, Rollout
from gitdeploy.fleet.session import BAD, LEFT_OUT, REVERTED, REVERTING, UNCHANGED, WAITING, Outcome, Session
from gitdeploy.fleet.survey import Survey
from gitdeploy.messages import joined, tr
from gitdeploy.text import count, listing

ALL = "rollback-all"


def take_back(session: Session, rollout: Rollout, hosts: Sequence[str], *, with_data: bool = False) -> None:
    """HOSTS roll back the rollout's release, where it is live: in batches as large as the rollout's largest, the host that
    migrated last, and with the data where they go back too, once."""
    primary = next((each.host for each in session.members(rollout, ()) if each.role == PRIMARY), None)
    others = [host for host in hosts if host != primary]
    order = batches(others, None, (), session.fleet.config.serial[-1:]) if others else []
    if primary in hosts:
        order.append((str(primary),))
    for number, batch in enumerate(order):
        session.tell(PhaseBegan(tr("Rolling back {number} of {batches}", number=number + 1, batches=len(order)), batch))
        session.play(rollout, "rollback", "Roll back", batch, REVERTING, gitdeploy_with_data=with_data)


def data_notes(hosts: Sequence[Member], rollout: Rollout) -> list[str]:
    """What the rollback of HOSTS means for the shared database."""
    primary = next((each for each in hosts if each.role == PRIMARY), None)
    if primary is None or not _migrated(primary.deployment or {}):
        return []
    backup = (primary.deployment or {}).get("backup")
    return [
        tr(
            "The shared database stays as the migration of {tag} left it, and what was written since is in it. To bring back the "
            "data from before it, on {host}:  gitdeploy restore {backup} --with-data",
            tag=rollout.tag,
            host=primary.host,
            backup=backup,
        )
    ]


def _migrated(deployment: Mapping[str, Any]) -> bool:
    return any(step["name"] == "migrate" and step["status"] == "done" for step in deployment.get("steps") or ())


def begin(session: Session, found: Survey, tag: str | None) -> Rollout:
    """A rollback of TAG (None: of what each host deployed last) on the hosts that were FOUND."""
    config = session.fleet.config
    primary = primary_of(found.names, found.primary) if config.database == "shared" else None
    rollout = session.journal.begin("rollback", tag, session.performer, {})
    session.journal.place(
        rollout.id,
        [
            Member(
                host.name, 0, PRIMARY if host.name == primary else "",
                WAITING if tag is None or host.status.get("tag") == tag else UNCHANGED, host.runs, host.runs,
            )
            for host in found.hosts
            if host.known
        ]
        + [
            Member(host.name, 0, "", LEFT_OUT, message=host.unreachable or host.problem)
            for host in found.hosts
            if not host.known
        ],
    )  # fmt: skip
    return rollout


def require_primary(session: Session, found: Survey, wanted: Collection[str]) -> None:
    """Raises `DeploymentFailed` where the shared database can't go back, since the host with its dump is not among WANTED."""
    if session.fleet.config.database == "shared" and (primary := primary_of(found.names, found.primary)) not in wanted:
        raise DeploymentFailed(
            tr(
                "{host} has the dump of the shared database, and does not run that release or can't be reached.",
                host=primary,
            ),
            tr("Roll back without --with-data, or bring it back first."),
        )


def rollback(session: Session, rollout: Rollout, *, with_data: bool) -> Outcome:
    """Carry a rollback to its end."""
    session.journal.update(rollout.id, phase="back")
    take_back(session, rollout, [each.host for each in session.members(rollout, (WAITING,))], with_data=with_data)
    bad, done = session.members(rollout, (*BAD, LEFT_OUT)), session.members(rollout, (REVERTED,))
    parts = [tr("{number} rolled back.", number=count(len(done), "host"))]
    if bad:
        parts = [tr("{hosts} could not be rolled back.", hosts=listing([each.host for each in bad], 8))]
    before = session.journal.last(action="upgrade", tag=rollout.tag)
    if before is not None and not with_data:
        gone = {each.host for each in done}
        parts += data_notes([each for each in session.members(before) if each.host in gone], before)
    message = joined(" ", parts)
    if bad:
        return session.end(rollout, HALTED, message, 4)
    return session.end(rollout, SUCCEEDED if done else ROLLED_BACK, message, 0)
