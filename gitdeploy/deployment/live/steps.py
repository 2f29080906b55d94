"""The steps below the line: each touches the live app, and can be undone from the journal alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from gitdeploy import health, venvs
from gitdeploy.checkout import switch, switch_back
from gitdeploy.config import Config
from gitdeploy.deployment.live.data_exchange import put_back
from gitdeploy.deployment.live.data_late import SaveData
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.migrated import require_recorded
from gitdeploy.deployment.record.engine import Step
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.hooks import running
from gitdeploy.site.app_environment import check_environment, hook_caller, secret_names
from gitdeploy.site.site import Site
from gitdeploy.state import Record
from gitdeploy.system.durable import sync_directory, sync_file_system
from gitdeploy.text import count, listing, path_text
from gitdeploy.venvs import flip as venv_flip


def live_steps(live: Live) -> list[Step]:
    """Everything below the line, in order: what `upgrade` and `restore` both do."""
    upgrade = live.record.action == "upgrade"
    return [
        Stop(live),
        Maintenance(live),
        SaveData(live),
        Switch(live),
        RestoreData(live),
        Hooks(live, "build"),
        *([Hooks(live, "migrate")] if upgrade else []),
        Restart(live),
        Health(live),
        Reopen(live),
        Hooks(live, "post-deploy" if upgrade else "post-restore"),
    ]


class Stop(Struct):
    """The service is down from before the switch until after the migration, or while its data are exchanged: no write is
    missing in the dumps that are made then."""

    live: Live
    name: str = "stop"

    def wanted(self) -> str | None:
        return None if stops_for_switch(self.live.before, self.live.record.data_from) and self.live.services else ""

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        for service in self.live.services:
            try:
                service.stop()
            except GitDeployError as error:
                if self.live.before.service.stop_for_switch:
                    raise
                self.live.journal.line(f"It goes on running while its data are exchanged: {error.message}", "warning")
        return listing([service.name for service in self.live.services])

    def undo(self, data: dict[str, Any]) -> str:
        return ""  # the service is started again once the old state is back, see settle.py


class Maintenance(Struct):
    """`maintenance.file` exists while a deployment is between switch and health."""

    live: Live
    name: str = "maintenance"

    def wanted(self) -> str | None:
        return None if self.live.before.maintenance.file else ""

    def ready(self) -> dict[str, Any]:
        root, path = self.live.site.root, Path(str(self.live.before.maintenance.file))
        made = [str(folder) for folder in path.parents if not (root / folder).exists()]  # the deepest first
        return {"there": os.path.lexists(root / path), "made": made}

    def apply(self) -> str:
        file = self.live.site.root / str(self.live.before.maintenance.file)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return path_text(str(self.live.before.maintenance.file))

    def undo(self, data: dict[str, Any]) -> str:
        return ""  # taken away once the old release's health is known, see settle.py


class Switch(Struct):
    """The one step that makes the new code and the new venv live: only renames."""

    live: Live
    name: str = "switch"

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
                f"Somebody installs packages into the venv right now: {at_work}.",
                "Wait until that has ended, then run the command again: it takes along what was installed.",
            )
        before = self.live.packages
        if before is not None and (found := venvs.changed_packages(before, venvs.installed(link.resolve()))):
            raise DeploymentFailed(
                f"The venv was changed while the deployment was running: {listing(found, 5)}.",
                "Nothing of it is lost. Run the command again: it takes along what was installed.",
            )

    def apply(self) -> str:
        self.live.switched_at = time.time()
        begun = time.monotonic()
        window = [0.0]
        switch.apply(self.live.manifest, lambda: self._flip(begun, window))
        self.live.journal.line(f"Live window: {window[0] * 1000:.1f} ms from the first rename to the venv.", "debug")
        return count(len(self.live.manifest.items), "file") + (" and the venv" if self.live.flip else "")

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
                f"Static files of packages keep their old time ({error.strerror}): collectstatic may skip some.",
                "warning",
            )


class RestoreData(Struct):
    """`restore --with-data`: dumps, `backup.include` and the content of the keep paths come back too."""

    live: Live
    name: str = "data"

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
        return put_back(self.live, self.live.record.backup, instead_of=self.live.record.data_from)


class Hooks(Struct):
    """The hooks of one stage, of the release that is live by then."""

    live: Live
    stage: str

    @property
    def name(self) -> str:
        return self.stage

    def wanted(self) -> str | None:
        if not self.live.record.hooks:
            return ""
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
            require_recorded(self.live)
        sync_file_system(self.live.site.root)  # what they wrote (assets, a migrated SQLite) goes with the release
        return said

    def undo(self, data: dict[str, Any]) -> str:
        return ""


class Restart(Struct):
    """The service takes up the new code and the new venv."""

    live: Live
    name: str = "restart"

    def wanted(self) -> str | None:
        if self.live.services:
            return None
        return "" if not self.live.record.restart else "no service is configured: restart the app yourself"

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

    def wanted(self) -> str | None:
        if not self.live.record.restart:
            return ""  # whoever restarts it by hand looks at it too
        if checks_health(self.live.after, self.live):
            return None
        return "no health check is configured"

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        live = self.live
        return check_health(live, live.after, live.record.target.version)

    def undo(self, data: dict[str, Any]) -> str:
        return ""


class Reopen(Struct):
    """Maintenance off: the new release answers."""

    live: Live
    name: str = "reopen"

    def wanted(self) -> str | None:
        return None if self.live.before.maintenance.file else ""

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        live = self.live
        records = live.journal.database.records(live.journal.deployment)
        end_maintenance(live.site, live.before, records, undone=False)
        return "maintenance off"

    def undo(self, data: dict[str, Any]) -> str:
        return ""


# ---- shared with the way back ----


def stops_for_switch(config: Config, data_from: str | None) -> bool:
    """Whether the service is down while files change: where that is wanted, and where its data are exchanged."""
    return config.service.stop_for_switch or data_from is not None


def run_stage(live: Live, config: Config, stage: str, *, status: str | None = None, error: str | None = None) -> str:
    """Run the hooks of a stage as CONFIG and the hooks folder have them now."""
    found = running.find_hooks(live.site.root, config.hooks, stage)
    if not found:
        return "no hook"
    ran = running.run_hooks(
        found,
        live.hook_context(status=status, error=error),
        stage=stage,
        timeout=config.hooks.timeout,
        secrets=secret_names(config),
        caller=hook_caller(live.site),
        on_line=live.journal.output,
    )
    return listing([hook.name for hook in found], 3) if ran else "no hook"


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
        root=live.site.root,
        environment=environment,
    )
    if config.health.soak:
        live.journal.progress("health", f"watching for {config.health.soak:.0f} s")
        health.soak(
            config.health,
            live.services,
            expected_version=version,
            on_line=live.journal.output,
            root=live.site.root,
            environment=environment,
        )
    return well.summary


def end_maintenance(site: Site, config: Config, records: Sequence[Record], *, undone: bool) -> None:
    """Take the maintenance file away again, unless it was there before the deployment that RECORDS are of; and, where that
    is UNDONE, the folders that were made for it."""
    begun = next((r.data for r in records if r.kind == "begin" and r.step == "maintenance"), None)
    if begun and not begun.get("there"):
        file = site.root / str(config.maintenance.file)
        with suppress(FileNotFoundError):
            os.unlink(file)
            sync_directory(file.parent)  # after a power cut it must not be back while all else says that it is over
        for folder in begun.get("made", ()) if undone else ():
            with suppress(OSError):  # somebody has put something into it since
                os.rmdir(site.root / folder)
