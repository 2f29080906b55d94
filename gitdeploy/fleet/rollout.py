"""A release for a fleet: prepared everywhere, then live batch by batch; stopped, and taken back, when one fails."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gitdeploy import health
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted, LockedError, PolicyError
from gitdeploy.fleet import back
from gitdeploy.fleet.batches import batches, primary_of, too_many
from gitdeploy.fleet.events import PhaseBegan
from gitdeploy.fleet.journal import (
    CANARY,
    FAILED,
    GOING_ON,
    HALTED,
    PRIMARY,
    ROLLED_BACK,
    RUNNING,
    SUCCEEDED,
    Member,
    Rollout,
)
from gitdeploy.fleet.session import (
    BAD,
    BROKEN,
    LEFT_OUT,
    LOCKED,
    PREPARING,
    REVERTED,
    REVERTING,
    TO_DO,
    UNCHANGED,
    UNREACHABLE,
    UPGRADED,
    UPGRADING,
    WAITING,
    Outcome,
    Session,
    request_of,
)
from gitdeploy.fleet.settings import FleetConfig
from gitdeploy.fleet.settled import gone_from, settle_all
from gitdeploy.fleet.survey import HostFacts, Survey, survey
from gitdeploy.messages import joined, tr
from gitdeploy.system import interruption
from gitdeploy.text import count, duration_text, listing, sentence

_LOOK_AGAIN = 3.0  # seconds between two attempts to reach a host


def placed(
    config: FleetConfig, found: Survey, tag: str, *, skip_unreachable: bool = False, only_behind: bool = False
) -> list[Member]:
    """The hosts that were FOUND, in the order in which TAG goes to them. ONLY_BEHIND: others run it already, so its migration
    was done. Raises `DeploymentFailed` where a host can't take part, `LockedError` where one is busy."""
    refuse(found.hosts, skip_unreachable=skip_unreachable or only_behind)
    facts = {host.name: host for host in found.hosts}
    there = [host.name for host in found.hosts if host.known]
    primary = primary_of(found.names, found.primary) if config.database == "shared" else None
    if primary is not None and not only_behind and primary not in there:
        raise DeploymentFailed(
            tr("{host} migrates the shared database, and it can't be reached.", host=primary),
            tr("Bring it back, or put another host first into the inventory's group gitdeploy_primary."),
        )
    order = batches(there, primary, found.canary, config.serial)
    roles: dict[str | None, str] = {**dict.fromkeys(found.canary, CANARY), primary: PRIMARY}
    return [
        *(
            _member(facts[name], number, roles.get(name, ""), tag)
            for number, batch in enumerate(order)
            for name in batch
        ),
        *(
            Member(host.name, len(order), "", LEFT_OUT, message=host.unreachable or host.problem)
            for host in found.hosts
            if not host.known
        ),
    ]


def begin(session: Session, action: str, tag: str, members: Sequence[Member], options: Mapping[str, Any]) -> Rollout:
    """A new rollout of TAG to its MEMBERS, in the journal."""
    rollout = session.journal.begin(action, tag, session.performer, {"options": dict(options)})
    session.journal.place(rollout.id, members)
    return rollout


def _member(host: HostFacts, batch: int, role: str, tag: str) -> Member:
    state = UNCHANGED if host.status.get("tag") == tag else WAITING
    return Member(host.name, batch, role, state, was=host.runs, runs=host.runs)


def refuse(hosts: Sequence[HostFacts], *, skip_unreachable: bool = False) -> None:
    """Raises where one of HOSTS can't take part in a rollout: nothing begins then, anywhere."""
    if busy := [host for host in hosts if host.known and host.busy]:
        raise LockedError(
            joined("\n", (tr("{host}: {why}.", host=host.name, why=host.busy) for host in busy)),
            tr("Wait for it, or end it there. Paused deployments are resumed with:  gitdeploy fleet resume"),
        )
    lost = [host for host in hosts if host.problem or (host.unreachable and not skip_unreachable)]
    if lost:
        raise DeploymentFailed(
            joined("\n", (tr("{host}: {why}", host=host.name, why=host.problem or host.unreachable) for host in lost)),
            tr(
                "To leave out hosts that can't be reached: --skip-unreachable. Later:  gitdeploy fleet upgrade --only-behind"
            ),
        )


