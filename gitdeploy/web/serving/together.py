"""The page of all apps, and the page of one of them behind it: two kinds of processes (`gitdeploy.web.serving.family`)."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask, request
from msgspec.structs import replace

from gitdeploy.config.apps_list import AppsList, Listed
from gitdeploy.errors import GitDeployError
from gitdeploy.web.access.access import Access
from gitdeploy.web.access.store import Store
from gitdeploy.web.answers import error_answer
from gitdeploy.web.api import together, views
from gitdeploy.web.page import login, overview
from gitdeploy.web.serving import server
from gitdeploy.web.serving.blueprint import PREFIX, ROUTES
from gitdeploy.web.serving.routes import FORM, Route, guarded
from gitdeploy.web.shared.behind import CALLER, BelieveThePage, Caller
from gitdeploy.web.shared.front import Front
from gitdeploy.web.shared.panel import EXTENSION, Panel

STREAMS, WORKERS = 40, 8  # threads of the process of one app
_TRY_AGAIN = 12.0  # seconds that a process answers why its app can't be opened, before another tries


def _routes() -> tuple[Route, ...]:
    """What stands before every address of an app's page stands before it here too, with the login of all."""
    own = {"form": together.to_login, "log_in": None, "log_out": None}
    of_each = [
        replace(
            route,
            path=f"/<app>{route.path}",
            view=own.get(route.endpoint) or together.pass_on,
            name=f"app {route.endpoint}",
        )
        for route in ROUTES
        if own.get(route.endpoint, route) is not None
    ]
    return (
        Route("/", overview.show, page=True),
        Route("/part/apps", overview.apps, name="part_apps"),
        Route("/login", login.form, needs="nothing"),
        Route("/login", login.log_in, "POST", needs="nothing", body=FORM),
        Route("/logout", login.log_out, "POST", body=FORM, page=True),
        Route("/api/apps", together.apps),
        Route("/healthz", views.healthz, needs="nothing"),
        Route("/metrics", together.figures, needs="nothing"),
        Route("/<app>/static/<path:filename>", overview.asset, needs="nothing"),
        *of_each,
    )


ALL_ROUTES = _routes()


def make_front(listed: AppsList, store: Store, sockets: Path) -> Flask:
    """The WSGI application of the page of all apps that are LISTED, whose processes listen in SOCKETS."""
    app = Flask("gitdeploy.web", static_folder=None)
    shared = Front(listed, store, sockets, prefix=PREFIX, streams=server.STREAMS)
    app.register_blueprint(guarded("gitdeploy", PREFIX, shared, ALL_ROUTES))
    server.alone(app)
    return app


def make_behind(listed: Listed, *, auto_check: bool = True) -> Flask:
    """The WSGI application of the page of one app, for the page of all to ask. Raises `GitDeployError` where the app can't be
    opened."""
    app = Flask("gitdeploy.web", static_folder=None)
    shared = Panel(
        listed.folder, authorize=_as_the_page_says, streams=STREAMS, auto_check=auto_check, listed=listed.name
    )
    app.register_blueprint(guarded("gitdeploy", f"{PREFIX}/{listed.name}", shared, ROUTES))
    app.wsgi_app = BelieveThePage(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _as_the_page_says() -> Access | None:
    found = request.environ[CALLER]
    assert isinstance(found, Caller)
    return found.access


def serve_behind(listening: socket.socket, listed: Listed) -> None:
    """Serve the page of one app on the socket LISTENING until SIGTERM; for a while why it can't be opened, where it can't."""
    try:
        app = make_behind(listed)
    except GitDeployError as error:
        serve_refusal(listening, error)
        return
    begin = app.extensions[EXTENSION]["gitdeploy"].keep_checking
    server.run(app, begin, threads=STREAMS + WORKERS, sockets=[listening])


def serve_refusal(listening: socket.socket, error: GitDeployError) -> None:
    """Answer ERROR to everything, for a while: whoever started this process then starts another, which may fare better."""
    app = Flask("gitdeploy.web", static_folder=None)

    @app.before_request
    def refuse() -> Any:
        return error_answer(error)

    def end() -> None:
        time.sleep(_TRY_AGAIN)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    server.run(BelieveThePage(app), lambda: None, threads=2, sockets=[listening])
