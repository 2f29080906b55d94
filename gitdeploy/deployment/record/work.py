"""One deployment that is being recorded: who asked, what it does, how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from msgspec import Struct, field

from gitdeploy.deployment.record.events import Ended, Listener, Started, ignore
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.deployment.record.replaced import kept_of
from gitdeploy.deployment.record.tell import notify, owe, send_owed
from gitdeploy.errors import GitDeployError, Interrupted
from gitdeploy.messages import said, tr
from gitdeploy.site.memory import remember_settings
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.state.sqlite import now
from gitdeploy.system import interruption
from gitdeploy.versions import CodeState


class Settling(Struct, frozen=True):
    """What a recovery does after files and venv are the old release's again: each part can be left out."""

    hooks: bool = True
    restart: bool = True
    health: bool = True

    @property
    def whole(self) -> bool:
        return self.hooks and self.restart and self.health


CHANGING = ("upgrade", "restore", "rollback")  # actions that put another state live


class Caller(Struct, frozen=True):
    """Who asks for a deployment, how long they wait for the lock, and who listens. `request` is an id by which whoever
    started this process finds the deployment in the journal."""

    performer: str
    command: str
    wait: float = 0
    listener: Listener = ignore
    automatic: bool = False
    attended: bool = True  # somebody looks on, who may try at once what failed just now
    watching: bool = False  # `watch` asks: what `check` of deploy.yaml admits
    boot: bool = False
    again: bool = False
    request: str = ""
    settling: Settling = Settling()


class Result(Struct, frozen=True):
    """How a deployment ended: the shape of `upgrade --json` and its like."""

    id: int | None
    action: str
    status: str
    origin: CodeState
    target: CodeState
    backup: str | None
    started_at: str
    duration: float
    steps: Sequence[Mapping[str, Any]]
    log: Sequence[str]
    sentence: str
    error: GitDeployError | None = None
    through: Sequence[Mapping[str, Any]] = ()  # the deployments before it on the way, see flow/through.py
    replaced: Sequence[Mapping[str, Any]] = ()  # data that others took the place of: see record/replaced.py
    rehearsal: Mapping[str, Any] | None = None  # what a rehearsal came to: see site/rehearsals.py

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error is not None else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "action": self.action,
            "status": self.status,
            "from": self.origin.as_dict(),
            "to": self.target.as_dict(),
            "backup": self.backup,
            "started_at": self.started_at,
            "duration": round(self.duration, 3),
            "steps": list(self.steps),
            "log": list(self.log),
            **said(self.sentence),
            "through": list(self.through),
            "replaced": list(self.replaced),
            **({"rehearsal": dict(self.rehearsal)} if self.rehearsal is not None else {}),
            "error": self.error.as_dict() if self.error is not None else None,
        }


class Replaces(Enum):
    """What a command puts live in place of what an earlier deployment left, where that can't be put right by itself."""

    NOTHING = "nothing"
    WHOLE = "whole"  # a release, over files that are wholly one release's
    FILES = "files"  # everything, whatever the files are: a backup, a release with local changes discarded

    @property
    def files(self) -> bool:
        return self is Replaces.FILES


class Unsettled(Struct, frozen=True):
    """An interrupted deployment that could not be put right, and is given up (`give_up`) once something else goes live: not
    earlier, since that may still be refused. `stage`: its stage, which holds the way back."""

    stage: str
    give_up: Callable[[], object]


class Session(Struct):
    """The lock is held and the database open: the app may be changed."""

    site: Site
    database: Database
    caller: Caller
    recovered: Result | None = None
    unsettled: Unsettled | None = None


