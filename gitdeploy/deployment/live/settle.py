"""After an undo: data, build hooks, service and health of the old release, so that nobody has to guess what runs.

Files and venv are whole by then, so it is today's deploy.yaml that says how: where the mistake is in that file, mending
it is the way out. Everything here may be repeated by a later process: it is run again whole where it was interrupted.
"""

from __future__ import annotations

import shlex
import time

from msgspec import Struct, field

from gitdeploy import venvs
from gitdeploy.backups import store
from gitdeploy.checkout import switch
from gitdeploy.config import FILE_NAME, Config
from gitdeploy.deployment.live import data_back
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.maintenance import end_maintenance
from gitdeploy.deployment.live.steps import check_health, checks_health, effects_of, run_stage
from gitdeploy.deployment.record.engine import Effect, as_expected
from gitdeploy.deployment.record.replaced import closing
from gitdeploy.deployment.record.tell import notify
from gitdeploy.deployment.record.work import Result, Work
from gitdeploy.errors import ConfigError, GitDeployError, RollbackFailed
from gitdeploy.messages import joined, said, tr
from gitdeploy.services import open_services
from gitdeploy.site.memory import cause_sentence, remember_bad
from gitdeploy.site.site import Site
from gitdeploy.system.durable import sync_directory, sync_file_system
from gitdeploy.text import clean, listing, path_text
from gitdeploy.upkeep.prune import held_generations
from gitdeploy.venvs.seal import read_facts
from gitdeploy.versions import CodeState

# The way out of each part that can fail: what to look at, and the command that does without it.
WAYS_OUT = {
    "config": (tr("Correct it, then: gitdeploy recover"), "gitdeploy recover --no-hooks --no-restart"),
    "build": (
        tr("Fix the hook, or hooks.build in deploy.yaml, then: gitdeploy recover"),
        "gitdeploy recover --no-hooks",
    ),
    "restart": (
        tr("Fix the service, or service in deploy.yaml, then: gitdeploy recover"),
        "gitdeploy recover --no-restart",
    ),
    "health": (tr("Fix the app, or health in deploy.yaml, then: gitdeploy recover"), "gitdeploy recover --no-health"),
}


DATA_AS_THEY_ARE = tr(
    "To leave the data as they are: backup: {{restore_data: never}} in deploy.yaml, then: gitdeploy recover"
)


class Settled(Struct, frozen=True):
    """How a roll-back ended, one thing a line: what failed where and why, what runs now, what became of the data."""

    lines: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return joined(" ", self.lines)


class SettlingFailed(RollbackFailed):
    """Files and venv are the old release's, and PART of what remains failed; `wanted` is why it was undone."""

    def __init__(self, part: str, wanted: str, origin: CodeState, error: GitDeployError, number: int) -> None:
        if part == "data":
            mended, without = error.hint or tr("Fix that, then: gitdeploy recover"), ""
        else:
            mended, without = WAYS_OUT[part]
        ways = (
            mended,
            tr("Without it: {without}", without=without) if without else DATA_AS_THEY_ARE,
            tr("Whole log: gitdeploy log {number}", number=number),
        )
        super().__init__(
            tr(
                "{wanted} Files and venv are those of {origin} again, but {what}: {message}",
                wanted=wanted,
                origin=origin.name,
                what=_WHAT[part],
                message=error.message,
            ),
            joined("\n", ways),
            details=error.details,
        )
        self.part, self.wanted, self.why = part, wanted, error.message


_WHAT = {
    "config": tr("how to go on can't be read"),
    "data": tr("its data are not back"),
    "build": tr("its build hooks fail"),
    "restart": tr("it does not run"),
    "health": tr("it does not run"),
}


class _Failed(Exception):
    def __init__(self, part: str, cause: GitDeployError) -> None:
        super().__init__(cause.message)
        self.part, self.cause = part, cause


class _Part(Struct):
    """`with _Part(name):` what fails inside is the failure of that part."""

    name: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, GitDeployError | OSError):
            raise _Failed(self.name, as_expected(error)) from error


def settle(work: Work, live: Live, step: str, cause: GitDeployError) -> Settled:
    """Bring the old release back to work as today's deploy.yaml has it, and say so. Raises `SettlingFailed` where it doesn't
    answer."""
    records = work.database.records(work.id)
    began = {record.step for record in records if record.kind == "begin"}
    origin, recorded = live.record.origin, live.before
    wanted = tr(
        "Wanted {target}, {cause_sentence}", target=live.record.target.name, cause_sentence=cause_sentence(step, cause)
    )
    settling = _Settling(work, live, began)
    try:
        settling.run()
    except _Failed as failed:
        work.journal.write("unsettled", failed.part, said(failed.cause.message, "error"))
        error = SettlingFailed(failed.part, wanted, origin, failed.cause, work.id)
        _tell_failure(
            work,
            live,
            "failed",
            tr("{wanted} Undone, but: {cause_message}", wanted=wanted, cause_message=failed.cause.message),
        )
        raise error from failed.cause
    end_maintenance(work.site, recorded, records, undone=True)
    _remember_bad(work, live, step, cause, wanted)
    settled = Settled((wanted, settling.runs(), *settling.notes))
    _tell_failure(work, live, "rolled_back", settled.sentence)
    sync_file_system(work.site.root)  # data and what the hooks wrote, before the way back to them is forgotten
    forget(work, live)
    return settled


