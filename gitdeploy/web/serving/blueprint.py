"""The blueprint: every route in one table, and the guard that stands before each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from flask import Blueprint, Response, current_app, g, jsonify, redirect, request, url_for
from flask.blueprints import BlueprintSetupState
from msgspec import Struct
from werkzeug.exceptions import HTTPException

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import redact
from gitdeploy.web.access import guard
from gitdeploy.web.access.access import Authorize
from gitdeploy.web.answers import Answer, error_answer
from gitdeploy.web.api import changes, events, metrics, openapi, views, webhooks
from gitdeploy.web.errors import BadRequest, NoSuchPage, NotLoggedIn, TooLarge, WrongMethod
from gitdeploy.web.page import login, page
from gitdeploy.web.page.document import FOLDER
from gitdeploy.web.shared.panel import EXTENSION, Panel, panel

PREFIX = "/upgrade"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
View = Callable[..., Any]


def document() -> dict[str, Any]:
    """GET /upgrade/api/openapi.json"""
    return openapi.describe(ROUTES)


class Route(Struct, frozen=True):
    """One address. `needs`: nothing, a login, or the right to change; `body`: the one content type that it takes;
    `page`: without a login, a browser is sent to the form."""

    path: str
    view: View
    method: Literal["GET", "POST"] = "GET"
    needs: Literal["nothing", "login", "change"] = "login"
    body: str = JSON
    page: bool = False
    foreign: bool = False  # called by other machines: no session, no Origin, any JSON-like body

    @property
    def endpoint(self) -> str:
        return self.view.__name__


ROUTES = (
    Route("/", page.show, page=True),
    Route("/part/<name>", page.part),
    Route("/login", login.form, needs="nothing"),
    Route("/login", login.log_in, "POST", needs="nothing", body=FORM),
    Route("/logout", login.log_out, "POST", body=FORM, page=True),
    Route("/api/check-update", views.check_update),
    Route("/api/version-history", views.version_history),
    Route("/api/backup-list", views.backup_list),
    Route("/api/config", views.config),
    Route("/api/status", views.status),
    Route("/api/deployments", views.deployments),
    Route("/api/upgrade-log", views.upgrade_log),
    Route("/api/events", events.stream),
    Route("/api/plan", views.plan),
    Route("/api/start-upgrade", changes.start_upgrade, "POST", "change"),
    Route("/api/restore-backup", changes.restore_backup, "POST", "change"),
    Route("/api/rollback", changes.rollback, "POST", "change"),
    Route("/api/recover", changes.recover, "POST", "change"),
    Route("/api/backup", changes.make_backup, "POST", "change"),
    Route("/api/delete-backup", changes.delete_backup, "POST", "change"),
    Route("/api/label-backup", changes.label_backup, "POST", "change"),
    Route("/api/lock", changes.pause, "POST", "change"),
    Route("/api/unlock", changes.resume, "POST", "change"),
    Route("/api/skip", changes.skip_release, "POST", "change"),
    Route("/api/unskip", changes.unskip_release, "POST", "change"),
    Route("/api/openapi.json", document),
    Route("/hooks/<source>", webhooks.receive, "POST", "nothing", foreign=True),
    Route("/healthz", views.healthz, needs="nothing"),
    Route("/metrics", metrics.figures, needs="nothing"),
)


def blueprint(
    app_dir: str | Path,
    authorize: Authorize | None = None,
    *,
    config_file: str | Path | None = None,
    name: str = "gitdeploy",
    url_prefix: str = PREFIX,
    streams: int = 0,
    auto_check: bool = True,
) -> Blueprint:
    """The page and the API of the app whose checkout is APP_DIR, for `app.register_blueprint`.

    authorize: the app's own login: called in each request, returns an `Access`, the name of an administrator, True, or
    nothing for somebody who may not; whatever else it returns lets nobody in and is logged. Without it gitdeploy's own tokens and sessions guard the page.
    streams: how many live streams may be open at once; each takes one of the server's threads, so the page polls where
    there are none. auto_check: look for releases by itself, where `check.auto` says so.
    Raises `gitdeploy.errors.ConfigError` where APP_DIR is not an app.
    """
    shared = Panel(
        Path(app_dir),
        Path(config_file) if config_file else None,
        authorize=authorize,
        streams=streams,
        auto_check=auto_check,
    )
    made = Blueprint(
        name,
        __name__,
        url_prefix=url_prefix,
        static_folder=str(FOLDER / "static"),
        static_url_path="/static",
        template_folder=str(FOLDER / "templates"),
    )
    made.record_once(lambda state: _remember(state, name, shared))
    for route in ROUTES:
        made.add_url_rule(route.path, route.endpoint, _answering(route), methods=[route.method], strict_slashes=False)
    made.add_url_rule(
        "/<path:rest>", "nowhere", _nowhere, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        provide_automatic_options=False,
    )  # fmt: skip
    made.before_request(_guard)
    made.after_request(guard.with_headers)
    made.register_error_handler(GitDeployError, _refused)
    made.register_error_handler(Exception, _unexpected)
    return made


def _remember(state: BlueprintSetupState, name: str, shared: Panel) -> None:
    state.app.extensions.setdefault(EXTENSION, {})[name] = shared


def _guard() -> None:
    """Before every view: the name asked for, the body, who asks, where the request comes from."""
    here = panel()
    guard.check_host(request, here.settings().hosts)
    endpoint = (request.endpoint or "").removeprefix(f"{request.blueprint}.")
    if endpoint == "static":
        return
    route = _route_of(endpoint)
    if route is None:
        guard.check_access(here.who(), "login")
        return
    if route.method == "POST":
        guard.check_size(request)
    if route.method == "POST" and not route.foreign:
        guard.check_type(request, route.body)
    if route.needs == "nothing":
        if route.method == "POST" and not route.foreign:
            guard.check_origin(request, needed=False)
        return
    access = guard.check_access(here.who(), route.needs)
    g.gitdeploy_access = access
    if route.method == "POST":
        guard.check_origin(request, needed=access.how != "token")
        guard.check_csrf(access, request.headers.get(guard.CSRF_HEADER) or request.form.get("csrf"))
    here.keep_checking()


def _route_of(endpoint: str) -> Route | None:
    return next((route for route in ROUTES if route.endpoint == endpoint), None)


def _answering(route: Route) -> View:
    def view(**values: Any) -> Any:
        found = route.view(**values)
        if isinstance(found, Answer):
            answer = jsonify(found.body)
            answer.status_code = found.status
            return answer
        return jsonify(found) if isinstance(found, dict) else found

    return view


def _nowhere(**_rest: str) -> Response:
    """Everything below the prefix that no route has: 404, or 405 where another method would do."""
    adapter = current_app.create_url_adapter(request)
    allowed = []
    for method in ("GET", "POST"):
        if adapter is not None and adapter.test(method=method):
            endpoint, _ = adapter.match(method=method)
            if endpoint != request.endpoint:
                allowed.append(method)
    if allowed:
        answer = error_answer(
            WrongMethod(
                tr("{method} is not possible here.", method=request.method),
                tr("Possible: {allowed}", allowed=", ".join(allowed)),
            )
        )
        answer.headers["Allow"] = ", ".join(allowed)
        return answer
    raise NoSuchPage(
        tr("There is nothing at this address."), tr("The page is at the address without anything behind it.")
    )


def _refused(error: GitDeployError) -> Any:
    route = _route_of((request.endpoint or "").removeprefix(f"{request.blueprint}."))
    if isinstance(error, NotLoggedIn) and route is not None and route.page and panel().authorize is None:
        return redirect(url_for(f"{request.blueprint}.form"))
    return error_answer(error)


def _unexpected(error: Exception) -> Any:
    """What nobody foresaw: logged whole, told in a sentence."""
    if isinstance(error, HTTPException):
        if error.code == 413:
            return error_answer(TooLarge(tr("A body may hold {body_limit} KB.", body_limit=guard.BODY_LIMIT // 1024)))
        if error.code is None or error.code >= 500:
            return error
        return error_answer(BadRequest(redact(error.description or tr("The request can't be taken."))))
    current_app.logger.exception("gitdeploy: the page met an error that it did not foresee")
    answer = error_answer(
        GitDeployError(
            tr("The page met an error that it did not foresee."), tr("The server's own log has the particulars.")
        )
    )
    answer.status_code = 500
    return answer
