"""A rehearsal, step by step: the copy, its data, the release in it, and the old release on what the new one has migrated."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.backups import copying
from gitdeploy.databases import Database, Dump, open_databases
from gitdeploy.databases.scratch import Scratch, scratch_of
from gitdeploy.deployment.live.dumps import dump_one
from gitdeploy.deployment.live.migrated import require_recorded_in
from gitdeploy.deployment.prepare.beside import Whole, can_share, moved, put_back, put_forward, unshared_size
from gitdeploy.deployment.prepare.check import STAGE as CHECK
from gitdeploy.deployment.prepare.check import check_copy
from gitdeploy.deployment.prepare.in_copy import InCopy, link_venv, make_copy
from gitdeploy.deployment.prepare.preparation import Preparation
from gitdeploy.deployment.record.journal import StepTime
from gitdeploy.deployment.rehearse import refusals
from gitdeploy.deployment.rehearse.environment import (
    LOOPBACK,
    Changed,
    Surroundings,
    change_env_file,
    changed_environment,
)
from gitdeploy.deployment.rehearse.grounds import Ground, ending
from gitdeploy.deployment.rehearse.locks import watched
from gitdeploy.deployment.rehearse.reach import is_read_along, servers_of, what_is_open, what_is_unread
from gitdeploy.deployment.rehearse.room import Disks
from gitdeploy.deployment.rehearse.serve import RehearsedApp, ask, held_port, started
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted
from gitdeploy.hooks.running import MIGRATE_AFTER
from gitdeploy.messages import tr, without_stop
from gitdeploy.site.app_environment import app_environment, hook_caller
from gitdeploy.site.blame import fault_of
from gitdeploy.site.keeping import database_files
from gitdeploy.site.rehearsals import Data, Rehearsal, settings_digest
from gitdeploy.system.isolation import Isolation, found_out
from gitdeploy.system.memory import share_of_memory
from gitdeploy.text import listing, size_text
from gitdeploy.venvs.generations import disk_usage


class Run(Struct):
    """One rehearsal. What it comes to is gathered while it goes."""

    preparation: Preparation
    ground: Ground
    live: tuple[Database, ...]
    scratches: tuple[Scratch, ...]
    held: socket.socket = field(default_factory=held_port)
    port: int = 0  # that of `held`, at which the app is started
    begun: float = field(default_factory=time.monotonic)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    step: str = ""
    isolation: Isolation | None = None
    environment: Changed | None = None
    schema: Mapping[str, str] = field(default_factory=dict)
    before: list[tuple[Mapping[str, int], int]] = field(default_factory=list)
    after: list[tuple[Mapping[str, int], int]] = field(default_factory=list)
    migration: float | None = None
    second_half: float | None = None
    health: str = ""
    back: tuple[str, str] = ("not_tried", "")
    locks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    disk: int = 0

    def __post_init__(self) -> None:
        self.port = int(self.held.getsockname()[1])

    @classmethod
    def of(cls, preparation: Preparation, ground: Ground) -> Run:
        site = preparation.work.site
        live = open_databases(site.config.backup.databases, site.root, app_environment(site))
        end = ending(ground.deployment)
        scratches = tuple(scratch_of(each, end, ground.folder, site.root, ground.copy) for each in live)
        return cls(preparation, ground, live, scratches)

    @property
    def pairs(self) -> list[tuple[Database, Scratch]]:
        """Each live database with its scratch one."""
        return list(zip(self.live, self.scratches, strict=True))

    def require_possible(self) -> None:
        """Raises `PolicyError` where it can't be made without reaching the live data."""
        refusals.require_possible(self.ground, self.pairs, self._surroundings(LOOPBACK))

    def disks(self) -> Disks:
        """Those that it writes to, before anything of it is made."""
        site = self.preparation.work.site
        tracked = [os.fsdecode(path) for path, _ in self.preparation.plan.local.tracked]
        paths = [*tracked, *self._wanted()]
        copied = unshared_size(site.root) if self._shared() else copying.content_size(site.root, paths)
        return Disks.of(self.ground, self.pairs, copied)

    def _shared(self) -> bool:
        return can_share(self.ground.folder)

    def _wanted(self) -> list[str]:
        """Paths that are copied however large they are."""
        site = self.preparation.work.site
        return copying.matching_paths(site.root, (*site.config.git.keep, *site.config.backup.include))

    # ---- the copy and its data ----

    def make(self) -> None:
        """The copy of the checkout with the release's files, and scratch databases of fresh dumps."""
        work = self.preparation.work
        with self._step("copy") as shown:
            leave = database_files(self.live, work.site.root)
            if work.site.venv_link is not None:
                leave |= {work.site.venv_link}  # it has a link to the generation in its place
            whole = Whole(self._wanted(), leave, self._shared())
            obstacle = make_copy(self.preparation, self.ground.copy, new=True, whole=whole)
            if obstacle is not None:
                raise DeploymentFailed(tr("The app can't be copied: {obstacle}.", obstacle=obstacle))
            self.disk = disk_usage([self.ground.copy]).whole
            shown.summary = size_text(self.disk) + (tr(", blocks shared") if whole.shared else "")
            if whole.left_out:
                left_out = listing(sorted(whole.left_out), 5)
                work.journal.line(
                    tr(
                        "Not in the copy, as neither git.keep nor backup.include names it: {left_out}.",
                        left_out=left_out,
                    )
                )
            self._keep_apart()
        if self.live:
            with self._step("dump") as shown:
                backups = work.site.state.backups
                dumps = [dump_one(database, self.ground.dumps, work.journal, backups) for database in self.live]
                self.schema = {dump.name: dump.fingerprint for dump in dumps}
                self.disk += sum(dump.size for dump in dumps)
                shown.summary = listing([database.name for database in self.live], 3)
            with self._step("scratch") as shown:
                self._fill(dumps)
                names = [live.name if refusals.is_file(scratch) else scratch.bare for live, scratch in self.pairs]
                shown.summary = tr(
                    "{names}: {size}", names=listing(names, 3), size=size_text(sum(size for _, size in self.before))
                )

    def _fill(self, dumps: Sequence[Dump]) -> None:
        work = self.preparation.work
        for scratch, dump in zip(self.scratches, dumps, strict=True):
            work.journal.progress("scratch", tr("restoring {name}", name=dump.name))
            self.ground.will_make(scratch)
            scratch.make(self.ground.dumps, dump, work.journal.output)
            self.before.append((scratch.database.rows(), scratch.database.size()))
            self.disk += self.before[-1][1]
        shutil.rmtree(self.ground.dumps)  # what has been restored needs no second copy of the data

    def _keep_apart(self) -> None:
        """Find out how far what runs in the copy can be kept from everything else, and change the app's environment."""
        journal, site = self.preparation.work.journal, self.preparation.work.site
        files = [file for live, scratch in self.pairs if refusals.is_file(scratch) for file in live.files()]
        self.isolation = found_out(site.root, self.ground.folder, servers_of(self.pairs), files)
        for sentence in filter(None, (what_is_open(self.isolation), what_is_unread(self.pairs))):
            journal.line(sentence, "warning")
        open_ = [pair for pair in self.pairs if not (self.isolation.mounts and is_read_along(pair[1]))]
        refusals.refuse_live_names(self.ground, open_, self.preparation.plan.before, self.preparation.plan.after)
        self._change_environment(self.preparation.plan.target.version)
        if self.environment is not None and self.environment.withheld:
            journal.line(
                tr(
                    "Withheld, as they look like credentials of other services: {names}.",
                    names=listing(list(self.environment.withheld), 8),
                )
            )

    def _change_environment(self, version: str | None) -> None:
        assert self.isolation is not None
        site = self.preparation.work.site
        around = self._surroundings(LOOPBACK if self.isolation.network else None)
        self.environment = changed_environment(around, hook_caller(site), version)
        if site.config.env_file:
            change_env_file(around, self.ground.copy / site.config.env_file)

    def _surroundings(self, host: str | None) -> Surroundings:
        site = self.preparation.work.site
        return Surroundings(
            site.root, self.ground.copy, self.scratches, site.config.rehearse, site.name, host, self.port
        )

    def run_waiting_half(self) -> None:
        """The second half of the live release's migrations, by its own code, as the upgrade runs it first. Raises what fails it."""
        assert self.preparation.manifest is not None
        site, plan = self.preparation.work.site, self.preparation.plan
        with self._step("contract") as shown:
            put_back(site.root, self.ground.copy, self.preparation.manifest.items)
            link_venv(self.preparation, self.ground.copy, new=False)
            self._change_environment(plan.origin.version)
            own = replace(self.preparation, plan=replace(plan, target=plan.origin, after=plan.before))
            shown.summary = listing(replace(self._there(), preparation=own).run_stage(plan.before, MIGRATE_AFTER), 3)
        self._put_forward()

    # ---- the release in it ----

    def _there(self) -> InCopy:
        assert self.environment is not None
        assert self.isolation is not None
        return InCopy(
            self.preparation,
            self.ground.copy,
            self.environment.values,
            self.isolation.words,
            share_of_memory(),
            rehearsal=1,
        )

    def try_release(self) -> None:
        """Check, build, migrate. Raises what fails it."""
        plan, there = self.preparation.plan, self._there()
        if plan.loads or plan.hooks.get(CHECK):
            with self._step(CHECK) as shown:
                shown.summary = check_copy(there, self.ground.folder / "live")
        for stage in ("build", "migrate"):
            if stage not in plan.hooks:
                continue
            with self._step(stage) as shown, watched(self.scratches if stage == "migrate" else ()) as locks:
                begun = time.monotonic()
                shown.summary = listing(there.run_stage(plan.after, stage), 3)
                if stage == "migrate":
                    self.migration = time.monotonic() - begun
                    self._look_where_it_went(first_half=plan.halves)
                    self.locks = locks.sentences()
        self.after = [(scratch.database.rows(), scratch.database.size()) for scratch in self.scratches]
        self._tell_growth()

    def _look_where_it_went(self, *, first_half: bool) -> None:
        """The migrations are recorded in the scratch databases, and the live schema is what it was. FIRST_HALF: those of the
        second have not run."""
        work, plan = self.preparation.work, self.preparation.plan
        changed = [each.name for each in self.live if each.fingerprint() != self.schema.get(each.name)]
        if changed:
            raise DeploymentFailed(
                tr(
                    "The schema of the live database {names} changed while the release was rehearsed.",
                    names=listing(changed, 3),
                ),
                tr(
                    "If nobody else migrated it, the migrate hooks did: let them read its name or URL from a variable of the app's "
                    "environment before you rehearse again."
                ),
            )
        databases = [scratch.database for scratch in self.scratches]
        commits = (plan.origin.commit, plan.target.commit)
        listed = plan.after.hooks.contract_migrations if first_half else None
        require_recorded_in(work.journal, work.site.repository, *commits, databases, listed)

    def _tell_growth(self) -> None:
        for lock in self.locks:
            self.preparation.work.journal.line(tr("{lock}.", lock=lock))
        for database, (rows, size), (rows_now, size_now) in zip(self.live, self.before, self.after, strict=True):
            differing = [
                f"{table} {rows.get(table, 0)} -> {rows_now.get(table, 0)}"
                for table in sorted({*rows, *rows_now})
                if rows.get(table, 0) != rows_now.get(table, 0)
            ]
            told = tr("; rows: {rows}", rows=listing(differing, 5)) if differing else ""
            self.preparation.work.journal.line(
                tr(
                    "{name} in the copy: {before} -> {after}{told}",
                    name=database.name,
                    before=size_text(size),
                    after=size_text(size_now),
                    told=told,
                )
            )

    @contextmanager
    def serve(self) -> Iterator[RehearsedApp]:
        """The app as it is in the copy, started. Raises `CommandFailed`."""
        assert self.isolation is not None
        site = self.preparation.work.site
        assert site.config.rehearse.command is not None
        command = moved(site.config.rehearse.command, site.root, self.ground.copy)
        if not self.isolation.network:
            self.held.close()  # the app itself listens there, and may not share it
        with started(self._there(), command, self.isolation, self.port, tr("the rehearsed app")) as app:
            yield app

    def ask_health(self) -> None:
        """Start the release, where `rehearse.command` says how, and wait until it is healthy. Raises `HealthFailed`."""
        plan, journal = self.preparation.plan, self.preparation.work.journal
        with self._step("health") as shown:
            if self.preparation.work.site.config.rehearse.command is None:
                shown.status, shown.summary = "skipped", tr("no command starts the app (rehearse.command)")
                return
            if plan.after.health.command:
                journal.line(tr("health.command is not run in a rehearsal: it may ask the live app."))
            with self.serve() as app:
                self.health = ask(app, self._there(), plan.after.health, plan.target.version, self.port)
                self.warnings = app.warnings()
            for warning in self.warnings:
                journal.line(tr("The app warned: {warning}", warning=warning), "warning")
            shown.summary = self.health

    # ---- the old release on the new data ----

    def try_back(self) -> None:
        """Put the old code back in the copy, as a rollback without the data would, and ask its health. Never fails the
        rehearsal."""
        site, plan = self.preparation.work.site, self.preparation.plan
        why = ""
        if not self.live:
            why = tr("no database is configured")
        elif not self.health:
            why = tr("no command starts the app")
        if why:
            self.back = ("not_tried", why)
            return
        assert self.preparation.manifest is not None
        with self._step("old-release") as shown:
            try:
                put_back(site.root, self.ground.copy, self.preparation.manifest.items)
                link_venv(self.preparation, self.ground.copy, new=False)
                self._change_environment(plan.origin.version)
                if plan.options.hooks:
                    self._there().run_stage(plan.before, "build")
                with self.serve() as app:
                    ask(app, self._there(), plan.before.health, plan.origin.version, self.port)
            except Interrupted:
                raise
            except OSError as error:
                self.back = ("not_tried", error.strerror or str(error))
                shown.status, shown.summary = "skipped", self.back[1]
                return
            except GitDeployError as error:
                if fault_of("health", error, of_release=True) == "release":
                    self.back = ("fails", error.message)
                    shown.summary = tr("fails: {reason}", reason=error.message)
                else:
                    self.back = ("not_tried", without_stop(error.message))
                    shown.status, shown.summary = "skipped", error.message
                for detail in error.details:
                    self.preparation.work.journal.line(tr("    {detail}", detail=detail))
                return
            self.back = ("works", "")
            shown.summary = tr("works: a rollback needs no data")

    def try_second_half(self) -> None:
        """The second half of the migrations, which comes once the release is final; then its health once more. Raises what
        fails it."""
        plan = self.preparation.plan
        if not plan.halves:
            return
        self._put_forward()
        with self._step(MIGRATE_AFTER) as shown:
            begun = time.monotonic()
            shown.summary = listing(self._there().run_stage(plan.after, MIGRATE_AFTER), 3)
            self.second_half = time.monotonic() - begun
            self._look_where_it_went(first_half=False)
            if self.health:
                with self.serve() as app:
                    ask(app, self._there(), plan.after.health, plan.target.version, self.port)
        self.after = [(scratch.database.rows(), scratch.database.size()) for scratch in self.scratches]

    def _put_forward(self) -> None:
        """The release is in the copy again, after the old one."""
        assert self.preparation.manifest is not None
        put_forward(self.preparation.work.site.root, self.ground.copy, self.preparation.manifest.items)
        link_venv(self.preparation, self.ground.copy, new=True)
        self._change_environment(self.preparation.plan.target.version)

    def serve_again(self, made: ExitStack) -> RehearsedApp:
        """The release in the copy again, started until MADE ends."""
        self._put_forward()
        with self._step("health") as shown:
            app = made.enter_context(self.serve())
            plan = self.preparation.plan
            shown.summary = ask(app, self._there(), plan.after.health, plan.target.version, self.port)
        return app

    # ---- what it came to ----

    def result(self, error: GitDeployError | None = None) -> Rehearsal:
        """What is kept of it."""
        plan, work = self.preparation.plan, self.preparation.work
        after = self.after or self.before
        return Rehearsal(
            tag=plan.target.tag or "",
            commit=plan.target.commit,
            deployment=work.id,
            at=self.at,
            duration=round(time.monotonic() - self.begun, 3),
            step=self.step if error is not None else "",
            reason=error.message if error is not None else "",
            migration=round(self.migration, 3) if self.migration is not None else None,
            second_half=round(self.second_half, 3) if self.second_half is not None else None,
            health=self.health,
            back=self.back[0],  # type: ignore[arg-type]
            back_reason=self.back[1],
            databases=tuple(
                Data(database.name, rows, rows_now, size, size_now)
                for database, (rows, size), (rows_now, size_now) in zip(self.live, self.before, after, strict=False)
            ),
            locks=tuple(self.locks),
            warnings=tuple(self.warnings),
            withheld=self.environment.withheld if self.environment is not None else (),
            apart=self.isolation is not None
            and self.isolation.network
            and self.isolation.mounts
            and all(is_read_along(scratch) for scratch in self.scratches),
            disk=self.disk,
            planned_disk=plan.disk_needed,
            config=settings_digest(plan.before, plan.after),
            schema=self.schema,
            origin=plan.origin.commit,
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[StepTime]:
        self.step = name
        with self.preparation.work.journal.step(name) as shown:
            yield shown
