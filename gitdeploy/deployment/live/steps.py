"""The steps below the line: each touches the live app, and can be undone from the journal alone."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy import health, venvs
from gitdeploy.checkout import switch, switch_back
from gitdeploy.config import Config
from gitdeploy.deployment.live.data_exchange import put_back
from gitdeploy.deployment.live.data_late import SaveData
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.maintenance import Maintenance, Reopen
from gitdeploy.deployment.live.migrated import require_recorded
from gitdeploy.deployment.record.engine import Effect, Step
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.hooks import running
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import check_environment, hook_caller, withheld
from gitdeploy.system.durable import sync_file_system
from gitdeploy.text import count, listing
from gitdeploy.venvs import flip as venv_flip


def live_steps(live: Live) -> list[Step]:
    """Everything below the line, in order: what `upgrade` and `restore` both do."""
    upgrade = live.record.action == "upgrade"
    stop, save = Stop(live), SaveData(live)
    switched: list[Step] = [Switch(live), RestoreData(live), Hooks(live, "build")]
    begin: list[Step] = [stop, Maintenance(live), save, *switched]
    if live.record.build_first:
        begin = [Maintenance(live), *switched, stop, save]
    return [
        *begin,
        *([Hooks(live, "migrate")] if upgrade else []),
        Restart(live),
        Health(live),
        Reopen(live),
        Hooks(live, "post-deploy" if upgrade else "post-restore"),
    ]


def effects_of(live: Live, begun: Collection[str]) -> Effect:
    """What may have come of the steps that have BEGUN (their names), all together."""
    found = (step.effects for step in live_steps(live) if step.name in begun)
    return reduce(or_, found, Effect.NONE)


ELSEWHERE = tr("not here: another host migrates (--migrate never)")
_RUNS = Effect.RELEASE | Effect.DATA | Effect.WRITES  # the app, with its new code


class Stop(Struct):
    """The service is down from before the switch (with build hooks: from after them) until after the migration, or while
    its data are exchanged: no write is missing in the dumps that are made then."""

    live: Live
    name: str = "stop"
    effects: ClassVar[Effect] = Effect.NONE

    def wanted(self) -> str | None:
        return None if stops_for_switch(self.live.before, self.live.record.data_from) and self.live.services else ""

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        stopped = []
        for service in self.live.services:
            try:
                service.stop()
                stopped.append(service.name)
            except GitDeployError as error:
                if self.live.before.service.stop_for_switch:
                    raise
                self.live.journal.line(
                    tr("It goes on running while its data are exchanged: {message}", message=error.message), "warning"
                )
        return listing(stopped) or tr("nothing: it goes on running")

    def undo(self, data: dict[str, Any]) -> str:
        return ""  # the service is started again once the old state is back, see settle.py


class Switch(Struct):
    """The one step that makes the new code and the new venv live: only renames."""

    live: Live
    name: str = "switch"
    effects: ClassVar[Effect] = Effect.NONE

    def wanted(self) -> str | None:
        return None

    def ready(self) -> dict[str, Any]:
        if self.live.flip is not None:
            for message, hint in venv_flip.problems(self.live.flip):
                raise DeploymentFailed(message, hint)
            self._look_for_installs(Path(self.live.flip.link))
            self._renew_static(self._new_venv, Path(self.live.flip.link).resolve())
        switch.get_ready(self.live.manifest)
        return {}

    def _look_for_installs(self, link: Path) -> None:
        """What is installed by hand while the new venv is made would be missing in it."""
        if at_work := venvs.installer_at(link):
            raise DeploymentFailed(
                tr("Somebody installs packages into the venv right now: {at_work}.", at_work=at_work),
                tr("Wait until that has ended, then run the command again: it takes along what was installed."),
            )
        before = self.live.packages
        if before is not None and (found := venvs.changed_packages(before, venvs.installed(link.resolve()))):
            raise DeploymentFailed(
                tr("The venv was changed while the deployment was running: {found}.", found=listing(found, 5)),
                tr("Nothing of it is lost. Run the command again: it takes along what was installed."),
            )

    def apply(self) -> str:
        self.live.switched_at = time.time()
        begun = time.monotonic()
        window = [0.0]
        switch.apply(self.live.manifest, lambda: self._flip(begun, window))
        self.live.journal.line(
            tr("Live window: {window} ms from the first rename to the venv.", window=f"{window[0] * 1000:.1f}"), "debug"
        )
        return count(len(self.live.manifest.items), "file") + (tr(" and the venv") if self.live.flip else "")

    def _flip(self, begun: float, window: list[float]) -> None:
        ended = time.monotonic() if self.live.flip is None else venv_flip.apply(self.live.flip)
        window[0] = ended - begun

    def undo(self, data: dict[str, Any]) -> str:
        try:
            self.live.said += switch_back.undo(self.live.manifest, self._flip_back)
        except OSError as error:
            if error.errno not in (28, 122):
                raise
            self.live.site.state.release_reserve()
            self.live.said += switch_back.undo(self.live.manifest, self._flip_back)
        for sentence in self.live.said:
            self.live.journal.line(sentence, "warning")
        return "undone"

    def _flip_back(self) -> None:
        if self.live.flip is not None:
            venv_flip.undo(self.live.flip)
            self._renew_static(Path(self.live.flip.link).resolve(), self._new_venv)

    @property
    def _new_venv(self) -> Path:
        assert self.live.flip is not None
        return Path(os.path.join(os.path.dirname(self.live.flip.link), self.live.flip.new))

    def _renew_static(self, generation: Path, before: Path) -> None:
        """For build hooks that collect static files; without one nothing asks for the time of a file there."""
        if Hooks(self.live, "build").wanted() is not None:
            return
        try:
            venvs.renew_static(generation, before)
        except OSError as error:
            self.live.journal.line(
                tr(
                    "Static files of packages keep their old time ({strerror}): collectstatic may skip some.",
                    strerror=error.strerror,
                ),
                "warning",
            )


class RestoreData(Struct):
    """`restore --with-data`: dumps, `backup.include` and the content of the keep paths come back too."""

    live: Live
    name: str = "data"
    effects: ClassVar[Effect] = Effect.DATA

    def wanted(self) -> str | None:
        return None if self.live.record.data_from else ""

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        assert self.live.record.data_from is not None
        return put_back(self.live, self.live.record.data_from)

    def undo(self, data: dict[str, Any]) -> str:
        if self.live.record.backup is None:
            return ""
        journal = self.live.journal
        begun = {record.step for record in journal.database.records(journal.deployment) if record.kind == "begin"}
        written = Effect.WRITES in effects_of(self.live, begun)
        return put_back(self.live, self.live.record.backup, instead_of=self.live.record.data_from, written=written)


class Hooks(Struct):
    """The hooks of one stage, of the release that is live by then."""

    live: Live
    stage: str

    @property
    def name(self) -> str:
        return self.stage

    @property
    def effects(self) -> Effect:
        return _RUNS & ~Effect.RELEASE if self.stage == "post-restore" else _RUNS

    def wanted(self) -> str | None:
        if not self.live.record.hooks:
            return ""
        wanted = self._there()
        if wanted is None and self.stage == "migrate" and not self.live.record.migrate:
            return ELSEWHERE
        return wanted

    def _there(self) -> str | None:
        # Before the switch the release that comes can only be read from what is staged, afterwards from the checkout.
        if self._may_come():
            return None
        return None if running.find_hooks(self.live.site.root, self.live.after.hooks, self.stage) else ""

    def _may_come(self) -> bool:
        if self.live.after.hooks.dir is None:
            return False
        folder = os.fsencode(self.live.site.root / self.live.after.hooks.dir) + b"/" + self.stage.encode()
        coming = (item.live for item in self.live.manifest.items if item.kind != "deleted")
        return any(path == folder or path.startswith(folder + b".d/") for path in coming)

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        said = run_stage(self.live, self.live.after, self.stage)
        if self.stage == "migrate":
            require_recorded(self.live, first_half=self.live.record.halves)
        sync_file_system(self.live.site.root)  # what they wrote (assets, a migrated SQLite) goes with the release
        return said

    def undo(self, data: dict[str, Any]) -> str:
        return ""


class Restart(Struct):
    """The service takes up the new code and the new venv."""

    live: Live
    name: str = "restart"
    effects: ClassVar[Effect] = _RUNS

    def wanted(self) -> str | None:
        if self.live.services:
            return None
        return "" if not self.live.record.restart else tr("no service is configured: restart the app yourself")

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        for service in self.live.services:
            service.restart(self.live.journal.output)
        return listing([service.name for service in self.live.services])

    def undo(self, data: dict[str, Any]) -> str:
        return ""  # restarted once more when the old state is back, see settle.py


class Health(Struct):
    """The new code answers, `successes` times in a row, and goes on answering through `soak`."""

    live: Live
    name: str = "health"
    effects: ClassVar[Effect] = _RUNS

    def wanted(self) -> str | None:
        if not self.live.record.restart:
            return ""  # whoever restarts it by hand looks at it too
        if checks_health(self.live.after, self.live):
            return None
        return tr("no health check is configured")

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        live = self.live
        return check_health(live, live.after, live.record.target.version)

    def undo(self, data: dict[str, Any]) -> str:
        return ""


# ---- shared with the way back ----


def builds_first(live: Live) -> bool:
    """Whether the service goes on serving the old release while build hooks run, and is stopped after them: where it is to
    be down for a migration alone. Where its data are exchanged, it is down from before that."""
    wanted = live.before.service.stop_for_switch and bool(live.services) and live.record.data_from is None
    return wanted and Hooks(live, "build").wanted() is None


def stops_for_switch(config: Config, data_from: str | None) -> bool:
    """Whether the service is down while files change: where that is wanted, and where its data are exchanged."""
    return config.service.stop_for_switch or data_from is not None


def run_stage(live: Live, config: Config, stage: str, *, status: str | None = None, error: str | None = None) -> str:
    """Run the hooks of a stage as CONFIG and the hooks folder have them now."""
    found = running.find_hooks(live.site.root, config.hooks, stage)
    if not found:
        return tr("no hook")
    ran = running.run_hooks(
        found,
        live.hook_context(status=status, error=error),
        stage=stage,
        timeout=config.hooks.timeout,
        secrets=withheld(live.site, live.before, live.after),
        caller=hook_caller(live.site),
        on_line=live.journal.output,
    )
    return listing([hook.name for hook in found], 3) if ran else tr("no hook")


def checks_health(config: Config, live: Live) -> bool:
    return config.health.configured or bool(live.services)


def check_health(live: Live, config: Config, version: str | None) -> str:
    """Wait until the app is healthy. Raises `HealthFailed`."""
    link = live.site.venv_link
    environment = check_environment(live.site, config) if config.health.command else None
    generation = link.resolve() if live.flip is not None and link is not None else None
    well = health.wait_healthy(
        config.health,
        live.services,
        expected_version=version,
        started_after=live.switched_at,
        generation=generation,
        on_line=live.journal.output,
        on_progress=lambda text: live.journal.progress("health", text),
        root=live.site.root,
        environment=environment,
    )
    if config.health.soak:
        live.journal.progress("health", tr("watching for {soak} s", soak=f"{config.health.soak:.0f}"))
        health.soak(
            config.health,
            live.services,
            expected_version=version,
            on_line=live.journal.output,
            root=live.site.root,
            environment=environment,
        )
    return well.summary
