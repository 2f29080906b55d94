"""The API of the page of all apps: the list, the figures of all, and what goes on to the process of one app."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from flask import Response, g, redirect, request, url_for

from gitdeploy.messages import tr
from gitdeploy.web.access import guard
from gitdeploy.web.answers import keep_taste, success
from gitdeploy.web.api.start import LONGEST
from gitdeploy.web.errors import NoSuchPage
from gitdeploy.web.shared.behind import Passed, passed_cookies
from gitdeploy.web.shared.front import caller, front
from gitdeploy.web.words.taste import LANGUAGE_COOKIE, THEME_COOKIE

_PATIENCE = 180.0  # seconds without a byte of an answer
# An app's process is its owner's, whom the page's other apps do not trust. So of its answers only the body goes on, of these
# types in these words: no script and no style (a browser takes them from the page itself), no cookie, no way elsewhere.
_TYPES = {
    "text/html": "text/html; charset=utf-8",
    "application/json": "application/json",
    "text/event-stream": "text/event-stream; charset=utf-8",
    "application/openmetrics-text": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_HEADERS = {"retry-after": re.compile(r"[0-9]{1,6}"), "allow": re.compile(r"[A-Z]+(, [A-Z]+)*")}


def apps() -> dict[str, Any]:
    """As `apps --json`."""
    return success([row.as_dict() for row in front().rows()])


def figures() -> Response:
    """GET /upgrade/metrics: those of all apps, each with its label `app`."""
    from gitdeploy.web.api.families import together

    here = front()
    who_may = here.settings().metrics
    if who_may == "off":
        raise NoSuchPage("There are no metrics here.", "`web.metrics` in apps.yaml says who may read them.")
    if who_may == "token":
        guard.check_access(here.who(), "login", here.command)
    text, content_type = together(here.figures())
    return Response(text, content_type=content_type)


def to_login(app: str) -> Any:
    """GET /upgrade/APP/login: there is one login for all."""
    front().find(app)
    return redirect(url_for(f"{request.blueprint}.form"))


def pass_on(app: str, **_rest: str) -> Response:
    """The answer of the app's own process. Who may ask it this was checked before, as for the page of one app."""
    here = front()
    here.find(app)
    headers = {key: value for key, value in request.headers.items() if key.lower() != "cookie"}
    if cookies := passed_cookies(
        {key: request.cookies[key] for key in (LANGUAGE_COOKIE, THEME_COOKIE) if key in request.cookies}
    ):
        headers["Cookie"] = cookies
    target = quote(request.path) + (f"?{request.query_string.decode('latin-1')}" if request.query_string else "")
    passed = here.behind.ask(
        app,
        request.method,
        target,
        caller(g.get("gitdeploy_access")),
        headers=headers,
        body=request.get_data(),
        timeout=LONGEST if request.method == "POST" else _PATIENCE,
    )
    return _answer(passed, url_for(f"{request.blueprint}.app show", app=app))


def _answer(passed: Passed, base: str) -> Response:
    """PASSED as it goes on to the browser; BASE: the address of the app's page."""
    said = passed.said("content-type").partition(";")[0].strip().lower()
    if said not in _TYPES or not (200 <= passed.status < 300 or 400 <= passed.status < 600):
        passed.close()
        raise NoSuchPage(tr("There is nothing at this address."), tr("The list: gitdeploy apps"))
    answer = Response(passed.body(), status=passed.status, content_type=_TYPES[said])
    answer.call_on_close(passed.close)
    if passed.answer.length is not None and request.method != "HEAD":
        answer.content_length = passed.answer.length
    for name, fitting in _HEADERS.items():
        if fitting.fullmatch(value := passed.said(name)):
            answer.headers[name.title()] = value
    if said == "text/event-stream":
        answer.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    if said == "text/html":
        keep_taste(answer, base.rstrip("/"))
    return answer
