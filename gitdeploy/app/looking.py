"""What can be asked of an app: nothing here changes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from gitdeploy import backups, health, hooks, services, upkeep
from gitdeploy.app.opened import Opened
from gitdeploy.app.requested import Requested, requested
from gitdeploy.checkout import objects
from gitdeploy.checkout.local import read_local
from gitdeploy.deployment import flow, outside
from gitdeploy.deployment import plan as planning
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.replaced import Kept, kept_of
from gitdeploy.errors import NotFound, UsageError
from gitdeploy.messages import tr
from gitdeploy.site import rehearsals, remotes, tags, whose
from gitdeploy.site.interrupted import read_interruption
from gitdeploy.site.journey import read_journey
from gitdeploy.site.pause import PAUSED, paused_sentence
from gitdeploy.site.second_half import read_waiting
from gitdeploy.site.skipping import Skip, Skips
from gitdeploy.site.status import BackupRow, Checkout, GoingOn, Status, release_state
from gitdeploy.state import BadRelease, Database, DeploymentLock, DeploymentRow
from gitdeploy.state.rows import how_far
from gitdeploy.text import path_text
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from datetime import datetime

    from gitdeploy.backups.store import Backup
    from gitdeploy.checkout.changes import Problem
    from gitdeploy.checkout.objects import Objects
    from gitdeploy.deployment.plan.data_moves import Move
    from gitdeploy.deployment.plan.make import Plan
    from gitdeploy.hooks.running import Hook
    from gitdeploy.services.boot import BootUnit
    from gitdeploy.site.interrupted import Interruption
    from gitdeploy.site.rehearsals import Known
    from gitdeploy.sources import CheckResult, Release
    from gitdeploy.upkeep.drafting import Draft
    from gitdeploy.upkeep.watch import Look
    from gitdeploy.venvs import Usage


class Looking(Opened):
    """The questions. Each raises `gitdeploy.errors.GitDeployError` for what can go wrong."""

    @cached_property
    def repo(self) -> Objects:
        """The checkout's repository as a `git.Repo` of GitPython's, read by gitdeploy's own git, for scripts and hooks; not for
        several threads at once. Raises `ConfigError` for one with SHA-256 ids."""
        return objects.Objects(self.site.repository)

    def status(self) -> Status:
        """What is live, and what is going on. Changes nothing; a bounded number of git calls. For somebody else than the
        checkout's owner, what its files say without a child process (`limited`)."""
        site = self.site
        if site.refusal is not None:
            return whose.limited_status(site.name, site.repository, site.refusal)
        seen = self.checkout()
        local, live, venv = seen.local, seen.live, seen.venv
        database = site.read_database()
        last = paused = interruption = journey = waiting = None
        found: CheckResult | None = None
        skips: list[Skip] = []
        holder = DeploymentLock(site.state.lock).holder()
        if database is not None:
            with database:
                last = database.last_ended()
                if holder is None:
                    interruption = read_interruption(database)
                text = database.meta_get(PAUSED)
                paused = json.loads(text) if text else None
                found = self._last_check(database, live)
                skips = Skips.read(database, site.config.source.tag_prefix).all()
                journey = read_journey(database)
                waiting = read_waiting(database, live)
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
            paused,
            found.checked_at if found else None,
            interruption,
            skips,
            journey,
            waiting,
        )

    def checkout(self) -> Checkout:
        """What stands on disk: two git commands, a look at the venv."""
        local = read_local(self.site.repository)
        return Checkout(local, self.site.release_at(local.head), self.site.live_venv())

    def check(self, *, force: bool = False) -> CheckResult:
        """Is there a newer release? From the cache within `check.interval`, unless FORCE."""

        with self._database() as database:
            return upkeep.updates.check(self.site, database, self._live(database), force=force)

    def look(self, *, moment: datetime | None = None) -> Look:
        """Ask the source, tell people once about a new release, and say which may be installed now by itself."""

        with self._database() as database:
            return upkeep.watch.look(self.site, database, self._live(database), moment=moment)

    def live(self) -> CodeState:
        """What is live; no child process where nothing changed since the last look."""
        with self._database() as database:
            return self._live(database)

    def going_on(self) -> GoingOn:
        """Whether a deployment runs, or they are paused. Starts no process."""
        paused = None
        database = self.site.read_database()
        if database is not None:
            with database:
                paused = database.meta_get(PAUSED)
        return GoingOn(DeploymentLock(self.site.state.lock).holder(), paused_sentence(paused) if paused else None)

    def last_check(self) -> CheckResult | None:
        """What the last `check` found, beside what is live now. Asks nobody; None where nothing was ever found."""

        with self._database() as database:
            return upkeep.updates.last_check(self.site, database, self._live(database))

    def _last_check(self, database: Database, live: CodeState) -> CheckResult | None:
        """The last answer where there is one, whose age is told; None without loading anything where there is none."""
        if database.meta_get("last_check") is None:
            return None

        return upkeep.updates.last_check(self.site, database, live)

    def bad_releases(self) -> dict[str, BadRelease]:
        """Commit -> why and when: releases that were rolled back here and are not installed again by themselves."""
        database = self.site.read_database()
        if database is None:
            return {}
        with database:
            return database.bad_releases()

    def rehearsal(self, commit: str | None) -> Known | None:
        """What the last rehearsal of the release of COMMIT came to; whether it still tells something is asked by `plan`."""
        database = self.site.read_database() if commit else None
        if database is None:
            return None
        with database:
            return rehearsals.known(database, commit or "")

    def skips(self) -> Skips:
        """The releases that are not installed by themselves because a person said so."""
        database = self.site.read_database()
        prefix = self.site.config.source.tag_prefix
        if database is None:
            return Skips({}, prefix)
        with database:
            return Skips.read(database, prefix)

    def service_names(self) -> list[str]:
        """What is restarted: `otrs-web.service`. Empty where nothing is configured."""
        return [service.name for service in services.open_services(self.site.config.service, self.site.root)]

    def units_found(self) -> list[str]:
        """systemd units that run from this checkout, whether they are configured or not."""
        return services.discover(self.site.root, self.site.venv_link)

    def health(self) -> str | None:
        """Ask the services and the health check one time; None where all is well, else a sentence."""
        for service in services.open_services(self.site.config.service, self.site.root):
            if bad := service.is_up():
                return bad
        environment = None
        if self.site.config.health.command:
            from gitdeploy.site.app_environment import check_environment

            environment = check_environment(self.site, self.site.config)
        return health.check_once(self.site.config.health, root=self.site.root, environment=environment)

    def releases(
        self,
        *,
        limit: int | None = 10,
        everything: bool = False,
        on_warning: Callable[[str], object] | None = None,
    ) -> list[tuple[Release, str]]:
        """(release, state) newest first; state: live, newer, older, prerelease, `no version` or `refused` (a name that no
        release may have). `on_warning` is told in a sentence where the list isn't whole, or another source answered."""

        with self._database() as database:
            live = self._live(database)
            found, warnings = upkeep.updates.catalogue(self.site, database).releases(limit=limit, all=everything)
            contained = remotes.checkout_git(self.site).contained() if found else frozenset()
            found = upkeep.updates.with_commits(self.site, database, found)
        if on_warning is not None:
            for warning in warnings:
                on_warning(warning)
        prefix = self.site.config.source.tag_prefix
        return [(release, release_state(release, live, prefix, contained)) for release in found]

    def release(self, tag: str) -> tuple[Release, str]:
        """One release, whole."""

        tags.check_tag(tag)
        with self._database() as database:
            live = self._live(database)
            (found,) = upkeep.updates.with_commits(
                self.site, database, [upkeep.updates.catalogue(self.site, database).release(tag)]
            )
            contained = remotes.checkout_git(self.site).contained()
        return found, release_state(found, live, self.site.config.source.tag_prefix, contained)

    def plan(self, tag: str | None = None, options: Options | None = None, *, through: bool = False) -> Plan | None:
        """What `upgrade` would do; None where there is nothing newer. Fetches the release's objects, changes nothing.
        THROUGH: of several deployments the first, with all of them in `hops`."""

        look = flow.dry_run.look_through if through else flow.dry_run.look
        return look(self.site, tag, options or Options())

    def plan_restore(self, backup: Backup, options: Options | None = None) -> Plan:
        """What `restore` would do."""

        flow.restore.ensure_objects(self.site, backup)
        database = self.site.read_database()
        try:
            return flow.restore.plan_restore(self.site, database, backup, options or Options())
        finally:
            if database is not None:
                database.close()

    def data_moves(self, backup: Backup) -> tuple[tuple[Move, ...], tuple[Problem, ...], tuple[str, ...]]:
        """What `restore --with-data` would replace, what speaks against it, what else there is to say."""
        return planning.data_moves.data_moves(self.site, backup)

    def backups(self) -> list[BackupRow]:
        """All backups, newest first."""

        found = self.site.backups()
        sizes = self.backup_sizes(found)
        store = self.site.state.backups
        return [
            BackupRow(
                backup,
                size.freed,
                backups.store.outcome(store, backup.id),
                size.whole,
                bool(backups.encrypted.parts(store / backup.id)),
            )
            for backup in found
            for size in (sizes[backup.id],)
        ]

    def backup_sizes(self, found: Sequence[Backup]) -> dict[str, Usage]:
        """Backup id -> bytes that it takes, and that deleting it would free. Walks through their folders."""

        return upkeep.sizes.backup_sizes(self.site, found)

    def backups_usage(self) -> Usage:
        """Bytes that all backups take together, and that deleting them all would free. Walks through their folders."""

        return upkeep.sizes.all_backups(self.site, self.site.backups())

    def find_backup(self, reference: str) -> Backup:
        """By id, unique prefix, ref, or `latest`."""
        self.site.require_reader()
        return backups.store.find(self.site.state.backups, reference)

    def backup_for_rollback(self, version: str | None = None, *, with_data: bool = False) -> Backup:
        """What `rollback` would restore; WITH_DATA: one whose data are of the release whose code it holds."""

        database = self.site.read_database()
        try:
            return flow.restore.last_good(self.site, database, version, with_data=with_data)
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
        raise NotFound(
            tr("There is no deployment {deployment}.", deployment=deployment), tr("`gitdeploy log` lists them.")
        )

    def how_far(self, deployment: int) -> str:
        """How far the long work of a running deployment has come, as a sentence; empty where none goes on."""
        database = self.site.read_database()
        if database is None:
            return ""
        with database:
            return how_far(database.steps(deployment))

    def replaced(self, deployment: int) -> list[Kept]:
        """Databases and paths that a deployment replaced: what was written meanwhile, and where the copy is."""
        database = self.site.read_database()
        if database is None:
            return []
        with database:
            return kept_of(database.records(deployment))

    def interrupted(self) -> Interruption | None:
        """The deployment whose process died before its end; None where there is none, or one runs."""
        database = self.site.read_database()
        if database is None or self.is_running():
            return None
        with database:
            return read_interruption(database)

    def requested(self, request: str) -> Requested:
        """The run that was started with GITDEPLOY_REQUEST=REQUEST: what it does, or how it ended."""
        self.site.require_owner()
        if not re.fullmatch(r"[0-9a-f]{32}", request):
            raise UsageError(tr("A request is 32 hexadecimal digits."))
        return requested(self.site, request)

    def deployment_of(self, request: str) -> int | None:
        """The deployment that `launch` with this REQUEST began; None where it has begun none yet."""
        database = self.site.read_database()
        if database is None:
            return None
        with database:
            return database.requested(request)

    def hooks(self) -> list[Hook]:
        """Every hook that would run, in order of the stages."""
        return [
            hook
            for stage in hooks.running.STAGES
            for hook in hooks.running.find_hooks(self.site.root, self.site.config.hooks, stage)
        ]

    def is_running(self) -> bool:
        """Whether a deployment holds the lock now."""
        return DeploymentLock(self.site.state.lock).holder() is not None

    def boot_unit(self) -> BootUnit:
        """The systemd unit that recovers this app at boot, before it starts: what is written where, and `install`."""
        service = self.site.config.service
        return services.boot_unit(self.site.root, service.systemd, supervised=service.supervisor is not None)

    def draft(self) -> Draft:
        """The deploy.yaml that `init` would write. Executes nothing of the app's; asks its own address, where one is found."""

        return upkeep.drafting.draft(self.site)

    def must_move_out(self) -> bool:
        """Whether restarting the app would end this very process: it runs inside the app's own service."""
        if not services.open_services(self.site.config.service, self.site.root):
            return False

        return outside.launch.must_move_out(self.site)
