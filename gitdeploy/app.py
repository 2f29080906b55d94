"""App: the one facade that the command line, the page and scripts use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.deployment.flow.session import open_session
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.events import Listener, ignore
from gitdeploy.deployment.record.work import Caller, Replaces, Result, Settling
from gitdeploy.errors import NotFound
from gitdeploy.services import open_services
from gitdeploy.site import remotes, tags
from gitdeploy.site.caller import performer, request_id
from gitdeploy.site.hold import HOLD
from gitdeploy.site.site import Site
from gitdeploy.state import BadRelease, Database, DeploymentLock, DeploymentRow, Holder
from gitdeploy.state.database import now
from gitdeploy.text import clean, path_text
from gitdeploy.upkeep import finding
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gitdeploy.backups.store import Backup
    from gitdeploy.checkout.changes import Problem
    from gitdeploy.checkout.local import Local
    from gitdeploy.deployment.flow.rollback import Asked
    from gitdeploy.deployment.flow.rollback import Choice as RollbackChoice
    from gitdeploy.deployment.outside.launch import Launched
    from gitdeploy.deployment.plan.data_moves import Move
    from gitdeploy.deployment.plan.make import Plan
    from gitdeploy.hooks.running import Hook
    from gitdeploy.services.boot import BootUnit
    from gitdeploy.site.interrupted import Interruption
    from gitdeploy.sources import CheckResult, Release
    from gitdeploy.upkeep.finding import Finding
    from gitdeploy.upkeep.prune import Pruned
    from gitdeploy.upkeep.watch import Look
    from gitdeploy.venvs import LiveVenv


class Status(Struct, frozen=True):
    """What is live, and what is going on: the shape of `status --json`."""

    app: str
    path: str
    live: CodeState
    branch: str | None
    local_changes: Sequence[str]
    venv: dict[str, Any] | None
    update_available: bool | None
    latest_version: str | None
    last_deployment: DeploymentRow | None
    interrupted: bool
    holder: Holder | None
    held: dict[str, Any] | None
    checked_at: str | None = None  # when the source was asked for `update_available`
    interruption: Interruption | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "app": self.app,
            "path": self.path,
            "version": self.live.version,
            "tag": self.live.tag,
            "commit": self.live.commit,
            "branch": self.branch.removeprefix("refs/heads/") if self.branch else None,
            "local_changes": list(self.local_changes),
            "venv": self.venv,
            "update_available": self.update_available,
            "latest_version": self.latest_version,
            "checked_at": self.checked_at,
            "last_deployment": row_as_dict(self.last_deployment) if self.last_deployment else None,
            "interrupted": self.interrupted,
            "interruption": self.interruption.as_dict() if self.interruption is not None else None,
            "locked_by": _holder_as_dict(self.holder),
            "held": self.held,
        }


class Checkout(Struct, frozen=True):
    """What stands on disk: the files beside HEAD, the release that HEAD is, the venv."""

    local: Local
    live: CodeState
    venv: LiveVenv | None


class BackupRow(Struct, frozen=True):
    """A backup as it is listed: `size` in bytes is what deleting it would free."""

    backup: Backup
    size: int
    outcome: str

    def as_dict(self) -> dict[str, Any]:
        backup = self.backup
        return {
            "id": backup.id,
            "ref": backup.ref,
            "version": backup.version,
            "tag": backup.tag,
            "commit": backup.commit,
            "branch": backup.branch.removeprefix("refs/heads/") if backup.branch else None,
            "created_at": backup.created_at,
            "size": self.size,
            "label": backup.label,
            "reason": backup.reason,
            "outcome": self.outcome,
            "holds": backup.holds,
            "data_release": dict(backup.data_release) if backup.data_release else None,
        }


class GoingOn(Struct, frozen=True):
    """What stands in a deployment's way now: who holds the lock, and the sentence of a hold."""

    holder: Holder | None
    hold: str | None