def _remember_bad(work: Work, live: Live, step: str, cause: GitDeployError, reason: str) -> None:
    of_release = Effect.RELEASE in effects_of(live, [step])
    remember_bad(work, live.record.action, step, cause, reason, of_release=of_release, before=live.record.unhealthy)


class _Settling(Struct):
    """One run of it; `notes` are sentences for whoever reads how it ended."""

    work: Work
    live: Live
    began: set[str]
    notes: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    health: str = ""
    asked: bool = False  # the app's health, in this run
    data_whole: bool = True  # nothing of the data may be otherwise than before and be left so

    def run(self) -> None:
        work, live = self.work, self.live
        asked = work.session.caller.settling
        with _Part("config"):
            self._read_config()
        left = self._data(halves="migrate" in self.began and self._will_ask())
        self._note(_installed_meanwhile(live))
        hooks_failed: _Failed | None = None
        if "build" in self.began and live.record.hooks:
            if asked.hooks:
                try:
                    with _Part("build"), work.journal.step("build") as shown:
                        shown.summary = run_stage(live, live.before, "build")
                except _Failed as failed:
                    hooks_failed = failed  # the old release is started all the same
            else:
                self.unverified.append(tr("Its build hooks were not run (--no-hooks)."))
        try:
            self._restart()
            if left and not self.asked:
                self._check_health()  # what the first half has changed was left on the word of the release that failed
        except _Failed as failed:
            if not left or failed.part not in ("restart", "health"):
                raise
            work.journal.line(
                tr(
                    "{origin} does not work with what the first half of the migrations has changed: {message} Its data are put "
                    "back.",
                    origin=live.record.origin.name,
                    message=failed.cause.message,
                ),
                "warning",
            )
            self._data(halves=False)
            self._restart()
            left = False
        if left:
            self._note([
                tr(
                    "The first half of {target}'s migrations stays in the database, as the release says that {origin} can live "
                    "with it.",
                    target=live.record.target.name,
                    origin=live.record.origin.name,
                )
            ])  # fmt: skip
        if hooks_failed is not None:
            raise hooks_failed

    def _data(self, *, halves: bool) -> bool:
        """Put data back where they changed; whether they were left, since the release says that they fit, and its word counts
        (HALVES)."""
        live = self.live
        with _Part("data"), self.work.journal.doing("data"):
            data = data_back.after_rollback(live, self.began, stop=not self.work.session.caller.boot, halves=halves)
        gone = self._backup_gone() if not data.left else []
        self.data_whole = data.whole and not gone
        self._note([*data.notes, *gone])
        return data.left

    def _note(self, notes: list[str]) -> None:
        for note in notes:
            self.work.journal.note(note, "warning")
        self.notes += notes

    def _backup_gone(self) -> list[str]:
        """Without the backup nobody can tell whether data changed: that is not the same as that they didn't."""
        live = self.live
        settings, identity = live.before.backup, live.record.backup
        saved = settings.databases or settings.include
        if identity is None or not saved or Effect.DATA not in effects_of(live, self.began):
            return []
        if isinstance(store.read(live.site.state.backups, identity), store.Backup):
            return []
        return [
            tr(
                "Backup {identity} is gone: whether data changed can't be told, and nothing of them was put back.",
                identity=identity,
            )
        ]

    def _read_config(self) -> None:
        """Today's deploy.yaml instead of the one that the journal has; that where nothing is done by it but put data back."""
        live, asked = self.live, self.work.session.caller.settling
        try:
            live.before = todays_config(live.site, live.before)
        except ConfigError as error:
            if asked.hooks or asked.restart:
                raise
            self.notes.append(
                tr("{message} Data were settled as it was when the deployment began.", message=error.message)
            )
        restart = live.record.restart and asked.restart
        live.services = open_services(live.before.service, live.site.root) if restart else ()

    def _restart(self) -> None:
        """At boot the service starts after us by itself; its health is its own unit's matter."""
        work, live = self.work, self.live
        caller = work.session.caller
        left = bool(self.began & {"stop", "restart"}) or data_back.touched(work.database.records(work.id))
        live.switched_at = None
        if left and live.record.restart and not caller.settling.restart:
            self.unverified.append(tr("Its service was not restarted and its health not checked (--no-restart)."))
        if not left or not live.services:
            return
        if caller.boot:
            self.unverified.append(tr("Its service starts after this, at boot."))
            return
        live.switched_at = time.time()
        with _Part("restart"), work.journal.step("restart") as shown:
            for service in live.services:
                service.restart(work.journal.output)
            shown.summary = listing([service.name for service in live.services])
        if not caller.settling.health:
            self.unverified.append(tr("Its health was not checked (--no-health)."))
        elif checks_health(live.before, live):
            self._check_health()

    def _will_ask(self) -> bool:
        """Whether a health check of the old release will tell if it can live with what the first half of the migrations has
        changed. Otherwise nobody would: not at boot, not where a part is left out, nor where it was unhealthy before."""
        caller, live = self.work.session.caller, self.live
        asks = caller.settling.restart and caller.settling.health and live.before.health.configured
        return asks and not caller.boot and live.record.unhealthy is None

    def _check_health(self) -> None:
        work, live = self.work, self.live
        self.asked = True
        try:
            with _Part("health"), work.journal.step("health") as shown:
                self.health = shown.summary = check_health(live, live.before, live.record.origin.version)
        except _Failed as failed:
            if live.record.unhealthy is None:
                raise
            # Nothing was made worse: that is how it was found, and somebody has said to go on all the same.
            self.unverified.append(
                tr("It is unhealthy, as it was before: {cause_message}", cause_message=failed.cause.message)
            )

    def runs(self) -> str:
        """What is live now, no more than was looked at."""
        name, origin = self.work.site.name, self.live.record.origin.name
        if self.unverified:
            return tr(
                "Files and venv of {name} are those of {origin} again. {unverified}",
                name=name,
                origin=origin,
                unverified=joined(" ", self.unverified),
            )
        lost = closing(self.work.database.records(self.work.id), told=self.data_whole)
        return (
            tr("{name} runs {origin} again", name=name, origin=origin)
            + (tr(" ({health})", health=self.health) if self.health else "")
            + lost
        )


