"""Server-sent events: a deployment's log and steps, live.

Each stream takes a thread of the server, so there are only so many; whoever gets none polls upgrade-log. All streams wait
for one follower, which looks at the journal four times a second while anybody listens (once a second for a crowd).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from flask import Response, request

from gitdeploy.app import App
from gitdeploy.errors import GitDeployError
from gitdeploy.web.answers import Busy
from gitdeploy.web.panel import Panel, number, panel
from gitdeploy.web.progress import progress

LOOK = 0.25  # seconds between two looks at the journal
CROWD = 50  # listeners; with more of them the looks come more slowly, up to one a second
BEAT = 15.0  # seconds between signs of life on an idle stream
LONGEST = 3600.0  # seconds that one stream lasts; browsers connect again by themselves
LONGEST_BY_APP = 300.0  # the same where the app's own login can be asked again only by a new request


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
        self._read: dict[tuple[int | None, int], tuple[dict[str, Any], str]] = {}

    def join(self) -> None:
        """Take one of the places. Raises `Busy`."""
        with self._changed:
            if self._listeners >= self._most:
                raise Busy(
                    "There is no room for another live stream." if self._most else "There are no live streams here.",
                    "Ask upgrade-log every second instead.",
                )
            self._listeners += 1
            if not self._running:
                self._running = True
                threading.Thread(target=self._follow, name="gitdeploy-follower", daemon=True).start()

    def leave(self) -> None:
        with self._changed:
            self._listeners -= 1
            self._changed.notify_all()

    def look(self, deployment: int | None, since: int) -> tuple[int, dict[str, Any], str]:
        """(version, progress, the event that tells it) now; made once for all who ask the same."""
        with self._reading:  # two hundred wake at once, and one reads
            with self._changed:
                version, found = self._version, self._read.get((deployment, since))
            if found is None:
                state = progress(self._app(), deployment, since)
                found = state, f"id: {state['since']}\ndata: {json.dumps({'success': True, **state})}\n\n"
                with self._changed:
                    if version == self._version:
                        self._read[deployment, since] = found
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


def stream() -> Response:
    """GET /upgrade/api/events: `data:` is what upgrade-log answers; `event: end` follows the last one of a deployment
    that was asked for by its number. Without a number the stream goes on with whatever runs."""
    here = panel()
    deployment = number("deployment", 0, 1, 10**12) if "deployment" in request.args else None
    since = number("since", 0, 0, 10**12)
    last = request.headers.get("Last-Event-ID", "")
    if last.isascii() and last.isdecimal() and len(last) < 13:
        since = int(last)
    gone = request.environ.get("waitress.client_disconnected")
    here.follower.join()
    try:
        here.follower.look(deployment, since)  # 404 before there is a stream
    except GitDeployError:
        here.follower.leave()
        raise
    answer = Response(_events(here, deployment, since, gone, here.still_in()), mimetype="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    answer.call_on_close(here.follower.leave)
    return answer


def _events(
    here: Panel,
    deployment: int | None,
    since: int,
    gone: Callable[[], bool] | None,
    still_in: Callable[[], bool] | None,
) -> Iterator[str]:
    follower = here.follower
    end, shown = time.monotonic() + (LONGEST if still_in is not None else LONGEST_BY_APP), None
    asked = time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < end and not (gone is not None and gone()):
        if still_in is not None and time.monotonic() - asked > BEAT:
            if not still_in():
                return
            asked = time.monotonic()
        try:
            version, state, event = follower.look(deployment, since)
        except GitDeployError:  # a release that is just going live may bring a deploy.yaml that can't be read
            yield ": nothing can be read now\n\n"
            time.sleep(1)
            continue
        facts = (state["deployment"], state["status"], state["since"], state["steps"])
        if facts != shown or state["log"]:
            shown, since = facts, state["since"]
            yield event
        if deployment is not None and state["status"] not in ("running", "interrupted") and not state["more"]:
            yield "event: end\ndata: {}\n\n"
            return
        if not state["more"] and not follower.wait(version, BEAT):
            yield ": still here\n\n"
