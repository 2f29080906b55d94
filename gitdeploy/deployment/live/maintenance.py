"""`maintenance.file`: the steps that put it there and take it away, and its end after an undo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.config import Config
from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.record.engine import Effect
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.state import Record
from gitdeploy.system.durable import sync_directory
from gitdeploy.text import path_text


class Maintenance(Struct):
    """`maintenance.file` exists while a deployment is between switch and health."""

    live: Live
    name: str = "maintenance"
    effects: ClassVar[Effect] = Effect.NONE

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


class Reopen(Struct):
    """Maintenance off: the new release answers."""

    live: Live
    name: str = "reopen"
    effects: ClassVar[Effect] = Effect.WRITES

    def wanted(self) -> str | None:
        return None if self.live.before.maintenance.file else ""

    def ready(self) -> dict[str, Any]:
        return {}

    def apply(self) -> str:
        live = self.live
        records = live.journal.database.records(live.journal.deployment)
        end_maintenance(live.site, live.before, records, undone=False)
        return tr("maintenance off")

    def undo(self, data: dict[str, Any]) -> str:
        return ""


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
