"""`gitdeploy web`: the page and the API alone, served by waitress."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import waitress
from flask import Flask, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from gitdeploy.config import WebConfig
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.web.access import guard
from gitdeploy.web.answers import error_answer
from gitdeploy.web.errors import BadRequest, NoSuchPage
from gitdeploy.web.page.document import templates
from gitdeploy.web.serving.blueprint import PREFIX, blueprint
from gitdeploy.web.serving.deadlines import PunctualChannel
from gitdeploy.web.serving.ending import Ending
from gitdeploy.web.serving.proxies import BelieveProxies
from gitdeploy.web.shared import priority

STREAMS = 240  # live streams at once; each holds a thread
WORKERS = 12  # threads for everything else
CONNECTIONS = 800  # at once; each is an open file, of the 1024 that a process usually has


def make_app(
    folder: Path, config_file: Path | None = None, *, streams: int = STREAMS, auto_check: bool = True
) -> Flask:
    """The WSGI application of `gitdeploy web`."""
    app = Flask("gitdeploy.web", static_folder=None)
    app.register_blueprint(blueprint(folder, config_file=config_file, streams=streams, auto_check=auto_check))
    alone(app)
    return app


def alone(app: Flask) -> None:
    """Have APP, with our page in it, answer for itself what the page doesn't, behind the proxies that its settings name."""
    shared = app.extensions["gitdeploy"]["gitdeploy"]
    app.after_request(guard.with_headers)

    def elsewhere(error: HTTPException) -> Response:
        if error.code is not None and error.code < 500 and error.code != 404:
            return error_answer(BadRequest(tr("The request can't be taken.")))
        return error_answer(
            NoSuchPage(tr("There is nothing at this address."), tr("The page is at {prefix}/", prefix=PREFIX))
        )

    def to_the_page() -> ResponseReturnValue:
        guard.check_host(request, shared.settings().hosts, shared.file)
        return redirect(url_for("gitdeploy.show"))

    app.register_error_handler(HTTPException, elsewhere)
    app.register_error_handler(GitDeployError, error_answer)
    app.add_url_rule("/", "root", to_the_page)
    app.wsgi_app = BelieveProxies(app.wsgi_app, lambda: shared.settings().trusted_proxies)  # type: ignore[method-assign]


def serve(app: Flask, host: str, port: int, ready: Callable[[], None]) -> None:
    """Serve APP until SIGTERM or SIGINT; READY is called once the port is bound. Raises OSError for a port in use."""

    def begun() -> None:
        ready()
        app.extensions["gitdeploy"]["gitdeploy"].keep_checking()

    run(app, begun, host=host.strip("[]"), port=port)


def run(app: Callable[..., Any], ready: Callable[[], None], *, threads: int = STREAMS + WORKERS, **where: Any) -> None:
    """Serve the WSGI application APP until SIGTERM or SIGINT, WHERE as waitress takes it: host and port, or sockets. READY is
    called once it is bound. Raises OSError for a port in use."""
    logging.getLogger("waitress").setLevel(logging.ERROR)
    templates()
    priority.give_way()
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=sockets,
        **where,
        threads=threads,
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,
        channel_timeout=30,
        channel_request_lookahead=1,  # so that a stream learns that its client is gone
        max_request_body_size=4 * guard.BODY_LIMIT,
        max_request_header_size=32 * 1024,
        clear_untrusted_proxy_headers=False,  # BelieveProxies decides
        expose_tracebacks=False,
        ident="gitdeploy",
    )
    for listening in list(sockets.values()):  # one, or one for each address of a name
        if hasattr(listening, "channel_class"):
            listening.channel_class = PunctualChannel
    Ending(sockets)
    ready()
    server.run()


def warnings(settings: WebConfig, host: str, file: str = "deploy.yaml") -> list[str]:
    """What the operator should hear before the page is reachable from elsewhere. FILE: where SETTINGS are."""
    try:
        if host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback:
            return []
    except ValueError:
        pass
    found = []
    if not settings.trusted_proxies:
        found.append(
            tr(
                "The page is served at {host}, not only to this machine, without TLS: tokens and "
                "sessions can be read on the way. Put nginx or Caddy with TLS before it, name that in "
                "`web.trusted_proxies`, and serve at 127.0.0.1.",
                host=host,
            )
        )
    if not settings.hosts:
        found.append(
            tr(
                "`web.hosts` in {file} is empty, so the page answers only to localhost. Add the names that people type.",
                file=file,
            )
        )
    return found