def rehearse(session: Session, found: Survey, tag: str, options: Mapping[str, Any], host: str | None = None) -> Outcome:
    """Try TAG on copies of the app and its data, on HOST (None: the one that migrates). Nothing live is touched."""
    where = host or primary_of(found.names, found.primary)
    refuse([each for each in found.hosts if each.name == where])
    facts = found.of(where)
    member = Member(where, 0, PRIMARY, WAITING, facts.runs, facts.runs)
    rollout = begin(session, "rehearse", tag, [member], options)
    session.tell(PhaseBegan(tr("Rehearsing {tag}", tag=tag), [where]))
    session.play(rollout, "rehearse", "Rehearse", [where], PREPARING)
    ended = session.member(rollout, where)
    if ended.state in BAD:
        message = tr("{tag} failed its rehearsal on {host}; nothing live was touched.", tag=tag, host=where)
        return session.end(rollout, FAILED, message, ended.exit_code or 1)
    return session.end(rollout, SUCCEEDED, tr("{tag} passed its rehearsal on {host}.", tag=tag, host=where), 0)


def to_resume(session: Session, tag: str | None) -> Rollout | None:
    """The rollout (of TAG) that was interrupted or has halted; None where there is none."""
    found = session.journal.last()
    if found is None or found.action != "upgrade" or found.status not in GOING_ON:
        return None
    return found if tag is None or tag == found.tag else None


def upgrade(
    session: Session, rollout: Rollout, *, again: bool = False, anytime: bool = False, live: bool = True
) -> Outcome:
    """Carry ROLLOUT to its end. AGAIN: it was interrupted or has halted, and goes on; hosts that failed are tried again.
    ANYTIME: outside the fleet's window too. LIVE: False only prepares.

    What stops it is an Outcome; `Interrupted` is raised for a signal, with the rollout to be resumed.
    """
    try:
        if again:
            _take_up(session, rollout)
            rollout = session.journal.rollout(rollout.id)
        if rollout.phase == "back":
            return _gone_back(session, rollout, tr("The rollback was interrupted and went on"), [])
        if (failed := _prepare(session, rollout)) is not None or not live:
            return failed or session.end(
                rollout, SUCCEEDED, tr("{tag} is prepared on all hosts; nothing live was touched.", tag=rollout.tag), 0
            )
        session.journal.update(rollout.id, phase="live")
        return _go_live(session, rollout, anytime=anytime)
    except Interrupted as error:
        busy = [each.host for each in session.members(rollout, (PREPARING, UPGRADING, REVERTING))]
        raise Interrupted(
            error.signal_number,
            tr("Interrupted; {hosts} finishes by itself what it has begun.", hosts=listing(busy, 5))
            if busy
            else tr("Interrupted between two steps."),
            tr("Go on:  gitdeploy fleet upgrade --resume"),
        ) from error


def _take_up(session: Session, rollout: Rollout) -> None:
    """An interrupted or halted rollout: each host's own journal says how it stands; what failed is tried once more."""
    settle_all(session, rollout)
    if rollout.status != HALTED:
        return  # what failed before it was interrupted counts
    for member in session.members(rollout, (UPGRADED, UNCHANGED)):
        # Not back in the balancer, though it runs the release: its run is found, undrain runs again.
        if member.exit_code:
            session.journal.change(rollout.id, member.host, state=WAITING, exit_code=None, message="")
    for member in session.members(rollout, [REVERTING, REVERTED, *(state for state in BAD if state != UNREACHABLE)]):
        session.journal.change(
            rollout.id, member.host, state=WAITING, attempt=member.attempt + 1, exit_code=None, message=""
        )
    _remember(session, rollout, resumed=rollout.settings.get("resumed", 0) + 1)
    session.journal.update(rollout.id, status=RUNNING, ended_at=None, phase="prepare")


def _remember(session: Session, rollout: Rollout, **values: object) -> Rollout:
    """ROLLOUT with what whoever resumes it has to know."""
    session.journal.update(rollout.id, settings=json.dumps({**rollout.settings, **values}))
    return session.journal.rollout(rollout.id)


def _prepare(session: Session, rollout: Rollout) -> Outcome | None:
    """All hosts at once, nothing live is touched; where one can't, nothing begins. None where all are ready."""
    waiting = [each.host for each in session.members(rollout, TO_DO) if each.state != UPGRADING]
    if not waiting:
        return None
    session.tell(
        PhaseBegan(tr("Preparing {tag} on {hosts}", tag=rollout.tag, hosts=count(len(waiting), "host")), waiting)
    )
    session.play(rollout, "prepare", "Prepare", waiting, PREPARING)
    bad = [each for each in session.members(rollout, BAD) if each.host in waiting]
    if not bad:
        return None
    begun = session.members(rollout, (UPGRADED,))
    told = tr("{hosts} can't be prepared for {tag}", hosts=listing([each.host for each in bad], 5), tag=rollout.tag)
    if begun:
        message = tr(
            "{told}. The rollout is halted; {number} run it already.", told=told, number=count(len(begun), "host")
        )
        return session.end(rollout, HALTED, message, 4)
    code = 5 if all(each.state == LOCKED for each in bad) else 1
    return session.end(rollout, FAILED, tr("{told}; nothing live was touched on any host.", told=told), code)


