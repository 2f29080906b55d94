"""What a browser asks for: the page, its parts, and the reader's language and colours."""

from __future__ import annotations

from flask import Response, make_response, request, url_for
from msgspec.structs import replace

from gitdeploy.errors import GitDeployError
from gitdeploy.web.access.access import Access
from gitdeploy.web.answers import keep_taste, status_of
from gitdeploy.web.page import document
from gitdeploy.web.page.document import Visitor
from gitdeploy.web.shared.asking import number
from gitdeploy.web.shared.panel import Panel, entrance, panel, who
from gitdeploy.web.words import taste


def show() -> Response:
    """GET /upgrade/: all of it. `deployment`: whose log stands open; `releases`: how many are listed at once."""
    here, visitor = panel(), visitor_of(who())
    deployment = number("deployment", 0, 1, 10**12) if "deployment" in request.args else None
    releases = number("releases", 0, 0, 500)
    try:
        made = document.page(here.app(), visitor, deployment=deployment, releases=releases)
    except GitDeployError as error:  # a deploy.yaml that can't be read, a checkout of another owner, a damaged state.db
        if error.kind == "not_found":
            raise
        return remember(visitor, make_response(document.broken(here.root.name, visitor, error), 503))
    return remember(visitor, make_response(made))


def part(name: str) -> Response:
    """GET /upgrade/part/NAME: a piece of the page, made anew."""
    visitor = visitor_of(who())
    try:
        return make_response(document.part(panel().app(), visitor, name, request.args))
    except GitDeployError as error:
        return make_response(document.problem(error, visitor), status_of(error) if error.kind == "not_found" else 200)


def login_page(problem: str = "", wait: int = 0) -> Response:
    """The login form; PROBLEM and WAIT as `document.login` takes them."""
    visitor = visitor_of(None)
    title = entrance().title()
    return remember(visitor, make_response(document.login(visitor, title, problem=problem, wait=wait)))


def visitor_of(access: Access | None) -> Visitor:
    """Who looks, in the language and the colours that they chose or their browser prefers."""
    language, theme = taste.taste(request.args, request.cookies, request.headers.get("Accept-Language", ""))
    here, base = entrance(), url_for(f"{request.blueprint}.show").rstrip("/")
    one_of_all = isinstance(here, Panel) and here.listed is not None
    visitor = Visitor(
        base, language=language, theme=theme, all_apps=base.rpartition("/")[0] + "/" if one_of_all else ""
    )
    if access is None:
        return visitor
    return replace(
        visitor,
        name=access.name,
        read_only=access.read_only,
        csrf=access.csrf,
        can_log_out=access.how == "session",
        streams=here.streams > 0,
    )


def remember(visitor: Visitor, answer: Response) -> Response:
    """Keep a choice that the address carries, for a year."""
    return keep_taste(answer, visitor.base or "/")
