"""One app, opened: what all of `App` stands on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitdeploy.deployment.record.events import Listener, ignore
from gitdeploy.deployment.record.work import Caller
from gitdeploy.site.caller import performer, request_id
from gitdeploy.site.live_cache import live_release
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from collections.abc import Iterator


class Opened:
    """An app and the caller of its deployments."""

    def __init__(self, site: Site) -> None:
        self.site = site

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
        return live_release(self.site, database)
