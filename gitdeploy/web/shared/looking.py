"""Looking for releases by itself from inside the web process: on the interval, when the window opens, after a webhook.

All it does is start `gitdeploy watch --once` in a process of its own, as a timer would: what is told and what is
installed is decided there. Workers of one server agree through web.db who starts it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gitdeploy.app import App
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.web.access.store import Store

STEP = 60.0  # seconds between two looks at the clock
LONGEST = 6 * 3600.0  # seconds that one look, with the upgrade that may follow, is waited for
CALM = 10.0  # seconds between two starts: a host that sends many webhooks causes few looks

log = logging.getLogger(__name__)


class Looking:
    """Starts `watch --once` when it is time. Its thread begins with `begin`, in whichever process serves requests."""

    def __init__(self, app: Callable[[], App], store: Store, root: Path, *, by_itself: bool) -> None:
        self._app = app
        self._by_itself = by_itself
        self._store = store
        self._offset = int(hashlib.sha256(os.fsencode(root)).hexdigest()[:8], 16)  # servers don't ask all at once
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._asked_by: str | None = None
        self._process = 0

    def begin(self) -> None:
        """Have the thread in this process (a forked worker has none of its parent's)."""
        if self._process == os.getpid():
            return
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._run, name="gitdeploy-looking", daemon=True).start()

    def soon(self, performer: str) -> None:
        """Look as soon as may be, because PERFORMER (a webhook) says that there is something."""
        self._asked_by = performer
        self._wake.set()
        self.begin()

    def _run(self) -> None:
        while True:
            asked, self._asked_by = self._asked_by, None
            self._wake.clear()
            try:
                if asked is not None or self.due(datetime.now(UTC)):
                    self._start(asked or "gitdeploy web")
            except GitDeployError as error:
                log.warning(tr("Looking for releases: %s %s"), error.message, error.hint)
            time.sleep(CALM)
            self._wake.wait(STEP - CALM)

    def due(self, now: datetime) -> bool:
        """Whether it is time, and no other worker has taken this time."""
        if not self._by_itself:
            return False
        check = self._app().site.config.check
        if not check.auto:
            return False
        slot = int((now.timestamp() + self._offset % check.interval) // check.interval)
        if self._store.first_delivery(f"look {check.interval} {slot}"):
            return True
        if check.upgrade == "never" or check.window is None or not check.window.contains(now):
            return False
        # Once in each window too: an interval longer than the window might never meet it.
        return self._store.first_delivery(f"window {check.window} {f'{check.window.opened(now):%Y-%m-%d}'}")

    def _start(self, performer: str) -> None:
        app = self._app()
        if app.is_running():
            return
        try:
            launched = app.launch(["watch", "--once"], performer=performer, request=uuid.uuid4().hex)
        except DeploymentFailed as error:
            # There is no way out of the app's own service: looking and telling need none, only upgrading does.
            found = app.look()
            if found.tag is not None:
                log.warning("%s won't be installed automatically: %s %s", found.tag, error.message, error.hint)
            return
        error_said = launched.wait(LONGEST).error()
        if error_said is not None:
            log.warning(tr("Looking for releases: %s %s"), error_said.message, error_said.hint)
