"""What the views of the page of all apps share: the list, the login, the processes behind it."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from flask import request
from msgspec.structs import replace

from gitdeploy.config import WebConfig
from gitdeploy.config.apps_list import AppsList, Listed
from gitdeploy.errors import ConfigError, DeploymentFailed, GitDeployError
from gitdeploy.messages import heard, tr
from gitdeploy.several.listed import read_list
from gitdeploy.several.summary import Row, unreadable
from gitdeploy.text import clean
from gitdeploy.web.access.access import Access
from gitdeploy.web.access.store import Store
from gitdeploy.web.errors import BadRequest, NoSuchPage
from gitdeploy.web.shared.behind import Behind, Caller
from gitdeploy.web.shared.body import read_object
from gitdeploy.web.shared.panel import Entrance, entrance

PATIENCE = 5.0  # seconds for the row of one app
_LATELY = 2.0  # seconds that rows are shown to all who look
_AT_ONCE = 16
_LARGEST = 4 << 20  # bytes of one answer
_READER = Access("overview", read_only=True)

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Front(Entrance):
    """The page of all apps that are LISTED, whose processes listen in SOCKETS. PREFIX: of its addresses."""

    file, command = "apps.yaml", "gitdeploy web --all"

    def __init__(self, listed: AppsList, store: Store, sockets: Path, *, prefix: str, streams: int = 0) -> None:
        super().__init__(store, streams=streams)
        self.environment_token = None  # one login for all apps is made on purpose: gitdeploy web --all token add
        self.behind = Behind(sockets)
        self._prefix = prefix
        self._listed = listed
        self._stamp: tuple[int, ...] | None = None  # it may have changed since it was read
        self._lock = threading.Lock()
        self._rows: tuple[float, list[Row]] | None = None
        self._reading = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def listed(self) -> AppsList:
        """The list as it is now; the last readable one while somebody edits it."""
        with self._lock:
            if (stamp := _stamp(self._listed.file)) != self._stamp:
                try:
                    self._listed = read_list(self._listed.file)
                except ConfigError:
                    return self._listed
                self._stamp = stamp
            return self._listed

    def find(self, name: str) -> Listed:
        """Raises `NoSuchPage`."""
        found = next((each for each in self.listed().apps if each.name == name), None)
        if found is None:
            raise NoSuchPage(tr("There is nothing at this address."), tr("The list: gitdeploy apps"))
        return found

    def settings(self) -> WebConfig:
        return self.listed().web

    def title(self) -> str:
        return clean(socket.gethostname(), limit=60)

    def who(self) -> Access | None:
        """On an app's addresses a session's changes carry a proof of that app's own. Its process is told it, for its page: so
        a page that another owner made up has none that counts elsewhere."""
        found, app = super().who(), (request.view_args or {}).get("app")
        if found is None or found.how != "session" or app is None:
            return found
        return replace(found, csrf=hmac.new(found.csrf.encode(), str(app).encode(), hashlib.sha256).hexdigest())

    def rows(self) -> list[Row]:
        """The row of each app, as all of them were a moment ago."""
        with self._reading:  # many look at once, and one asks
            if self._rows is None or time.monotonic() - self._rows[0] > _LATELY:
                rows = self._of_each(self._row)
                self._rows = time.monotonic(), rows  # counted from then: whoever waited for it need not ask anew
            return self._rows[1]

    def figures(self) -> list[tuple[str, str]]:
        """(name, text for Prometheus) of each app that answers."""
        return [(name, text) for name, text in self._of_each(self._figures) if text]

    def _of_each(self, ask: Callable[[Listed], Value]) -> list[Value]:
        if self._pool is None:  # in the process that serves
            self._pool = ThreadPoolExecutor(_AT_ONCE, "gitdeploy-overview")
        return list(self._pool.map(ask, self.listed().apps))

    def _row(self, listed: Listed) -> Row:
        try:
            status, raw = self._get(listed, "api/overview")
            if status == 200:
                return Row.read(raw, listed.name, str(listed.folder), "data")
            said = read_object(raw)
            if not (message := heard(said, "error")):
                raise ValueError("an error without a word")
            raise DeploymentFailed(message, heard(said, "hint"))
        except (BadRequest, ValueError):
            return unreadable(listed, DeploymentFailed(tr("Its process answered what gitdeploy does not answer.")))
        except GitDeployError as error:
            return unreadable(listed, error)
        except Exception:  # one app's answer, whatever it is, decides about no other's
            log.exception("gitdeploy: the row of %s", listed.name)
            return unreadable(
                listed,
                GitDeployError(
                    tr("The page met an error that it did not foresee."),
                    tr("The server's own log has the particulars."),
                ),
            )

    def _figures(self, listed: Listed) -> tuple[str, str]:
        try:
            status, raw = self._get(listed, "metrics")
        except GitDeployError:
            status, raw = 503, b""
        return listed.name, raw.decode("utf-8", "replace") if status == 200 else ""

    def _get(self, listed: Listed, what: str) -> tuple[int, bytes]:
        """Status and body. What an app's process answers is its owner's: it may be endless, or come byte by byte."""
        target = f"{self._prefix}/{listed.name}/{what}"
        end = time.monotonic() + PATIENCE
        ours = Caller(_READER, "127.0.0.1", "http", "")
        passed = self.behind.ask(listed.name, "GET", target, ours, timeout=PATIENCE, within=PATIENCE)
        raw = b""
        for piece in passed.body():
            raw += piece
            if len(raw) > _LARGEST:
                break
        passed.close()
        if len(raw) > _LARGEST or time.monotonic() >= end:
            raise DeploymentFailed(tr("It did not answer within {patience} s.", patience=f"{PATIENCE:.0f}"))
        return passed.status, raw


def front() -> Front:
    """The front of the present request."""
    found = entrance()
    assert isinstance(found, Front)
    return found


def caller(access: Access | None) -> Caller:
    """Who makes the present request, for an app's process."""
    return Caller(access, request.remote_addr or "", request.scheme, request.script_root)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
