"""App: the one facade that the command line, the page and scripts use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from msgspec.structs import replace

from gitdeploy import backups, upkeep
from gitdeploy.app.drafted import Drafted
from gitdeploy.app.looking import Looking
from gitdeploy.checkout.changes import Problem
from gitdeploy.deployment import flow, outside
from gitdeploy.deployment.flow.session import open_session
from gitdeploy.deployment.plan.options import Options
from gitdeploy.deployment.record.events import Line, Listener, ignore
from gitdeploy.deployment.record.work import Caller, Replaces, Result, Settling
from gitdeploy.errors import GitDeployError, LockedError, UsageError
from gitdeploy.messages import tr
from gitdeploy.site import policy, skipping, tags
from gitdeploy.site.caller import performer
from gitdeploy.site.pause import PAUSED, paused_sentence
from gitdeploy.site.site import Site
from gitdeploy.site.status import BackupRow
from gitdeploy.state.sqlite import now
from gitdeploy.system.durable import write_durably
from gitdeploy.text import clean, path_text
from gitdeploy.upkeep import finding

if TYPE_CHECKING:
    from gitdeploy.backups.store import Backup
    from gitdeploy.config.pins import Change
    from gitdeploy.deployment.flow.rehearse import Rehearsed
    from gitdeploy.deployment.flow.rollback import Asked
    from gitdeploy.deployment.flow.rollback import Choice as RollbackChoice
    from gitdeploy.deployment.outside.launch import Launched
    from gitdeploy.notify import Sent
    from gitdeploy.site.skipping import Skip
    from gitdeploy.upkeep.differing import Difference
    from gitdeploy.upkeep.drafting import Tried
    from gitdeploy.upkeep.finding import Finding
    from gitdeploy.upkeep.prune import Pruned


class App(Looking):
    """One app on this server. Every method raises `gitdeploy.errors.GitDeployError` for what can go wrong."""

    @classmethod
    def open(cls, folder: str | Path = ".", config_file: str | Path | None = None, *, recovering: bool = False) -> Self:
        """The app whose checkout FOLDER is in. RECOVERING: to call `recover`, which needs no valid deploy.yaml to put files and
        venv right."""
        return cls(Site.open(Path(folder), Path(config_file) if config_file else None, recovering=recovering))

    # ---- changing ----

    def launch(self, words: Sequence[str], *, performer: str, request: str) -> Launched:
        """Run the command `gitdeploy WORDS` (`["upgrade", "v1.2.9.1"]`) in a process that outlives this one and the restart
        of the app, and come back at once; what it returns follows that process, as does `deployment_of`.

        performer: who asked, as the log shows it. request: 32 hexadecimal digits of the caller's own.
        Raises `DeploymentFailed` where there is no way out of the app's service.
        """

        return outside.launch.launch(self.site, words, performer=performer, request=request)

    def upgrade(
        self,
        tag: str | None = None,
        options: Options | None = None,
        *,
        through: bool = False,
        on_event: Listener = ignore,
        caller: Caller | None = None,
    ) -> Result:
        """Upgrade to TAG, or to the newest release that the channel admits. THROUGH: by way of the releases that may not be
        skipped, each a whole deployment; without it such an upgrade is refused."""

        asked = caller or self._caller("upgrade", on_event)
        options = options or Options()
        replaces = Replaces.NOTHING  # whoever asks for no release by name doesn't give up what was interrupted
        if tag is not None and not asked.automatic:
            replaces = Replaces.FILES if options.local_changes == "discard" else Replaces.WHOLE
        with open_session(self.site, asked, replaces=replaces) as session:
            go = flow.through.upgrade_through if through else flow.upgrade.upgrade
            return go(session, tag, options)

    def upgrade_watched(self, tag: str, *, caller: Caller) -> Result | str:
        """Upgrade to TAG as `watch` does: after a rehearsal has passed, where `check.rehearse` wants one. A sentence where it
        waits instead."""

        return flow.watched.upgrade_watched(self.site, tag, caller)

    def contract(self, *, caller: Caller | None = None) -> Result:
        """Run the second half of the live release's migrations, where it waits. Raises `SecondHalfFailed` where that fails."""

        with open_session(self.site, caller or self._caller("contract")) as session:
            return flow.contract.contract(session)

    def prepare(
        self, tag: str | None = None, options: Options | None = None, *, caller: Caller | None = None
    ) -> Result:
        """Everything of an upgrade up to the switch."""

        with open_session(self.site, caller or self._caller("prepare")) as session:
            return flow.upgrade.prepare_upgrade(session, tag, options or Options())

    def rehearse(
        self,
        tag: str | None = None,
        options: Options | None = None,
        *,
        keep: bool = False,
        caller: Caller | None = None,
    ) -> Rehearsed:
        """Try the release TAG, or the newest one, on a copy of the app and of its data; nothing live is touched. KEEP: the app
        goes on in the copy until `close` of what is returned is called."""

        with open_session(self.site, caller or self._caller("rehearse")) as session:
            return flow.rehearse.rehearse(session, tag, options or Options(), keep=keep)

    def backup(self, *, label: str = "", caller: Caller | None = None) -> BackupRow:
        """Make a backup now."""

        with open_session(self.site, caller or self._caller("backup"), pausable=False) as session:
            made = flow.manual.make_backup(session, label)
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

        wanted = flow.rollback.named_now(self.site, reference)
        with open_session(self.site, caller or self._caller("restore"), replaces=Replaces.FILES) as session:
            return flow.rollback.restore_named(session, wanted, options or Options())

    def rollback_asked(self, version: str | None = None) -> Asked:
        """What `rollback` means now: to be decided before a question is asked, and before anything is waited for."""

        database = self.site.read_database()
        try:
            return flow.rollback.asked_now(database, version)
        finally:
            if database is not None:
                database.close()

    def rollback_choice(self, *, with_data: bool = False) -> RollbackChoice:
        """What `rollback` would bring back, and whether that goes forward again to a newer release."""

        with self._database() as database:
            return flow.rollback.choice(self.site, database, self._live(database), with_data=with_data)

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

        asked = asked or self.rollback_asked(version)
        # Without a version it is whatever recovery comes to that decides: it isn't given up for another step back.
        replaces = Replaces.NOTHING if asked.version is None else Replaces.FILES
        with open_session(self.site, caller or self._caller("rollback"), replaces=replaces) as session:
            return flow.rollback.rollback(session, asked, options or Options(), forward=forward)

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

        settling = Settling(hooks=hooks, restart=restart, health=health)
        self.site.require_owner()
        asked = replace(caller or self._caller("recover"), boot=boot, again=again, settling=settling)
        flow.damaged.move_aside_if_damaged(self.site, asked)
        with open_session(self.site, asked, pausable=False, goes_on=False) as session:
            return session.recovered

    def init(self, *, force: bool = False) -> Drafted:
        """Write a deploy.yaml drafted from the checkout, set up the state directory, and try what was written.

        Raises `UsageError` where there is one already, unless FORCE.
        """
        self.site.require_owner()
        path = self.site.config.file or self.site.root / "deploy.yaml"
        if os.path.lexists(path) and not force:
            raise UsageError(
                tr("{path} is there already.", path=path_text(str(path))),
                tr("To see a fresh one: gitdeploy init --print\nTo replace it: gitdeploy init --force"),
            )
        draft = self.draft()
        self.site.make_state()
        write_durably(path, draft.text.encode(), 0o644)
        fresh = App(self.site.read_again())
        tried = (*upkeep.drafting.tries(fresh.site), fresh._planned())
        asks = tuple(dict.fromkeys(line.key for line in draft.lines if not line.sure))
        return Drafted(path, draft, tried, asks, self._is_tracked(path))

    def _planned(self) -> Tried:
        """Whether an upgrade to the newest release could be planned with deploy.yaml as it is."""
        try:
            plan = self.plan(through=True)
        except GitDeployError as error:
            return upkeep.drafting.Tried("plan", False, error.message, error.hint)
        if plan is None:
            return upkeep.drafting.Tried("plan", True, tr("There is no newer release; what is live is the newest."))
        if plan.problems:
            first = plan.problems[0]
            return upkeep.drafting.Tried("plan", False, first.message, first.hint)
        return upkeep.drafting.Tried(
            "plan", True, tr("An upgrade to {target} can be planned.", target=plan.target.name)
        )

    def _is_tracked(self, path: Path) -> bool:
        relative = os.path.relpath(path, self.site.root)
        return (
            not relative.startswith("../")
            and self.site.repository.run("ls-files", "--error-unmatch", "--", relative).ok
        )

    def doctor(self, *, repair: bool = False, notify: bool = False, caller: Caller | None = None) -> list[Finding]:
        """Everything that an upgrade needs, looked at. `repair`: first what can be mended safely is. `notify`: each receiver
        of `notify` is sent a message."""
        self.site.require_owner()
        mended: list[Finding] = []
        if repair:
            asked = caller or self._caller("doctor --repair")
            mended += upkeep.doctor_git.mend_objects(self.site)
            if result := self.recover(caller=asked):
                mended.append(finding.Finding("state", "mended", result.sentence))
        found = list(upkeep.doctor.examine(self.site))
        notified = self._notified() if notify else []
        return [*mended, *found, *notified, *self._said_by_a_plan(found)]

    def try_notifications(self, event: str = "test") -> list[Sent]:
        """Send a test message to every receiver of `notify`, whatever it is told else. Raises `UsageError` without apprise."""
        from gitdeploy import notify

        self.site.require_owner()
        config = self.site.config
        server, link = notify.place_of(config)
        title = tr("{app}: test of the notifications", app=self.site.name)
        body = tr("This is a test: {app} on {server} can reach you.", app=self.site.name, server=server)
        message = notify.Message(event, self.site.name, title, body, server=server, link=link)
        return notify.send_all(config.notify, message, config.expand)

    def _notified(self) -> list[Finding]:
        """What doctor says of the notifications: each receiver was sent a message."""
        try:
            sent = self.try_notifications()
        except GitDeployError as error:
            return [finding.Finding("notify", "problem", error.message, error.hint)]
        if not sent:
            return [finding.Finding("notify", "warning", tr("Nobody is notified: `notify` in deploy.yaml is empty."))]
        return [
            finding.Finding("notify", "problem", each.problem, tr("Try again: gitdeploy notify test"))
            if each.problem
            else finding.Finding(
                "notify",
                "ok",
                tr("Notification {number} ({kind}) was sent a test message.", number=each.number, kind=each.kind),
            )
            for each in sent
        ]

    def _said_by_a_plan(self, found: Sequence[Finding]) -> list[Finding]:
        """What an upgrade to the newest release would be refused for, and is not FOUND yet: by the plan of one."""
        wrong = [finding.message for finding in found if finding.level == "problem"]
        asked = not any(finding.about == "source" and finding.level == "problem" for finding in found)
        try:
            problems = flow.dry_run.problems(self.site, ask=asked)
        except GitDeployError as error:
            problems = [Problem(error.message, error.hint)]
        return [
            finding.Finding("upgrade", "problem", problem.message, problem.hint)
            for problem in problems
            if not any(message in problem.message or problem.message in message for message in wrong)
        ]

    def prune(self, *, keep: int | None = None, dry_run: bool = False, caller: Caller | None = None) -> Pruned:
        """Drop backups and generations beyond `backup.keep`."""

        with open_session(self.site, caller or self._caller("prune"), pausable=False, encrypts=not dry_run) as session:
            wanted = session.site.config.backup.keep if keep is None else keep
            if not dry_run:
                upkeep.prune.forget_old(session.site, session.database)
            return upkeep.prune.prune(session.site, keep=wanted, line=_quiet, dry_run=dry_run)

    def delete_backup(self, reference: str, *, caller: Caller | None = None) -> Backup:
        """Delete one backup; its venv generation goes with the next `prune`."""

        with open_session(self.site, caller or self._caller(tr("delete a backup")), pausable=False):
            backup = self.find_backup(reference)
            backups.store.remove(self.site.state.backups, backup.id, self.site.repository)
        return backup

    def export_backup(self, reference: str, out: IO[bytes]) -> Backup:
        """Write a backup to OUT as one file, for another disk or server. Changes nothing here."""
        self.site.require_owner()
        backup = self.find_backup(reference)
        flow.restore.ensure_objects(self.site, backup)
        upkeep.carrying.export_backup(self.site, backup, out)
        return backup

    def import_backup(self, source: IO[bytes], *, other_app: bool = False, caller: Caller | None = None) -> Backup:
        """Take the backup in SOURCE, which `export_backup` wrote somewhere, among those of this app; `restore` brings it
        back. Raises `DeploymentFailed` for a file that isn't what it says, `UsageError` for another app's."""
        with open_session(self.site, caller or self._caller(tr("import a backup")), pausable=False) as session:
            listener = session.caller.listener
            return upkeep.carrying.import_backup(
                session.site, source, lambda text: listener(Line(text, "warning")), other_app=other_app
            )

    def backup_difference(self, reference: str) -> Difference:
        """What is otherwise now than in a backup, by name."""
        self.site.require_owner()
        backup = self.find_backup(reference)
        flow.restore.ensure_objects(self.site, backup)
        return upkeep.differing.difference(self.site, backup)

    def label_backup(self, reference: str, label: str, *, caller: Caller | None = None) -> Backup:
        """Label a backup, which is then never pruned; an empty LABEL takes it away."""

        with open_session(self.site, caller or self._caller(tr("label a backup")), pausable=False):
            backup = replace(self.find_backup(reference), label=clean(label, limit=200))
            backups.store.write(self.site.state.backups, backup)
        return backup

    def accept_config(self, keys: Sequence[str], release: str | None = None) -> list[Change]:
        """Pin what the files on this server say of KEYS now; with RELEASE, agree in advance to what that one changes of them,
        once it goes live. Returns the changes."""
        self.site.require_owner()
        if release is None:
            with self._database():
                return policy.accept_here(self.site, keys)
        plan = self.plan(release)
        if plan is None:
            return []
        return policy.accept_of_release(self.site, plan.after, release, keys)

    def pause(self, message: str = "", *, who: str | None = None, force: bool = False) -> None:
        """Pause deployments until `resume`; WHO asks for it, where it isn't this process's user. Raises `LockedError` where
        somebody else paused them already, unless FORCE."""
        self.site.require_owner()
        asking = who or performer()

        def put(found: str | None) -> str:
            if found is not None and not force and json.loads(found)["who"] != asking:
                raise LockedError(
                    paused_sentence(found),
                    tr("To put your pause in its place: add --force\nTo end it: gitdeploy unlock"),
                )
            return json.dumps({"who": asking, "since": now(), "message": message})

        with self._database() as database:
            database.meta_change(PAUSED, put)

    def resume(self) -> bool:
        """Resume deployments; False where they were not paused."""
        self.site.require_owner()
        with self._database() as database:
            paused = database.meta_get(PAUSED) is not None
            database.meta_put(PAUSED, None)
        return paused

    def skip(self, tag: str, reason: str = "", *, who: str | None = None) -> Skip:
        """Never install the release TAG automatically; WHO says so, where it isn't this process's user. Raises `UsageError`."""
        tags.check_tag(tag)
        self.site.require_owner()
        with self._database() as database:
            return skipping.skip(database, tag, reason=reason, by=who or performer())

    def unskip(self, tag: str) -> bool:
        """Lift the skip of the release TAG; False where there was none."""
        self.site.require_owner()
        with self._database() as database:
            return skipping.unskip(database, tag)

    def run_hooks(self, stage: str, *, on_line: Callable[[str], object]) -> int:
        """Run the hooks of a stage now, outside any deployment. Returns how many ran."""

        with open_session(self.site, self._caller(f"hooks run {stage}"), pausable=False) as session:
            return flow.manual.run_hooks(session, stage, on_line)


def _quiet(text: str) -> None:
    """Nobody listens."""
