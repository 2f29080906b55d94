"""What the views share: one app, its page's store, its login."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import current_app, g, request

from gitdeploy.config import WebConfig
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import register_secret
from gitdeploy.web.access import access as accesses
from gitdeploy.web.access.access import Access, Authorize
from gitdeploy.web.access.store import Store
from gitdeploy.web.shared.follower import Follower
from gitdeploy.web.shared.looking import Looking
from gitdeploy.web.shared.shared import SharedApp

EXTENSION = "gitdeploy"


class Entrance:
    """What guards a page: who asks, by the app's own login (`authorize`) or by tokens and sessions of `store`. `streams`: how
    many event streams may be open at once (each takes a thread of the server)."""

    file, command = "deploy.yaml", "gitdeploy web"  # where its settings are, what serves it and makes its tokens

    def __init__(self, store: Store, *, authorize: Authorize | None = None, streams: int = 0) -> None:
        self.store = store
        self.authorize = authorize
        self.streams = streams
        self.environment_token = environment_token()

    def settings(self) -> WebConfig:
        """How the page is served: by which names it may be asked for, whom it believes."""
        raise NotImplementedError

    def title(self) -> str:
        """Whose page it is, in a word."""
        raise NotImplementedError

    def keep_checking(self) -> None:
        """Look for releases by itself, where that is wanted; begins with the first request after a fork."""

    def who(self) -> Access | None:
        """Who the present request comes from. Raises `TooManyTries`, `AuthorizeBroken`."""
        if self.authorize is not None:
            try:
                found = accesses.by_app(self.authorize)
            except accesses.AuthorizeBroken as error:
                current_app.logger.exception("gitdeploy: authorize: %s %s", error.message, error.hint)
                raise
            if found is not None or "Authorization" not in request.headers:
                return found
        return accesses.by_request(request, self.store, self.environment_token)

    def still_in(self) -> Callable[[], bool] | None:
        """A question for later: whether what the present request proves itself by still counts. None where only another
        request can ask that (the app's own login)."""
        header, session = request.headers.get("Authorization"), request.cookies.get(accesses.COOKIE)
        if who().how == "token" and header is not None:
            token = header.partition(" ")[2].strip()
            return lambda: accesses.is_right(token, self.store, self.environment_token)
        if who().how == "session" and session is not None:
            return lambda: self.store.session(session, self.environment_token, touch=False) is not None
        return None


class Panel(Entrance):
    """The page of the app in FOLDER. `listed`: its name in the list of apps, where its page is one of
    several that are served together."""

    def __init__(
        self,
        folder: Path,
        config_file: Path | None = None,
        *,
        authorize: Authorize | None = None,
        streams: int = 0,
        auto_check: bool = True,
        listed: str | None = None,
    ) -> None:
        self.folder = folder
        self.config_file = config_file
        self.auto_check = auto_check
        self.listed = listed
        app = SharedApp.open(folder, config_file)
        self.root = app.site.root
        super().__init__(
            Store(app.site.state.path / "web.db", app.site.make_state), authorize=authorize, streams=streams
        )
        self.follower = Follower(self.app, streams)
        self.looking = Looking(self.app, self.store, self.root, by_itself=auto_check)
        self._lock = threading.Lock()
        self._opened: tuple[Any, SharedApp] | None = None

    def app(self) -> SharedApp:
        """The app as it is configured now: read again where deploy.yaml or .env changed. Raises `ConfigError`."""
        stamp = tuple(_stamp(path) for path in (self.config_file or self.root / "deploy.yaml", self.root / ".env"))
        with self._lock:
            if self._opened is None or self._opened[0] != stamp:
                self._opened = (stamp, SharedApp.open(self.root, self.config_file))
            return self._opened[1]

    def settings(self) -> WebConfig:
        """`web` of deploy.yaml; the last readable one where a release has just brought a broken file."""
        try:
            return self.app().site.config.web
        except ConfigError:
            with self._lock:
                return self._opened[1].site.config.web if self._opened is not None else WebConfig()

    def title(self) -> str:
        if self.listed is not None:
            return self.listed
        try:
            return self.app().site.name
        except ConfigError:
            return self.root.name

    def keep_checking(self) -> None:
        if self.auto_check:
            self.looking.begin()


def environment_token() -> str | None:
    """The administrator's token that GITDEPLOY_WEB_TOKEN sets; None where it isn't set. Raises `ConfigError`."""
    token = os.environ.get(accesses.ENVIRONMENT_TOKEN, "").strip()
    if not token:
        return None
    register_secret(token)
    if len(token) < accesses.SHORTEST_TOKEN:
        raise ConfigError(
            tr(
                "{environment_token} is shorter than {shortest_token} characters, so it could be guessed.",
                environment_token=accesses.ENVIRONMENT_TOKEN,
                shortest_token=accesses.SHORTEST_TOKEN,
            ),
            tr("Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"),
        )
    return token


def entrance() -> Entrance:
    """What guards the page of the present request."""
    found = current_app.extensions[EXTENSION][request.blueprint]
    assert isinstance(found, Entrance)
    return found


def panel() -> Panel:
    """The panel of the present request, which is of one app's page."""
    found = entrance()
    assert isinstance(found, Panel)
    return found


def who() -> Access:
    """Who is asking; only where the guard let somebody in."""
    found = g.gitdeploy_access
    assert isinstance(found, Access)
    return found


def performer() -> str:
    """Who did it, for the deployment's record: `deploy-bot (web, from 192.0.2.7)`."""
    return tr("{name} (web, from {remote_addr})", name=who().name, remote_addr=request.remote_addr or "unknown")


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
