"""One command that works on a fleet: it holds the control host's lock, its journal and Ansible."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.errors import LockedError, PolicyError
from gitdeploy.fleet.ansible import Ansible, HostResult
from gitdeploy.fleet.events import Event, HostChanged, Listener, Said, ignore
from gitdeploy.fleet.journal import PRIMARY, Journal, Member, Rollout
from gitdeploy.fleet.settings import Fleet
from gitdeploy.messages import tr
from gitdeploy.state.lock import DeploymentLock
from gitdeploy.text import moment_text

WAITING, PREPARING, PREPARED, UPGRADING, UPGRADED, UNCHANGED = "waiting", "preparing", "prepared", "upgrading", "upgraded", "unchanged"  # fmt: skip
FAILED, ROLLED_BACK, BROKEN, LOCKED, UNREACHABLE = "failed", "rolled_back", "broken", "locked", "unreachable"
REVERTING, REVERTED, LEFT_OUT = "reverting", "reverted", "left_out"
BAD = (FAILED, ROLLED_BACK, BROKEN, LOCKED, UNREACHABLE)
TO_DO = (WAITING, PREPARING, PREPARED, UPGRADING)
_BY_CODE = {3: ROLLED_BACK, 4: BROKEN, 5: LOCKED}


class Outcome(Struct, frozen=True):
    """How a rollout ended: the shape of `fleet upgrade --json`."""

    rollout: Rollout
    members: Sequence[Member]
    exit_code: int
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        rollout = self.rollout
        return {
            "id": rollout.id,
            "action": rollout.action,
            "tag": rollout.tag,
            "status": rollout.status,
            "message": rollout.message,
            "performer": rollout.performer,
            "started_at": rollout.started_at,
            "ended_at": rollout.ended_at,
            "exit_code": self.exit_code,
            "hosts": [member.as_dict() for member in self.members],
        }


class Session(Struct):
    """The fleet may be changed: nobody else on this control host does."""

    fleet: Fleet
    journal: Journal
    ansible: Ansible
    performer: str
    lock_wait: float = 0
    listener: Listener = ignore
    _open: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def begin(
        cls, fleet: Fleet, *, performer: str, command: str, lock_wait: float = 0, listener: Listener = ignore
    ) -> Session:
        """Raises `LockedError` where another command works on this fleet, and what the journal raises."""
        with ExitStack() as stack:
            ansible = stack.enter_context(Ansible(fleet))
            journal = stack.enter_context(Journal.open(fleet.state))
            lock = DeploymentLock(fleet.state / "lock")
            try:
                stack.enter_context(lock.acquire(who=performer, command=command))
            except LockedError as error:
                holder = lock.holder()
                raise LockedError(
                    tr("Another command works on this fleet: {who}.", who=holder.sentence())
                    if holder is not None
                    else tr("Another command works on this fleet."),
                    tr("Wait until it has ended. What it does:  gitdeploy fleet log"),
                ) from error
            return cls(fleet, journal, ansible, performer, lock_wait, listener, stack.pop_all())

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # ---- what is written down and told ----

    def tell(self, event: Event) -> None:
        self.listener(event)

    def say(self, rollout: Rollout, text: str, host: str = "") -> None:
        """A sentence for the log and for whoever listens."""
        self.journal.say(rollout.id, host, [text])
        self.tell(Said(host, text))

    def change(self, rollout: Rollout, host: str, *, step: str = "", **values: Any) -> None:
        """Write down how HOST stands, and tell it."""
        self.journal.change(rollout.id, host, **values)
        self.tell(HostChanged(self.member(rollout, host), step))

    def member(self, rollout: Rollout, host: str) -> Member:
        return next(each for each in self.journal.members(rollout.id) if each.host == host)

    def members(self, rollout: Rollout, states: Iterable[str] = ()) -> list[Member]:
        """The rollout's hosts, in order; those in one of STATES."""
        wanted = tuple(states)
        return [each for each in self.journal.members(rollout.id) if not wanted or each.state in wanted]

    def end(self, rollout: Rollout, status: str, message: str, code: int) -> Outcome:
        self.journal.end(rollout.id, status, message)
        self.say(rollout, message)
        return Outcome(self.journal.rollout(rollout.id), self.members(rollout), code, message)

    # ---- doing something on hosts ----

    def require_window(self) -> None:
        """Raises `PolicyError` outside the fleet's window."""
        window, moment = self.fleet.config.window, datetime.now(UTC)
        if window is not None and not window.contains(moment):
            raise PolicyError(
                tr("It is outside the fleet's window ({window}).", window=str(window)),
                tr(
                    "It opens at {when}. To go on now all the same: --now",
                    when=moment_text(window.opens(moment).isoformat()),
                ),
            )

    def play(
        self, rollout: Rollout, playbook: str, task: str, hosts: Sequence[str], doing: str, **variables: object
    ) -> None:
        """Run PLAYBOOK on HOSTS, each DOING (a state) meanwhile; what became of each is in the journal as soon as it is known.
        TASK is the one that decides; what else fails on a host fails the host."""
        if not hosts:
            return
        requests = {}
        for host in hosts:
            requests[host] = request_of(rollout, host, playbook, self.member(rollout, host).attempt)
            self.change(rollout, host, state=doing)

        failed: list[HostResult] = []  # in tasks that may be rescued or ignored: whether they were is known at the end

        def heard(result: HostResult) -> None:
            if result.kind == "retry" and result.task == task:
                self.tell(HostChanged(self.member(rollout, result.host), str(result.facts.get("step") or "")))
            elif result.task == task and result.kind in ("ok", "failed", "unreachable"):
                self.settle(rollout, result.host, _outcome(result, decides=True))
            elif result.kind in ("failed", "unreachable"):
                failed.append(result)

        played = self.ansible.play(
            playbook, {**self.known(rollout), "gitdeploy_requests": requests, **variables}, hosts=hosts, on_result=heard
        )
        for result in failed:
            if result.host in played.lost:
                self.settle(rollout, result.host, _outcome(result, decides=False))
        for host in hosts:  # what Ansible left undone and said nothing of, such as a file of tasks that it can't read
            if self.member(rollout, host).state == doing:
                self.settle(rollout, host, Ended("unreachable" if played.silent else "failed", {}, message=played.why))

    def known(self, rollout: Rollout) -> dict[str, Any]:
        """What every playbook of ROLLOUT is told."""
        primary = next((each.host for each in self.members(rollout) if each.role == PRIMARY), None)
        known: dict[str, Any] = {
            "gitdeploy_tag": rollout.tag,
            "gitdeploy_performer": tr("{who} (fleet rollout {number})", who=self.performer, number=rollout.id),
            "gitdeploy_options": dict(rollout.settings.get("options") or {}),
            "gitdeploy_lock_wait": int(self.lock_wait),
            "gitdeploy_any_errors_fatal": False,
            "gitdeploy_serial": "100%",
            "gitdeploy_max_fail_percentage": 100,
        }
        if primary is not None:
            known["gitdeploy_primary_host"] = primary
        return known

    def settle(self, rollout: Rollout, host: str, ended: Ended) -> None:
        """Write down how what HOST was doing has ended."""
        member = self.member(rollout, host)
        if ended.kind == "ok":
            self._succeeded(rollout, member, ended)
            return
        state = UNREACHABLE if ended.kind == "unreachable" else _BY_CODE.get(ended.exit_code or 1, FAILED)
        if member.state in (UPGRADED, UNCHANGED, REVERTED):  # only what came after it failed: back into the balancer
            self.change(rollout, host, exit_code=1, message=ended.message)
        else:
            self.change(
                rollout, host, state=state, exit_code=ended.exit_code, message=ended.message, deployment=ended.document,
                duration=ended.document.get("duration"),
            )  # fmt: skip
        self.say(rollout, ended.message, host)
        self.journal.say(rollout.id, host, map(str, ended.document.get("log") or ()))

    def _succeeded(self, rollout: Rollout, member: Member, ended: Ended) -> None:
        document = ended.document
        state = {PREPARING: PREPARED, REVERTING: REVERTED}.get(member.state) or (
            UPGRADED if ended.changed else UNCHANGED
        )
        if member.state == UPGRADING and state == UNCHANGED and member.was != rollout.tag:
            state = UPGRADED  # it went there before we could see it
        values: dict[str, Any] = {
            "state": state,
            "exit_code": 0,
            "message": "",
            "duration": document.get("duration"),
        }
        if member.state != PREPARING:
            values |= {"runs": ended.version or member.runs, "deployment": document}
        self.change(rollout, member.host, **values)
        self.journal.say(rollout.id, member.host, map(str, document.get("log") or ()))


def as_it_is(fleet: Fleet, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """ROLLOUTS of the journal; one that nobody carries on any more is `interrupted`."""
    if DeploymentLock(fleet.state / "lock").holder() is not None:
        return list(rollouts)
    return [replace(each, status="interrupted") if each.status == "running" else each for each in rollouts]


class Ended(Struct, frozen=True):
    """How a host's deployment ended, as its module or its journal says it."""

    kind: str  # ok, failed, unreachable
    document: Mapping[str, Any]
    exit_code: int | None = None
    message: str = ""
    version: str | None = None
    changed: bool = False


def _outcome(result: HostResult, decides: bool) -> Ended:
    facts = result.facts
    document = facts.get("deployment") or {}
    message = result.message if decides else tr("{task}: {why}", task=result.task, why=result.message)
    return Ended(
        result.kind, document, facts.get("exit_code"), message, facts.get("version"), bool(facts.get("changed"))
    )  # fmt: skip


def request_of(rollout: Rollout, host: str, what: str, attempt: int) -> str:
    """By what a host's deployment is found in the host's journal: the same whenever this rollout asks for the same."""
    return hashlib.sha256(f"{rollout.key}\0{host}\0{what}\0{attempt}".encode()).hexdigest()[:32]
