"""One look at the journal for all who follow it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gitdeploy.app import App
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.web.errors import Busy
from gitdeploy.web.shared.progress import progress

LOOK = 0.25  # seconds between two looks at the journal
CROWD = 50  # listeners; with more of them the looks come more slowly, up to one a second


class Follower:
    """Looks at the journal for all streams of one app, and keeps what it read for those that ask the same."""

    def __init__(self, app: Callable[[], App], most: int) -> None:
        self._app = app
        self._most = most
        self._changed = threading.Condition()
        self._reading = threading.Lock()
        self._listeners = 0
        self._running = False
        self._version = 0
        self._read: dict[tuple[int | None, int, str], tuple[dict[str, Any], str]] = {}

    def join(self) -> None:
        """Take one of the places. Raises `Busy`."""
        with self._changed:
            if self._listeners >= self._most:
                raise Busy(
                    tr("There is no room for another live stream.")
                    if self._most
                    else tr("There are no live streams here."),
                    tr("Ask upgrade-log every second instead."),
                )
            self._listeners += 1
            if not self._running:
                self._running = True
                threading.Thread(target=self._follow, name="gitdeploy-follower", daemon=True).start()

    def leave(self) -> None:
        with self._changed:
            self._listeners -= 1
            self._changed.notify_all()

    def look(self, deployment: int | None, since: int, language: str = "en") -> tuple[int, dict[str, Any], str]:
        """(version, progress, the event that tells it) now; made once for all who ask the same."""
        with self._reading:  # two hundred wake at once, and one reads
            with self._changed:
                version, found = self._version, self._read.get((deployment, since, language))
            if found is None:
                state = progress(self._app(), deployment, since, language)
                found = state, f"id: {state['since']}\ndata: {json.dumps({'success': True, **state})}\n\n"
                with self._changed:
                    if version == self._version:
                        self._read[deployment, since, language] = found
        return version, *found

    def wait(self, version: int, seconds: float) -> bool:
        """Whether something happened since VERSION, within SECONDS."""
        with self._changed:
            return self._changed.wait_for(lambda: self._version != version, seconds)

    def _follow(self) -> None:
        pulse: Any = None
        while True:
            found: Any = None
            with suppress(GitDeployError):
                found = self._pulse()
            with self._changed:
                listeners = self._listeners
                if listeners == 0:
                    self._running = False
                    return
                if found != pulse:
                    pulse = found
                    self._version += 1
                    self._read.clear()
                    self._changed.notify_all()
            time.sleep(LOOK * max(1.0, min(4.0, listeners / CROWD)))

    def _pulse(self) -> Any:
        app = self._app()
        database = app.site.read_database()
        if database is None:
            return None
        with database:
            found = database.pulse()
        return (*found, app.is_running() if found[2] else None)
