"""The page of all apps: what a browser asks for, whole and the list alone."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, send_from_directory

from gitdeploy.web.page import document
from gitdeploy.web.page.document import FOLDER
from gitdeploy.web.page.page import remember, visitor_of
from gitdeploy.web.shared.front import front
from gitdeploy.web.shared.panel import who


def show() -> Response:
    """GET /upgrade/: every app, with a link to its own page."""
    here, visitor = front(), visitor_of(who())
    return remember(visitor, make_response(document.overview(visitor, here.title(), here.rows())))


def apps() -> Response:
    """GET /upgrade/part/apps: the list, made anew."""
    return make_response(document.apps(visitor_of(who()), front().rows()))


def asset(app: str, filename: str) -> Any:
    """GET /upgrade/APP/static/…: what every page needs, from the page's own files."""
    front().find(app)
    return send_from_directory(FOLDER / "static", filename, max_age=3600)
