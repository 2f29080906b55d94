"""`rollback`: undo the last deployment, one step back and never two.

Which deployment that is gets decided when it is asked for, before the lock is waited for and before anything that was
interrupted is recovered. Afterwards that deployment may be undone already: then what was asked for has been done.
"""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.backups import store as backups
from gitdeploy.backups.store import Backup
from gitdeploy.deployment.flow.restore import last_good, restore
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.work import CHANGING, Result, Session, record
from gitdeploy.errors import NotFound, PolicyError
from gitdeploy.messages import tr
from gitdeploy.site.site import Site, head_of
from gitdeploy.state import Database, DeploymentRow
from gitdeploy.versions import CodeState, read_version


class Asked(Struct, frozen=True):
    """What a rollback is to undo: `version` where one was named; else the deployment that has no end yet (it runs, or was
    interrupted), else the last that succeeded."""

    version: str | None = None
    unfinished: int | None = None
    succeeded: int | None = None


class Named(Struct, frozen=True):
    """The backup that `restore` was asked for; `reference` as it was typed, `id` None where there is none of that name."""

    reference: str
    id: str | None


def named_now(site: Site, reference: str) -> Named:
    """Which backup REFERENCE names at this moment."""
    site.require_reader()
    try:
        return Named(reference, backups.find(site.state.backups, reference).id)
    except NotFound:
        return Named(reference, None)


def restore_named(session: Session, wanted: Named, options: Options) -> Result:
    """Bring back what was asked for before anything interrupted was recovered. `latest` may have been the backup of a
    deployment that came to nothing, and was thrown away with it: then what it held is live."""
    site = session.site
    found = named_now(site, wanted.reference if wanted.id is None else wanted.id)
    if found.id is None and wanted.id is not None and session.recovered is not None:
        live = site.release_at(head_of(site))
        return _done(
            session,
            live,
            tr("Backup {wanted} held what is live, and went with the interrupted deployment", wanted=wanted.id),
            "restore",
        )
    return restore(session, backups.find(site.state.backups, found.reference), options)


def asked_now(database: Database | None, version: str | None) -> Asked:
    """What `rollback` means at this moment."""
    if database is None:
        return Asked(version)
    unfinished = [row.id for row in database.unfinished() if row.action in CHANGING]
    last = last_changing(database)
    return Asked(version, unfinished[-1] if unfinished else None, last.id if last is not None else None)


def last_changing(database: Database) -> DeploymentRow | None:
    """The last deployment that put another state live and succeeded."""
    return next((row for row in database.deployments() if row.status == "succeeded" and row.action in CHANGING), None)


def rollback(session: Session, asked: Asked, options: Options, *, forward: bool = False) -> Result:
    """Undo what was ASKED for; no more than say so where a recovery, or the end of a deployment that ran, did it already.

    forward: whoever asks knows that it goes to a newer release. Raises `PolicyError` where it would and nobody does, and
    where another deployment went live meanwhile.
    """
    site, database = session.site, session.database
    live = site.release_at(head_of(site))
    if asked.version is not None:
        if session.recovered is not None and asked.version in (live.tag, live.version, f"v{live.version}"):
            return _done(session, live, tr("Recovery brought {live} back", live=live.name))
        backup = last_good(site, database, asked.version, with_data=options.with_data)
        return restore(session, backup, options, "rollback", live)
    undo = asked.succeeded
    row = database.deployment(asked.unfinished) if asked.unfinished is not None else None
    if row is not None:
        stays = row.status == "succeeded"
        if stays == (row.action == "rollback"):
            return _done(session, live, _how(row, stays=stays))
        undo = row.id if stays else undo
    last = last_changing(database)
    if last is not None and last.id != undo:
        raise PolicyError(
            tr(
                "Deployment {last} ({action}) put {live} live while this waited, so it is not undone unasked.",
                last=last.id,
                action=last.action,
                live=live.name,
            ),
            tr("To undo it: gitdeploy rollback --yes"),
        )
    found = choice(site, database, live, with_data=options.with_data)
    if found.forward and not forward:
        raise PolicyError(found.forward_sentence, found.ways)
    return restore(session, found.backup, options, "rollback", live)


def _how(row: DeploymentRow, *, stays: bool) -> str:
    target = CodeState.from_dict(row.target).name
    if stays:
        return tr("Deployment {row} was that rollback", row=row.id)
    return tr("Deployment {row} ({action} to {target}) is undone", row=row.id, action=row.action, target=target)


def _done(session: Session, live: CodeState, how: str, action: str = "rollback") -> Result:
    """Nothing is left to do; it goes into the log all the same."""
    site = session.site
    older = before(site, live)
    further = tr(" To go back further: {command}", command=_command(older)) if older is not None else ""
    with record(session, action, live, live) as work:
        return work.end(
            "nothing_to_do",
            tr(
                "{how}, and {site} runs {live}: nothing else was rolled back.{further}",
                how=how,
                site=site.name,
                live=live.name,
                further=further,
            ),
        )


class Choice(Struct, frozen=True):
    """What a rollback without a version would bring back; `forward`: that is a newer release than the live one; `older`: the
    newest good backup of an older one."""

    backup: Backup
    live: CodeState
    forward: bool
    older: Backup | None

    @property
    def forward_sentence(self) -> str:
        newer = CodeState(self.backup.version, self.backup.tag, self.backup.commit).name
        return tr(
            "The last deployment went back to {live}: undoing it goes forward again to {newer}.",
            live=self.live.name,
            newer=newer,
        )

    @property
    def ways(self) -> str:
        further = tr("\nTo go back further: {command}", command=_command(self.older)) if self.older is not None else ""
        return tr("To go forward: {command}{further}", command=_command(self.backup), further=further)


def choice(site: Site, database: Database | None, live: CodeState, *, with_data: bool = False) -> Choice:
    """What `rollback` would do now; WITH_DATA: with data that are the backup's own release's. Raises `UsageError` where there is nothing to undo."""
    backup = last_good(site, database, None, with_data=with_data)
    forward = is_newer(site, backup, live)
    return Choice(backup, live, forward, before(site, live) if forward else None)


def is_newer(site: Site, backup: Backup, live: CodeState) -> bool:
    """Whether BACKUP holds a newer release than LIVE: by version, else by history."""
    prefix = site.config.source.tag_prefix
    then = read_version(backup.tag or "", prefix) or read_version(backup.version or "")
    now = read_version(live.tag or "", prefix) or read_version(live.version or "")
    if then is not None and now is not None:
        return then > now
    return backup.commit != live.commit and site.repository.is_ancestor(live.commit, backup.commit)


def before(site: Site, live: CodeState) -> Backup | None:
    """The newest good backup of an older release than LIVE."""
    store = site.state.backups
    return next(
        (
            backup
            for backup in site.backups()
            if backup.commit != live.commit
            and not is_newer(site, backup, live)
            and backups.outcome(store, backup.id) == "good"
        ),
        None,
    )


def _command(backup: Backup) -> str:
    """How BACKUP is brought back: by its version where it has one, since that says where it leads."""
    word = backup.tag or backup.version
    return f"gitdeploy rollback {word}" if word else f"gitdeploy restore {backup.id}"