def todays_config(site: Site, recorded: Config) -> Config:
    """What deploy.yaml says now that the old release's files are back. RECORDED: what it said when the deployment began.

    Raises `ConfigError` where it can't be read, and where there is none any more: that nobody wants a service or a health
    check is not what a missing file says.
    """
    now = site.read_again().config
    if now.text is None and recorded.text:
        raise ConfigError(
            tr("{file_name} is gone; when the deployment began it was there.", file_name=FILE_NAME),
            tr("Put it back, or write a new one: gitdeploy init"),
        )
    return now


def _installed_meanwhile(live: Live) -> list[str]:
    """What was installed by hand into the new venv while it was live: that goes with it."""
    if live.record.built is None:
        return []
    place = live.site.state.venvs / live.record.built
    facts = read_facts(place)
    if facts is None or not place.is_dir():
        return []
    found = venvs.packages(place)
    more = [f"{name}=={version}" for name, version in found.items() if facts.packages.get(name) != version]
    if not more:
        return []
    link = live.flip.link if live.flip is not None else str(place)
    return [
        tr(
            "What was installed meanwhile into the venv of {target} went with it: {packages}. To have it "
            "again: {link}/bin/python -m pip install {words}",
            target=live.record.target.name,
            packages=listing([clean(name) for name in more], 10),
            link=path_text(link),
            words=clean(shlex.join(more)),
        )
    ]


def give_up(work: Work, live: Live, step: str, cause: GitDeployError, failed: SettlingFailed) -> Result:
    """End what can't be settled, since something else is about to go live in its place."""
    end_maintenance(work.site, live.before, work.database.records(work.id), undone=True)
    _remember_bad(work, live, step, cause, failed.wanted)
    forget(work, live)
    sentence = tr(
        "{wanted} Files and venv are those of {origin} again; not verified, given up for `{command}`: {why}",
        wanted=failed.wanted,
        origin=live.record.origin.name,
        command=work.session.caller.command,
        why=failed.why,
    )
    return work.end("rolled_back", sentence, failed)


def forget(work: Work, live: Live) -> None:
    """Clean up after a roll-back: the place of the backup among the good ones, the new venv, and last of all the stage,
    without which a later process knows nothing of the others."""
    record = live.record
    if record.backup:
        store.set_outcome(work.site.state.backups, record.backup, "failed")
    if record.built is not None and record.built not in held_generations(work.site):
        place = work.site.state.venvs / record.built
        if place.is_dir() and not venvs.in_use(place):
            venvs.Builder(work.site.root, work.site.state.path, work.site.config.venv).discard(record.built)
            sync_directory(work.site.state.venvs)
    switch.clean_up(live.manifest)


def _tell_failure(work: Work, live: Live, status: str, sentence: str) -> None:
    """on-failure hooks and notifications get the same words; they only ever warn."""
    if live.record.hooks and work.session.caller.settling.hooks:
        try:
            run_stage(live, live.before, "on-failure", status=status, error=sentence)
        except GitDeployError as error:
            work.journal.line(tr("on-failure: {message}", message=error.message), "warning")
    notify(work, live.before, status, sentence, error=sentence)
