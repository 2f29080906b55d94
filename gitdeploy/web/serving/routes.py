"""Tables of addresses, and what stands before each of them: the guard, and how errors are answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from flask import Blueprint, Response, current_app, g, jsonify, redirect, request, url_for
from flask.blueprints import BlueprintSetupState
from msgspec import Struct
from werkzeug.exceptions import HTTPException

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import redact
from gitdeploy.web.access import guard
from gitdeploy.web.answers import Answer, error_answer
from gitdeploy.web.errors import BadRequest, NoSuchPage, NotLoggedIn, TooLarge, WrongMethod
from gitdeploy.web.page.document import FOLDER
from gitdeploy.web.shared.panel import EXTENSION, Entrance, entrance

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
View = Callable[..., Any]


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
    name: str = ""  # where one view has several addresses

    @property
    def endpoint(self) -> str:
        return self.name or self.view.__name__


def guarded(name: str, url_prefix: str, shared: Entrance, routes: Sequence[Route]) -> Blueprint:
    """ROUTES as a blueprint NAME below URL_PREFIX, with what SHARED says of who may."""
    by_name = {route.endpoint: route for route in routes}
    made = Blueprint(
        name,
        __name__,
        url_prefix=url_prefix,
        static_folder=str(FOLDER / "static"),
        static_url_path="/static",
        template_folder=str(FOLDER / "templates"),
    )

    def asked() -> Route | None:
        return by_name.get((request.endpoint or "").removeprefix(f"{request.blueprint}."))

    made.record_once(lambda state: _remember(state, name, shared))
    for route in routes:
        made.add_url_rule(route.path, route.endpoint, _answering(route), methods=[route.method], strict_slashes=False)
    made.add_url_rule(
        "/<path:rest>", "nowhere", _nowhere, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        provide_automatic_options=False,
    )  # fmt: skip
    made.before_request(lambda: _guard(asked()))
    made.after_request(guard.with_headers)
    made.register_error_handler(GitDeployError, lambda error: _refused(error, asked()))
    made.register_error_handler(Exception, _unexpected)
    return made


def _remember(state: BlueprintSetupState, name: str, shared: Entrance) -> None:
    state.app.extensions.setdefault(EXTENSION, {})[name] = shared


def _guard(route: Route | None) -> None:
    """Before every view: the name asked for, the body, who asks, where the request comes from."""
    here = entrance()
    guard.check_host(request, here.settings().hosts, here.file)
    if (request.endpoint or "").removeprefix(f"{request.blueprint}.") == "static":
        return
    if route is None:
        guard.check_access(here.who(), "login", here.command)
        return
    if route.method == "POST":
        guard.check_size(request)
    if route.method == "POST" and not route.foreign:
        guard.check_type(request, route.body)
    if route.needs == "nothing":
        if route.method == "POST" and not route.foreign:
            guard.check_origin(request, needed=False)
        return
    access = guard.check_access(here.who(), route.needs, here.command)
    g.gitdeploy_access = access
    if route.method == "POST":
        guard.check_origin(request, needed=access.how != "token")
        guard.check_csrf(access, request.headers.get(guard.CSRF_HEADER) or request.form.get("csrf"))
    here.keep_checking()


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


def _refused(error: GitDeployError, route: Route | None) -> Any:
    if isinstance(error, NotLoggedIn) and route is not None and route.page and entrance().authorize is None:
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
