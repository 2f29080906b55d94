"""The page as a WSGI application, for any server and beside any other application."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, request

from gitdeploy.errors import UsageError
from gitdeploy.messages import tr
from gitdeploy.text import clean
from gitdeploy.web.access.access import Access
from gitdeploy.web.serving import server
from gitdeploy.web.serving.blueprint import PREFIX, blueprint

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    AuthorizeRequest = Callable[[WSGIEnvironment], Access | str | bool | None]

_ASKED = "gitdeploy.environ"  # the environ as the server gave it
_PATH = re.compile(r"(/[A-Za-z0-9._~-]{1,60}){1,6}")


def wsgi(
    app_dir: str | Path,
    authorize: AuthorizeRequest | None = None,
    *,
    otherwise: WSGIApplication | None = None,
    prefix: str = PREFIX,
    config_file: str | Path | None = None,
    streams: int = 0,
    auto_check: bool = True,
) -> WSGIApplication:
    """The page and the API of the app whose checkout is APP_DIR, at PREFIX, as a WSGI application.

    authorize: the app's own login: called with the request's environ, and returns what `blueprint`'s does. It must not read the
    body. otherwise: who answers what isn't below PREFIX (Django's `get_wsgi_application()`); without it that is 404. A server
    that mounts applications mounts it at PREFIX.
    config_file, streams, auto_check: as `blueprint` has them. `web.trusted_proxies` says whose X-Forwarded-* headers count.
    Raises `gitdeploy.errors.ConfigError` where APP_DIR is not an app, `UsageError` for a PREFIX that is no path.
    """
    if _PATH.fullmatch(prefix) is None or ".." in prefix.split("/"):
        raise UsageError(
            tr("`{prefix}` can't be the page's prefix.", prefix=clean(prefix, limit=60)),
            tr("A path without a slash at its end: /upgrade"),
        )
    app = Flask("gitdeploy.web", static_folder=None)
    by_request = (lambda: authorize(request.environ[_ASKED])) if authorize is not None else None
    app.register_blueprint(
        blueprint(
            app_dir, by_request, config_file=config_file, url_prefix=prefix, streams=streams, auto_check=auto_check
        )
    )
    server.alone(app)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        script, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if not _is_below(path, prefix):
            if not script.endswith(prefix):
                return otherwise(environ, start_response) if otherwise else app(environ, start_response)
            # Mounted at PREFIX: the server has moved that from the path into the script's name.
            script, path = script.removesuffix(prefix), prefix + path
        return app({**environ, "SCRIPT_NAME": script, "PATH_INFO": path, _ASKED: environ}, start_response)

    return answer


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