class App:
    """One app on this server. Every method raises `gitdeploy.errors.GitDeployError` for what can go wrong."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @classmethod
    def open(cls, folder: str | Path = ".", config_file: str | Path | None = None, *, recovering: bool = False) -> App:
        """The app whose checkout FOLDER is in. RECOVERING: to call `recover`, which needs no valid deploy.yaml to put files and
        venv right."""
        return cls(Site.open(Path(folder), Path(config_file) if config_file else None, recovering=recovering))

    # ---- looking ----

    def status(self) -> Status:
        """What is live, and what is going on. Changes nothing; a bounded number of git calls."""
        from gitdeploy.site.interrupted import read_interruption

        site = self.site
        seen = self.checkout()
        local, live, venv = seen.local, seen.live, seen.venv
        database = site.read_database()
        last = hold = interruption = None
        found: CheckResult | None = None
        holder = DeploymentLock(site.state.lock).holder()
        if database is not None:
            with database:
                last = database.last_ended()
                if holder is None:
                    interruption = read_interruption(database)
                text = database.meta_get(HOLD)
                hold = json.loads(text) if text else None
                found = self._last_check(database, live)
        keep = site.keep([])
        return Status(
            site.name,
            str(site.root),
            live,
            local.branch,
            [path_text(change.path) for change in local.changes if not keep.match(change.path)],
            {"path": str(venv.link), "generation": venv.generation, "python": venv.python, "problem": venv.problem}
            if venv is not None
            else None,
            found.update_available if found else None,
            found.latest_version if found else None,
            last,
            interruption is not None,
            holder,
            hold,
            found.checked_at if found else None,
            interruption,
        )

    def checkout(self) -> Checkout:
        """What stands on disk: two git commands, a look at the venv."""
        from gitdeploy.checkout.local import read_local

        local = read_local(self.site.repository)
        return Checkout(local, self.site.release_at(local.head), self.site.live_venv())

    def check(self, *, force: bool = False) -> CheckResult:
        """Is there a newer release? From the cache within `check.interval`, unless FORCE."""
        from gitdeploy.upkeep import updates

        with self._database() as database:
            return updates.check(self.site, database, self._live(database), force=force)

    def look(self, *, moment: datetime | None = None) -> Look:
        """Ask the source, tell people once about a new release, and say which may be installed now by itself."""
        from gitdeploy.upkeep.watch import look

        with self._database() as database:
            return look(self.site, database, self._live(database), moment=moment)

    def live(self) -> CodeState:
        """What is live; no child process where nothing changed since the last look."""
        with self._database() as database:
            return self._live(database)

    def going_on(self) -> GoingOn:
        """Whether a deployment runs, or is held. Starts no process."""
        from gitdeploy.site.hold import hold_sentence

        hold = None
        database = self.site.read_database()
        if database is not None:
            with database:
                hold = database.meta_get(HOLD)
        return GoingOn(DeploymentLock(self.site.state.lock).holder(), hold_sentence(hold) if hold else None)

    def last_check(self) -> CheckResult | None:
        """What the last `check` found, beside what is live now. Asks nobody; None where nothing was ever found."""
        from gitdeploy.upkeep import updates

        with self._database() as database:
            return updates.last_check(self.site, database, self._live(database))

    def _last_check(self, database: Database, live: CodeState) -> CheckResult | None:
        """The last answer where there is one, whose age is told; None without loading anything where there is none."""
        if database.meta_get("last_check") is None:
            return None
        from gitdeploy.upkeep import updates

        return updates.last_check(self.site, database, live)

    def bad_releases(self) -> dict[str, BadRelease]:
        """Commit -> why and when: releases that were taken back here and are not installed again by themselves."""
        database = self.site.read_database()
        if database is None:
            return {}
        with database:
            return database.bad_releases()

    def service_names(self) -> list[str]:
        """What is restarted: `otrs-web.service`. Empty where nothing is configured."""
        return [service.name for service in open_services(self.site.config.service, self.site.root)]

    def units_found(self) -> list[str]:
        """systemd units that run from this checkout, whether they are configured or not."""
        from gitdeploy.services import discover

        return discover(self.site.root, self.site.venv_link)

    def health(self) -> str | None:
        """Ask the services and the health check one time; None where all is well, else a sentence."""
        from gitdeploy.health import check_once

        for service in open_services(self.site.config.service, self.site.root):
            if bad := service.is_up():
                return bad
        environment = None
        if self.site.config.health.command:
            from gitdeploy.site.app_environment import check_environment

            environment = check_environment(self.site, self.site.config)
        return check_once(self.site.config.health, root=self.site.root, environment=environment)

    def releases(
        self,
        *,
        limit: int | None = 10,
        everything: bool = False,
        on_warning: Callable[[str], None] | None = None,
    ) -> list[tuple[Release, str]]:
        """(release, state) newest first; state: live, newer, older, prerelease, `no version` or `refused` (a name that no
        release may have). `on_warning` is told in a sentence where the list isn't whole, or another source answered."""
        from gitdeploy.upkeep import updates

        with self._database() as database:
            live = self._live(database)
            found, warnings = updates.catalogue(self.site, database).releases(limit=limit, all=everything)
            contained = remotes.checkout_git(self.site).contained() if found else frozenset()
            found = updates.with_commits(self.site, database, found)
        if on_warning is not None:
            for warning in warnings:
                on_warning(warning)
        prefix = self.site.config.source.tag_prefix
        return [(release, release_state(release, live, prefix, contained)) for release in found]

    def release(self, tag: str) -> tuple[Release, str]:
        """One release, whole."""
        from gitdeploy.upkeep import updates

        tags.check_tag(tag)
        with self._database() as database:
            live = self._live(database)
            (found,) = updates.with_commits(self.site, database, [updates.catalogue(self.site, database).release(tag)])
            contained = remotes.checkout_git(self.site).contained()
        return found, release_state(found, live, self.site.config.source.tag_prefix, contained)

    def plan(self, tag: str | None = None, options: Options | None = None) -> Plan | None:
        """What `upgrade` would do; None where there is nothing newer. Fetches the release's objects, changes nothing."""
        from gitdeploy.deployment.flow import upgrade
        from gitdeploy.deployment.flow.dry_run import look

        return look(self.site, tag, options or Options(), upgrade.plan_upgrade)

    def plan_restore(self, backup: Backup, options: Options | None = None) -> Plan:
        """What `restore` would do."""
        from gitdeploy.deployment.flow.restore import ensure_objects, plan_restore

        ensure_objects(self.site, backup)
        database = self.site.read_database()
        try:
            return plan_restore(self.site, database, backup, options or Options())
        finally:
            if database is not None:
                database.close()

    def data_moves(self, backup: Backup) -> tuple[tuple[Move, ...], tuple[Problem, ...], tuple[str, ...]]:
        """What `restore --with-data` would replace, what speaks against it, what else there is to say."""
        from gitdeploy.deployment.plan.data_moves import data_moves

        return data_moves(self.site, backup)

    def backups(self) -> list[BackupRow]:
        """All backups, newest first."""
        from gitdeploy.backups import store as backup_store

        found = self.site.backups()
        sizes = self.backup_sizes(found)
        store = self.site.state.backups
        return [BackupRow(backup, sizes[backup.id], backup_store.outcome(store, backup.id)) for backup in found]

    def backup_sizes(self, found: Sequence[Backup]) -> dict[str, int]:
        """Backup id -> bytes that deleting it would free. Walks through their folders."""
        from gitdeploy.upkeep.sizes import backup_sizes

        return backup_sizes(self.site, found)

    def find_backup(self, reference: str) -> Backup:
        """By id, unique prefix, ref, or `latest`."""
        from gitdeploy.backups.store import find

        return find(self.site.state.backups, reference)

    def backup_for_rollback(self, version: str | None = None, *, with_data: bool = False) -> Backup:
        """What `rollback` would restore; WITH_DATA: one whose data are of the release whose code it holds."""
        from gitdeploy.deployment.flow.restore import last_good

        database = self.site.read_database()
        try:
            return last_good(self.site, database, version, with_data=with_data)
        finally:
            if database is not None:
                database.close()

    def deployments(self, limit: int = 50) -> list[DeploymentRow]:
        """Deployments, newest first."""
        database = self.site.read_database()
        if database is None:
            return []
        with database:
            return database.deployments(limit)

    def log(self, deployment: int, since: int = 0) -> tuple[DeploymentRow, list[tuple[int, str, str, str]]]:
        """One deployment and its log lines (seq, time, level, text) after SINCE."""
        database = self.site.read_database()
        if database is not None:
            with database:
                row = database.deployment(deployment)
                if row is not None:
                    return row, database.lines(deployment, since)
        raise NotFound(f"There is no deployment {deployment}.", "`gitdeploy log` lists them.")

    def interrupted(self) -> Interruption | None:
        """The deployment whose process died before its end; None where there is none, or one runs."""
        from gitdeploy.site.interrupted import read_interruption

        database = self.site.read_database()
        if database is None or self.is_running():
            return None
        with database:
            return read_interruption(database)

    def deployment_of(self, request: str) -> int | None:
        """The deployment that `launch` with this REQUEST began; None where it has begun none yet."""
        database = self.site.read_database()
        if database is None:
            return None
        with database:
            return database.requested(request)

    def hooks(self) -> list[Hook]:
        """Every hook that would run, in order of the stages."""
        from gitdeploy.hooks.running import STAGES, find_hooks

        return [hook for stage in STAGES for hook in find_hooks(self.site.root, self.site.config.hooks, stage)]

    # ---- changing ----

    def launch(self, words: Sequence[str], *, performer: str, request: str) -> Launched:
        """Run the command `gitdeploy WORDS` (`["upgrade", "v1.2.9.1"]`) in a process that outlives this one and the restart
        of the app, and come back at once; what it returns follows that process, as does `deployment_of`.

        performer: who asked, as the log shows it. request: 32 hexadecimal digits of the caller's own.
        Raises `DeploymentFailed` where there is no way out of the app's service.
        """
        from gitdeploy.deployment.outside.launch import launch

        return launch(self.site, words, performer=performer, request=request)

    def upgrade(
        self,
        tag: str | None = None,
        options: Options | None = None,
        *,
        on_event: Listener = ignore,
        caller: Caller | None = None,
    ) -> Result:
        """Upgrade to TAG, or to the newest release that the channel admits."""
        from gitdeploy.deployment.flow.upgrade import upgrade

        asked = caller or self._caller("upgrade", on_event)
        options = options or Options()
        replaces = Replaces.NOTHING  # whoever asks for no release by name doesn't give up what was interrupted
        if tag is not None and not asked.automatic:
            replaces = Replaces.FILES if options.local_changes == "discard" else Replaces.WHOLE
        with open_session(self.site, asked, replaces=replaces) as session:
            return upgrade(session, tag, options)

    def prepare(
        self, tag: str | None = None, options: Options | None = None, *, caller: Caller | None = None
    ) -> Result:
        """Everything of an upgrade up to the switch."""
        from gitdeploy.deployment.flow.upgrade import prepare_upgrade

        with open_session(self.site, caller or self._caller("prepare")) as session:
            return prepare_upgrade(session, tag, options or Options())

    def backup(self, *, label: str = "", caller: Caller | None = None) -> BackupRow:
        """Make a backup now."""
        from gitdeploy.deployment.flow.manual import make_backup

        with open_session(self.site, caller or self._caller("backup"), held=False) as session:
            made = make_backup(session, label)
        return next(row for row in self.backups() if row.backup.id == made.id)

    def restore(
        self,
        reference: str,
        options: Options | None = None,
        *,
        caller: Caller | None = None,
    ) -> Result:
        """Bring a backup back: REFERENCE is its id, a unique prefix, its ref, or `latest`, which is the newest one now, before
        anything interrupted is recovered."""
        from gitdeploy.deployment.flow.rollback import named_now, restore_named

        wanted = named_now(self.site, reference)
        with open_session(self.site, caller or self._caller("restore"), replaces=Replaces.FILES) as session:
            return restore_named(session, wanted, options or Options())

    def rollback_asked(self, version: str | None = None) -> Asked:
        """What `rollback` means now: to be decided before a question is asked, and before anything is waited for."""
        from gitdeploy.deployment.flow.rollback import asked_now

        database = self.site.read_database()
        try:
            return asked_now(database, version)
        finally:
            if database is not None:
                database.close()

    def rollback_choice(self, *, with_data: bool = False) -> RollbackChoice:
        """What `rollback` would bring back, and whether that goes forward again to a newer release."""
        from gitdeploy.deployment.flow.rollback import choice

        with self._database() as database:
            return choice(self.site, database, self._live(database), with_data=with_data)

    def rollback(
        self,
        version: str | None = None,
        options: Options | None = None,
        *,
        asked: Asked | None = None,
        forward: bool = False,
        caller: Caller | None = None,
    ) -> Result:
        """Undo the last successful deployment, or go back to the newest backup of VERSION. One step: where a recovery of what
        was interrupted has undone it already, that is all.

        asked: what `rollback_asked` said earlier. forward: undo a rollback too, which goes to the newer release again; else
        that raises `PolicyError`.
        """
        from gitdeploy.deployment.flow.rollback import rollback

        asked = asked or self.rollback_asked(version)
        # Without a version it is whatever recovery comes to that decides: it isn't given up for another step back.
        replaces = Replaces.NOTHING if asked.version is None else Replaces.FILES
        with open_session(self.site, caller or self._caller("rollback"), replaces=replaces) as session:
            return rollback(session, asked, options or Options(), forward=forward)

    def recover(
        self,
        *,
        caller: Caller | None = None,
        boot: bool = False,
        again: bool = False,
        hooks: bool = True,
        restart: bool = True,
        health: bool = True,
    ) -> Result | None:
        """Finish or undo an interrupted deployment; None where there was none. `boot`: the service isn't up yet and is
        not restarted. `again`: try once more what failed three times the same way. `hooks`, `restart`, `health`: False leaves
        out the old release's build hooks, the restart of its service (and then its health), its health check."""
        from gitdeploy.deployment.flow.damaged import move_aside_if_damaged

        settling = Settling(hooks=hooks, restart=restart, health=health)
        asked = replace(caller or self._caller("recover"), boot=boot, again=again, settling=settling)
        move_aside_if_damaged(self.site, asked)
        with open_session(self.site, asked, held=False, goes_on=False) as session:
            return session.recovered

    def draft(self) -> str:
        """The deploy.yaml that `init` would write."""
        from gitdeploy.upkeep.draft import draft

        return draft(self.site)

    def init(self, *, force: bool = False) -> tuple[Path, str]:
        """Write a deploy.yaml drafted from the checkout and set up the state directory; its path and text.

        Raises `UsageError` where there is one already, unless FORCE.
        """
        from gitdeploy.errors import UsageError
        from gitdeploy.system.durable import write_durably

        self.site.require_owner()
        path = self.site.config.file or self.site.root / "deploy.yaml"
        if os.path.lexists(path) and not force:
            raise UsageError(
                f"{path_text(str(path))} is there already.",
                "To see a fresh one: gitdeploy init --print; to replace it: --force",
            )
        text = self.draft()
        self.site.make_state()
        write_durably(path, text.encode(), 0o644)
        return path, text

    def doctor(self, *, repair: bool = False, caller: Caller | None = None) -> list[Finding]:
        """Everything that an upgrade needs, looked at. `repair`: first what can be mended safely is."""
        from gitdeploy.upkeep import doctor

        mended: list[Finding] = []
        if repair:
            asked = caller or self._caller("doctor --repair")
            mended += doctor.mend_objects(self.site)
            if result := self.recover(caller=asked):
                mended.append(finding.Finding("state", "mended", result.sentence))
        return [*mended, *doctor.examine(self.site)]

    def boot_unit(self) -> BootUnit:
        """The systemd unit that recovers this app at boot, before it starts: what is written where, and `install`."""
        from gitdeploy.services.boot import boot_unit

        service = self.site.config.service
        return boot_unit(self.site.root, service.systemd, supervised=service.supervisor is not None)

    def is_running(self) -> bool:
        """Whether a deployment holds the lock now."""
        return DeploymentLock(self.site.state.lock).holder() is not None

    def prune(self, *, keep: int | None = None, dry_run: bool = False, caller: Caller | None = None) -> Pruned:
        """Drop backups and generations beyond `backup.keep`."""
        from gitdeploy.upkeep.prune import prune

        with open_session(self.site, caller or self._caller("prune"), held=False) as session:
            wanted = session.site.config.backup.keep if keep is None else keep
            return prune(session.site, keep=wanted, line=_quiet, dry_run=dry_run)

    def delete_backup(self, reference: str, *, caller: Caller | None = None) -> Backup:
        """Delete one backup; its venv generation goes with the next `prune`."""
        from gitdeploy.backups import store as backup_store

        with open_session(self.site, caller or self._caller("delete a backup"), held=False):
            backup = self.find_backup(reference)
            backup_store.remove(self.site.state.backups, backup.id, self.site.repository)
        return backup

    def label_backup(self, reference: str, label: str, *, caller: Caller | None = None) -> Backup:
        """Label a backup, which is then never pruned; an empty LABEL takes it away."""
        from gitdeploy.backups import store as backup_store

        with open_session(self.site, caller or self._caller("label a backup"), held=False):
            backup = replace(self.find_backup(reference), label=clean(label, limit=200))
            backup_store.write(self.site.state.backups, backup)
        return backup

    def hold(self, message: str = "", *, who: str | None = None) -> None:
        """Hold deployments until `release_hold`; WHO asks for it, where it isn't this process's user."""
        self.site.require_owner()
        with self._database() as database:
            database.meta_put(HOLD, json.dumps({"who": who or performer(), "since": now(), "message": message}))

    def release_hold(self) -> bool:
        """Let deployments go on; False where they were not held."""
        self.site.require_owner()
        with self._database() as database:
            held = database.meta_get(HOLD) is not None
            database.meta_put(HOLD, None)
        return held

    def run_hooks(self, stage: str, *, on_line: Callable[[str], None]) -> int:
        """Run the hooks of a stage now, outside any deployment. Returns how many ran."""
        from gitdeploy.deployment.flow.manual import run_hooks

        with open_session(self.site, self._caller(f"hooks run {stage}"), held=False) as session:
            return run_hooks(session, stage, on_line)

    def must_move_out(self) -> bool:
        """Whether restarting the app would end this very process: it runs inside the app's own service."""
        if not open_services(self.site.config.service, self.site.root):
            return False
        from gitdeploy.deployment.outside.launch import must_move_out

        return must_move_out(self.site)

    # ---- inside ----

    def _caller(self, command: str, listener: Listener = ignore) -> Caller:
        return Caller(performer(), f"gitdeploy {command}", listener=listener, request=request_id())

    @contextmanager
    def _database(self) -> Iterator[Database]:
        self.site.require_owner()
        with self.site.open_database() as database:
            yield database

    def _live(self, database: Database) -> CodeState:
        """What is live; from the cache where HEAD's file and the tags are as they were, so that a cached check needs
        no child process."""
        from gitdeploy.site.live_cache import live_release

        return live_release(self.site, database)


