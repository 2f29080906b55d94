"""How the hosts of a rollout stand, by their own journals: asked when the control host comes back, or a host does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitdeploy.fleet.journal import HALTED, Member, Rollout
from gitdeploy.fleet.session import (
    BAD,
    FAILED,
    LEFT_OUT,
    REVERTED,
    REVERTING,
    UNCHANGED,
    UNREACHABLE,
    UPGRADED,
    UPGRADING,
    WAITING,
    Ended,
    Session,
    request_of,
)
from gitdeploy.fleet.survey import HostFacts, survey
from gitdeploy.messages import heard, tr

_ASKED = {UPGRADING: ("go_live",), UNREACHABLE: ("go_live", "rollback")}  # a lost host may have been on its way back
_ENDED = (UPGRADED, REVERTED)  # what was asked of the host then is over: it is asked for anew, not found again


def settle_all(session: Session, rollout: Rollout, hosts: Sequence[str] | None = None) -> list[str]:
    """Believe what HOSTS (None: all) say of themselves. Returns those that are at work for this rollout, or still have to
    begin: they are to be followed, or asked again."""
    members = [each for each in session.members(rollout) if hosts is None or each.host in hosts]
    if not members:
        return []
    requests = {
        each.host: [request_of(rollout, each.host, what, each.attempt) for what in _ASKED[each.state]]
        for each in members
        if each.state in _ASKED
    }
    found = survey(session.ansible, requests=requests, hosts=[each.host for each in members])
    return [
        name
        for facts in found.hosts
        if (name := _settle(session, rollout, facts, facts.name in found.undrained)) is not None
    ]


def _settle(session: Session, rollout: Rollout, facts: HostFacts, undrained: bool) -> str | None:
    member = session.member(rollout, facts.name)
    if not facts.known:
        if member.state not in (UPGRADED, UNCHANGED, LEFT_OUT):
            session.change(rollout, facts.name, state=UNREACHABLE, message=facts.unreachable or facts.problem)
        return None
    session.journal.change(rollout.id, facts.name, runs=facts.runs, **({} if member.was else {"was": facts.runs}))
    there = facts.status.get("tag") == rollout.tag
    # It may be out of the balancer still: the playbook that drained it finds the run, and puts it back.
    drained = undrained and member.state in (UPGRADING, REVERTING, UNREACHABLE)
    if member.state == REVERTING or _run(rollout, member, "rollback", facts)["state"] != "unknown":
        session.change(rollout, facts.name, state=REVERTING if there or drained else REVERTED)
        return None
    run = _run(rollout, member, "go_live", facts)
    killed = run["state"] == "killed"  # what is live there is not known to be whole: the next upgrade recovers it
    # What is not found again is tried anew.
    found_again = (there and not killed) or (run["state"] == "ended" and rollout.status != HALTED)
    if run["state"] == "running" or (drained and found_again):
        session.change(rollout, facts.name, state=UPGRADING)
        return facts.name
    if run["state"] == "ended":
        session.journal.change(rollout.id, facts.name, state=UPGRADING)
        session.settle(rollout, facts.name, _ended(run, facts))
        if not there and session.member(rollout, facts.name).state not in BAD:
            session.change(rollout, facts.name, **gone_from(rollout, facts))
        return None
    if there and not killed:
        state = UNCHANGED if member.state == UNCHANGED or member.was == rollout.tag else UPGRADED
        session.change(rollout, facts.name, state=state)
        return None
    if member.state in BAD and member.state != UNREACHABLE:
        return None
    anew = killed or member.state in _ENDED
    session.change(rollout, facts.name, state=WAITING, attempt=member.attempt + (1 if anew else 0))
    return facts.name


def gone_from(rollout: Rollout, facts: HostFacts) -> dict[str, Any]:
    """How a host stands that went through and has another release live since."""
    went = tr("{tag} was live there, and {runs} is now.", tag=rollout.tag, runs=facts.runs)
    return {"state": FAILED, "exit_code": 1, "message": went}


def _run(rollout: Rollout, member: Member, what: str, facts: HostFacts) -> Mapping[str, Any]:
    """What MEMBER's journal says of the run of WHAT that the rollout asked for."""
    return facts.requests.get(request_of(rollout, member.host, what, member.attempt)) or {"state": "unknown"}


def _ended(run: Mapping[str, Any], facts: HostFacts) -> Ended:
    """How a RUN that its host's journal knows has ended."""
    document, code = run["document"] or {}, run["exit_code"]
    message = heard(document.get("error") or {})
    return Ended(
        "ok" if code == 0 else "failed", document, code, message, facts.runs, document.get("status") == "succeeded"
    )
