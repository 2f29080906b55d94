"""One deployment at a time, from the lock to the closing sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from gitdeploy.deployment import flow
from gitdeploy.deployment.record.events import Line, far_told
from gitdeploy.deployment.record.journal import Journal
from gitdeploy.deployment.record.work import Caller, Replaces, Session
from gitdeploy.errors import LockedError
from gitdeploy.messages import tr
from gitdeploy.site.pause import PAUSED, paused_sentence
from gitdeploy.site.site import Site
from gitdeploy.state import DeploymentLock
from gitdeploy.system import interruption, progress
from gitdeploy.upkeep.encrypting import encrypt_backups


@contextmanager
def open_session(
    site: Site,
    caller: Caller,
    *,
    pausable: bool = True,
    replaces: Replaces = Replaces.NOTHING,
    goes_on: bool = True,
    encrypts: bool = True,
) -> Iterator[Session]:
    """Take the lock, open the database, recover what an earlier run left unfinished, refuse where deployments are paused.

    replaces: what is to go live, which is the way out where an earlier deployment can't be put right. goes_on: something
    is done after a recovery, by the deploy.yaml that holds then. encrypts: backups that still are plain, at the end.

    Raises `LockedError`, `DeploymentFailed`; whatever recovery raises.
    """
    site.require_owner()
    site.require_safe_venv()
    site.make_state()
    lock = DeploymentLock(site.state.lock)
    with (
        lock.acquire(who=caller.performer, command=caller.command, wait=caller.wait),
        site.open_database() as database,
    ):
        session = Session(site, database, caller)
        session.recovered = flow.recover.recover_unfinished(session, replaces=replaces)
        if goes_on and (session.recovered is not None or session.unsettled is not None):
            session.site = site.read_again()  # what was read before may be of the release that is gone again
        try:
            if pausable and (paused := database.meta_get(PAUSED)) is not None:
                raise LockedError(paused_sentence(paused), tr("Resume them: gitdeploy unlock"))
            with (
                session.site.repository.asking()
            ):  # not earlier: recovery takes a git that runs here for the holder of a stale lock
                yield session
        finally:
            if encrypts:
                _encrypt(session)


def _encrypt(session: Session) -> None:
    """A signal ends it, but for one that came before: that has ended the deployment, whose data are not left plain for it."""
    told = progress.told(far_told(session.caller.listener, "backup"))
    with told, interruption.shield() if interruption.received() is not None else nullcontext():
        encrypt_backups(session.site, session.database, partial(_warn, session), partial(_tell, session))


def _tell(session: Session, text: str) -> None:
    session.caller.listener(Line(text, "info"))


def _warn(session: Session, text: str) -> None:
    """What is to be said after a deployment has ended: into its log, and to whoever listens."""
    last = session.database.last_ended()
    if last is None:
        session.caller.listener(Line(text, "warning"))
        return
    Journal(session.database, last.id, session.caller.listener).line(text, "warning")
    session.database.show_lines()
