"""After an undo: data, service and health of the old release, so that nobody has to guess what runs.

Everything here may be repeated by a later process: it is run again whole where it was interrupted.
"""

from __future__ import annotations

import shlex
import signal
import time

from msgspec import Struct

from gitdeploy import backups, venvs
from gitdeploy.checkout import switch
from gitdeploy.checkout.durable import sync_directory, sync_file_system
from gitdeploy.deployment import data_back
from gitdeploy.deployment.live import Live
from gitdeploy.deployment.prune import held_generations
from gitdeploy.deployment.session import Work
from gitdeploy.deployment.site import Release3
from gitdeploy.deployment.steps import check_health, checks_health, end_maintenance, run_stage
from gitdeploy.deployment.tell import notify
from gitdeploy.errors import GitDeployError, Interrupted, RollbackFailed
from gitdeploy.text import clean, listing, path_text
from gitdeploy.venvs.seal import read_facts


class Settled(Struct, frozen=True):
    """How a roll-back ended, one thing a line: what failed where and why, what runs now, what became of the data."""

    lines: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return " ".join(self.lines)


def settle(work: Work, live: Live, step: str, cause: GitDeployError) -> Settled:
    """Bring the old release back to work and say so. Raises `RollbackFailed` where it doesn't answer."""
    records = work.database.records(work.id)
    began = {record.step for record in records if record.kind == "begin"}
    origin, target, name = live.record.origin, live.record.target, work.site.name
    wanted = f"Wanted {target.name}, {_cause(step, cause)}"
    try:
        notes = data_back.after_rollback(live, began, stop=not work.session.caller.boot)
        notes += _installed_meanwhile(live)
        for note in notes:
            work.journal.note(note, "warning")
        if "build" in began and live.record.hooks:
            with work.journal.step("build") as shown:
                shown.summary = run_stage(live, live.before, "build")
        # At boot the service starts after us by itself; its health is its own unit's matter.
        left = bool(began & {"stop", "restart"}) or data_back.touched(work.database.records(work.id))
        restarted = left and bool(live.services) and not work.session.caller.boot
        live.switched_at = None
        if restarted:
            live.switched_at = time.time()
            with work.journal.step("restart") as shown:
                for service in live.services:
                    service.restart(work.journal.output)
                shown.summary = listing([service.name for service in live.services])
        health = ""
        if restarted and checks_health(live.before, live):
            with work.journal.step("health") as shown:
                health = shown.summary = check_health(live, live.before, origin.version)
    except (GitDeployError, OSError) as error:
        message = error.message if isinstance(error, GitDeployError) else str(error)
        hint = (
            error.hint
            if isinstance(error, data_back.DataNotBack)
            else "Look at the service itself, then: gitdeploy recover"
        )
        _tell_failure(work, live, "failed", f"{wanted} Undone, but: {message}")
        raise RollbackFailed(
            f"{wanted} Files and venv are those of {origin.name} again, but it does not run: {message}",
            f"{hint}. Whole log: gitdeploy log {work.id}",
            details=error.details if isinstance(error, GitDeployError) else (),
        ) from error
    end_maintenance(work.site, live.before, records)
    remember_bad(work, live, cause, wanted)
    runs = f"{name} runs {origin.name} again" + (f" ({health})" if health else "") + "; nothing was lost."
    settled = Settled((wanted, runs, *notes))
    _tell_failure(work, live, "rolled_back", settled.sentence)
    sync_file_system(work.site.root)  # data and what the hooks wrote, before the way back to them is forgotten
    forget(work, live)
    return settled


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
        f"What was installed meanwhile into the venv of {live.record.target.name} went with it: "
        f"{listing([clean(name) for name in more], 10)}. To have it again: "
        f"{path_text(link)}/bin/python -m pip install {clean(shlex.join(more))}"
    ]


def remember_bad(work: Work, live: Live, cause: GitDeployError, reason: str) -> None:
    """A release that failed here is not installed again by itself. A signal is nobody's fault."""
    if live.record.action == "upgrade" and not isinstance(cause, Interrupted):
        target = live.record.target
        work.database.mark_bad(target.commit, target.tag or "", reason)
        work.journal.note(bad_sentence(target))


def bad_sentence(target: Release3) -> str:
    return f"{target.full} is not installed by itself again."


def forget(work: Work, live: Live) -> None:
    """Clean up after a roll-back: the place of the backup among the good ones, the new venv, and last of all the stage,
    without which a later process knows nothing of the others."""
    record = live.record
    if record.backup:
        backups.set_outcome(work.site.state.backups, record.backup, "failed")
    if record.built is not None and record.built not in held_generations(work.site):
        place = work.site.state.venvs / record.built
        if place.is_dir() and not venvs.in_use(place):
            venvs.Builder(work.site.root, work.site.state.path, work.site.config.venv).discard(record.built)
            sync_directory(work.site.state.venvs)
    switch.clean_up(live.manifest)


def _tell_failure(work: Work, live: Live, status: str, sentence: str) -> None:
    """on-failure hooks and notifications get the same words; they only ever warn."""
    if live.record.hooks:
        try:
            run_stage(live, live.before, "on-failure", status=status, error=sentence)
        except GitDeployError as error:
            work.journal.line(f"on-failure: {error.message}", "warning")
    notify(work, live.before, status, sentence, error=sentence)


def _cause(step: str, cause: GitDeployError) -> str:
    if isinstance(cause, Interrupted):
        killed = cause.signal_number == signal.SIGKILL  # found out afterwards, in words
        return f"interrupted at {step}" + (f": {cause.message}" if killed else f" by {cause.signal_name}.")
    first = cause.message.splitlines()[0] if cause.message else "unknown"
    return f"failed at {step}: " + (first if first.endswith((".", "!", "?")) else f"{first}.")
