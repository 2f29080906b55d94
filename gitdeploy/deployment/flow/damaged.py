"""A state.db that can't be read any more: moved aside, so that the app can be deployed and restored again."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

from gitdeploy.deployment.record.events import Line
from gitdeploy.deployment.record.work import Caller
from gitdeploy.messages import tr
from gitdeploy.site.site import Site
from gitdeploy.state import Database, DeploymentLock
from gitdeploy.state.sqlite import DatabaseDamaged
from gitdeploy.text import path_text


def move_aside_if_damaged(site: Site, caller: Caller) -> bool:
    """Move a damaged state.db (and its -wal, -shm) aside under the lock. Returns whether it was."""
    if not site.state.exists():
        return False
    try:
        Database.open(site.state.database).close()
    except DatabaseDamaged as error:
        with DeploymentLock(site.state.lock).acquire(who=caller.performer, command=caller.command, wait=caller.wait):
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            place = site.state.path / f"state.db.damaged-{stamp}"
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.rename(
                        tr("{database}{ending}", database=site.state.database, ending=ending),
                        tr("{place}{ending}", place=place, ending=ending),
                    )
        caller.listener(
            Line(
                tr(
                    "{message} It was moved to {place}; deployments' history starts anew, backups are "
                    "complete without it.",
                    message=error.message,
                    place=path_text(place.name),
                ),
                "warning",
            )
        )
        return True
    return False