class Work(Struct):
    """One deployment that is being recorded."""

    session: Session
    journal: Journal
    action: str
    origin: CodeState
    target: CodeState
    begun: float = field(default_factory=time.monotonic)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    backup: str | None = None
    rehearsal: Mapping[str, Any] | None = None  # what it came to, where it was one
    begun_in_earnest: bool = False  # nothing spoke against it: people are told how it ends

    @property
    def site(self) -> Site:
        return self.session.site

    @property
    def database(self) -> Database:
        return self.session.database

    @property
    def id(self) -> int:
        return self.journal.deployment

    def aim(self, target: CodeState) -> None:
        """Now it is known what will be live."""
        self.target = target
        self.database.update_deployment(self.id, target=target.as_dict())

    def announce(self, headline: str) -> None:
        self.journal.note(headline)
        self.journal.listener(Started(self.id, self.action, headline))

    def start(self) -> None:
        """Preflight found nothing against it and there is something to do: people are told, and what was interrupted before and
        could not be put right is over."""
        if self.session.unsettled is not None:
            self.session.unsettled.give_up()
            self.session.unsettled = None
        self.begun_in_earnest = True
        what = tr("goes to") if self.action == "upgrade" else tr("goes back to")
        notify(
            self,
            self.site.config,
            "started",
            tr(
                "{site} {what} {target} (from {origin}).",
                site=self.site.name,
                what=what,
                target=self.target.name,
                origin=self.origin.name,
            ),
        )

    def withdraw(self) -> None:
        """It was only planned, and something else comes first: it is begun anew afterwards, under another number."""
        self.database.withdraw(self.id)

    def end(self, status: str, sentence: str, error: GitDeployError | None = None) -> Result:
        """Record how it ended and tell; the journal of it is closed by this."""
        duration = time.monotonic() - self.begun
        steps = [step.as_dict() for step in self.journal.steps]
        self.journal.note(sentence, "info" if status in ("succeeded", "nothing_to_do") else "error")
        self.database.flush_lines()
        self.database.update_deployment(
            self.id,
            status=status,
            ended_at=now(),
            duration=duration,
            steps=steps,
            backup=self.backup,
            error=error.as_dict() if error else None,
        )
        if status in ("failed", "rolled_back") and self.action in ("upgrade", "rehearse"):
            remember_settings(self.site, self.database, self.id)
        self.journal.listener(Ended(status, sentence))
        log = [text for _, _, _, text in self.database.lines(self.id)]
        return Result(
            id=self.id,
            action=self.action,
            status=status,
            origin=self.origin,
            target=self.target,
            backup=self.backup,
            started_at=self.started_at,
            duration=duration,
            steps=steps,
            log=log,
            sentence=sentence,
            error=error,
            replaced=replaced_data(self.database, self.id),
            rehearsal=self.rehearsal,
        )


def replaced_data(database: Database, deployment: int) -> list[dict[str, Any]]:
    """Data that others took the place of in a deployment, as JSON shows them; see record/replaced.py."""
    records = [record for record in database.records(deployment) if record.kind.startswith("data-")]
    if not records:
        return []
    return [kept.as_dict() for kept in kept_of(records)]


@contextmanager
def record(session: Session, action: str, origin: CodeState, target: CodeState) -> Iterator[Work]:
    """A deployment in the database, its children told to the journal. Whatever is raised inside is recorded as its
    failure, unless it was ended already."""
    number = session.database.begin_deployment(action, session.caller.performer, origin.as_dict(), target.as_dict())
    journal = Journal(session.database, number, session.caller.listener)
    work = Work(session, journal, action, origin, target)
    try:
        with journal.watched():
            if session.caller.request:
                journal.write("caller", "", {"request": session.caller.request})
            yield work
    except GitDeployError as error:
        row = None
        with suppress(GitDeployError):
            row = session.database.deployment(number)
        if row is not None and row.ended_at is None and error.exit_code != 4:
            with suppress(GitDeployError), interruption.shield():
                sentence = tr("{message} {standing}", message=error.message, standing=standing(work))
                error.details = (*error.details, standing(work))
                told = work.begun_in_earnest and not isinstance(error, Interrupted)
                if told:
                    owe(work, work.site.config, "failed", sentence, error=error.message)
                error.document = work.end(_status(work, error), sentence, error).as_dict()
                if told:
                    send_owed(work.site, work.database, work.site.config)
        raise


def _status(work: Work, error: GitDeployError) -> str:
    """How a deployment ended that ERROR stopped with nothing live touched."""
    if isinstance(error, Interrupted):
        return "interrupted"
    return "refused" if error.refusal and not work.begun_in_earnest else "failed"


def standing(work: Work) -> str:
    """What is live after a deployment that failed above the line."""
    return tr("{site} runs {origin} as before; nothing live was touched.", site=work.site.name, origin=work.origin.name)