def release_state(release: Release, live: CodeState, prefix: str, contained: frozenset[str] = frozenset()) -> str:
    """live, newer, older or prerelease (of a newer one); `no version` for a tag that is none, `refused` for a name that
    no release may have. CONTAINED: ids of the tags that HEAD is made of, which are older whatever their number."""
    from gitdeploy.versions import read_version, valid_tag

    if valid_tag(release.tag) is not None:
        return "refused"
    if release.tag == live.tag or (release.commit and release.commit == live.commit and live.tag is None):
        return "live"
    version = read_version(release.tag, prefix)
    if version is None:
        return "no version"
    current = read_version(live.tag or live.version or "", prefix) or read_version(live.version or "")
    if current is not None and version <= current:
        return "older"
    if release.commit in contained or release.object_id in contained:
        return "older"
    return "prerelease" if release.prerelease or version.is_prerelease else "newer"


def row_as_dict(row: DeploymentRow) -> dict[str, Any]:
    """A deployment as `log --json` shows it."""
    return {
        "id": row.id,
        "action": row.action,
        "status": row.status,
        "performer": row.performer,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "duration": row.duration,
        "from": dict(row.origin),
        "to": dict(row.target),
        "backup": row.backup,
        "error": dict(row.error) if row.error else None,
        "steps": [dict(step) for step in row.steps],
    }


def _holder_as_dict(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {
        "who": holder.who,
        "pid": holder.pid,
        "host": holder.host,
        "command": holder.command,
        "since": holder.since,
    }


def _quiet(text: str) -> None:
    """Nobody listens."""