def _go_live(session: Session, rollout: Rollout, *, anytime: bool) -> Outcome:
    config = session.fleet.config
    numbers = sorted({each.batch for each in session.members(rollout) if each.state != LEFT_OUT})
    watched = _watched(session, rollout)
    for number in numbers:
        batch = [each for each in session.members(rollout) if each.batch == number]
        pending = [each.host for each in batch if each.state in TO_DO]
        if pending:
            if not anytime:
                try:
                    session.require_window()
                except PolicyError as error:
                    return session.end(rollout, HALTED, error.message, error.exit_code)
            headline = tr("Batch {number} of {batches}", number=number + 1, batches=len(numbers))
            session.tell(PhaseBegan(headline, pending))
            if number == watched:
                rollout = _remember(session, rollout, watched=False)
            session.play(rollout, "go_live", "Upgrade", pending, UPGRADING)
            _find_again(session, rollout, pending)
        batch = [each for each in session.members(rollout) if each.batch == number]
        bad = [each for each in batch if each.state in BAD or each.exit_code]
        if too_many(len(bad), len(batch), config.max_fail_percentage):
            why = tr("{hosts} failed", hosts=listing([each.host for each in bad], 5))
            return _stopped(session, rollout, why, bad, config.on_failure, number)
        try:
            due = (
                number == watched
                and not rollout.settings.get("watched")
                and any(each.state == UPGRADED for each in batch)
            )
            _look_at_all(session, rollout, soak=config.soak if due else 0)
        except Interrupted:
            raise
        except GitDeployError as error:
            return _stopped(session, rollout, error.message, [], config.on_failure, number)
        if number == watched:
            rollout = _remember(session, rollout, watched=True)
    return _finished(session, rollout)


def _watched(session: Session, rollout: Rollout) -> int:
    """The batch that is watched before the next: the last of those that go before `serial`, else the first."""
    return max((each.batch for each in session.members(rollout) if each.role), default=0)


def _look_at_all(session: Session, rollout: Rollout, *, soak: float) -> None:
    """What the balancer's users see is healthy, and stays so for SOAK seconds. Raises `HealthFailed`."""
    config = session.fleet.config
    if config.health is not None:
        session.tell(PhaseBegan(tr("Asking {url}", url=config.health.url[0])))
        health.wait_healthy(config.health, ())
    if not soak:
        return
    session.tell(PhaseBegan(tr("Watching for {time}", time=duration_text(soak))))
    if config.health is not None:
        health.soak(replace(config.health, soak=soak), ())
    else:
        interruption.sleep(soak)
    upgraded = [each.host for each in session.members(rollout, (UPGRADED,))]
    for host in survey(session.ansible, hosts=upgraded).hosts if upgraded else ():
        if wrong := host.unreachable or host.problem or host.health:
            raise health.HealthFailed(tr("{host} is unhealthy: {why}", host=host.name, why=wrong))


def _find_again(session: Session, rollout: Rollout, hosts: Sequence[str]) -> None:
    """Hosts that were lost in the middle go on by themselves: ask for them until they are back, or the time is over."""
    end = time.monotonic() + session.fleet.config.reach
    while True:
        lost = [each.host for each in session.members(rollout, (UNREACHABLE,)) if each.host in hosts]
        if not lost or time.monotonic() > end:
            return
        session.tell(PhaseBegan(tr("Waiting for {hosts}", hosts=listing(lost, 5)), lost))
        interruption.sleep(min(_LOOK_AGAIN, session.fleet.config.reach))
        if back_again := settle_all(session, rollout, lost):
            session.play(rollout, "go_live", "Upgrade", back_again, UPGRADING)


def _stopped(
    session: Session, rollout: Rollout, why: str, bad: Sequence[Member], choice: str, number: int | None = None
) -> Outcome:
    """The rollout goes no further: what becomes of the hosts that run the release already."""
    done = session.members(rollout, (UPGRADED,))
    if bad and all(each.state == LOCKED for each in bad):
        choice = "halt"  # a person is at work there: nothing is taken back because of that
    wanted = [each for each in done if choice == back.ALL or (choice == "rollback-batch" and each.batch == number)]
    if choice != "halt" and wanted:
        for member in wanted:
            session.change(rollout, member.host, state=REVERTING)
        session.journal.update(rollout.id, phase="back")
        session.say(
            rollout, tr("{why}; going back: {hosts}.", why=why, hosts=listing([each.host for each in wanted], 8))
        )
    return _gone_back(session, rollout, why, bad)


def _gone_back(session: Session, rollout: Rollout, why: str, bad: Sequence[Member]) -> Outcome:
    """The hosts that are to go back do, and what the fleet is like then ends the rollout."""
    wanted = session.members(rollout, (REVERTING,))
    back.take_back(session, rollout, [each.host for each in wanted])
    mixed = _mixed(session, rollout)
    notes = [why, *back.data_notes(wanted, rollout), mixed]
    message = joined(" ", (sentence(note) for note in notes if note))
    if mixed:
        return session.end(rollout, HALTED, message, 4)
    if session.members(rollout, (REVERTED,)):
        return session.end(rollout, ROLLED_BACK, message, 3)
    message = joined(" ", (message, tr("All hosts run their old release.")))
    codes = {each.exit_code for each in bad}
    code = 3 if 3 in codes else 5 if codes == {5} else 1
    return session.end(rollout, HALTED, message, code)


def _mixed(session: Session, rollout: Rollout) -> str:
    """Which hosts are not on the old release, or not known to be: each is asked, whatever its deployment ended with. Empty where
    all are."""
    members = session.members(rollout)
    asked = [each.host for each in members if each.state not in (LEFT_OUT, UNREACHABLE)]
    facts = {each.name: each for each in survey(session.ansible, hosts=asked).hosts} if asked else {}
    on_it, lost, broken = [], [], []
    for member in members:
        found = facts.get(member.host)
        if member.state == LEFT_OUT:
            continue
        if found is None or not found.known:
            lost.append(member.host)
            continue
        session.journal.change(rollout.id, member.host, runs=found.runs)
        if member.state == BROKEN or found.status.get("interrupted"):
            broken.append(member.host)
        elif found.status.get("tag") == rollout.tag:
            on_it.append(member.host)
    parts = []
    for names, said in (
        (on_it, tr("On {tag}: ", tag=rollout.tag)),
        (lost, tr("Unreachable: ")),
        (broken, tr("Manual intervention required: ")),
    ):
        if names:
            parts.append(said + listing(names, 8))
    return joined(". ", parts)


def _second_half(session: Session, rollout: Rollout) -> str:
    """All hosts run the release: what of its migrations the old one could not live with runs now, once. Why it failed."""
    primary = next((each for each in session.members(rollout) if each.role == PRIMARY), None)
    if primary is None:
        return ""
    known = (primary.deployment or {}).get("steps")  # of a run that nobody followed to its end there may be none
    if known and primary.state != UNCHANGED and not any(step["name"] == "migrate-after" for step in known):
        return ""
    session.tell(PhaseBegan(tr("The second half of the migrations"), [primary.host]))
    again = rollout.settings.get("resumed", 0)  # what failed is asked for anew, what still runs is found again
    request = request_of(rollout, primary.host, f"contract {again}" if again else "contract", primary.attempt)
    variables = {**session.known(rollout), "gitdeploy_requests": {primary.host: request}}
    played = session.ansible.play("contract", variables, hosts=[primary.host])
    ended = played.last(primary.host, "Contract")
    if ended is not None and ended.kind == "ok":
        return ""
    return tr("{host}: {why}", host=primary.host, why=ended.message if ended is not None else played.why)


def _see(session: Session, rollout: Rollout) -> None:
    """What the hosts run that went through is asked of them once more: a rollout can take days, and in that time one is lost, or
    somebody goes back on another."""
    through = [each.host for each in session.members(rollout, (UPGRADED, UNCHANGED))]
    for found in survey(session.ansible, gather=(), hosts=through).hosts if through else ():
        if not found.known:
            session.change(rollout, found.name, state=UNREACHABLE, message=found.unreachable or found.problem)
        elif found.status.get("interrupted"):
            message = tr("A deployment was interrupted there. Recover it on that host:  gitdeploy recover")
            session.change(rollout, found.name, runs=found.runs, state=BROKEN, exit_code=4, message=message)
        elif found.status.get("tag") != rollout.tag:
            session.change(rollout, found.name, runs=found.runs, **gone_from(rollout, found))
        else:
            session.change(rollout, found.name, runs=found.runs)


def _finished(session: Session, rollout: Rollout) -> Outcome:
    _see(session, rollout)
    members = session.members(rollout)
    bad = [each for each in members if each.state not in (UPGRADED, UNCHANGED, LEFT_OUT)]
    left = [each.host for each in members if each.state == LEFT_OUT]
    number = count(len([each for each in members if each.state in (UPGRADED, UNCHANGED)]), "host")
    message = tr("{number} run {tag}.", number=number, tag=rollout.tag)
    if left or bad:
        names = listing([*left, *(each.host for each in bad)], 8)
        behind = tr(
            "Not seen on it: {names}. Bring them up:  gitdeploy fleet upgrade {tag} --only-behind",
            names=names,
            tag=rollout.tag,
        )
        message = joined(" ", (message, behind))
    elif failed := _second_half(session, rollout):
        note = tr("The second half of its migrations failed: {why}", why=sentence(failed))
        return session.end(rollout, HALTED, joined(" ", (message, note)), 4)
    return session.end(rollout, HALTED if bad else SUCCEEDED, message, 4 if bad else 0)
