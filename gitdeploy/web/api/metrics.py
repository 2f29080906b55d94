"""Figures for Prometheus, in the OpenMetrics format."""

from __future__ import annotations

from flask import Response

from gitdeploy.web.access import guard
from gitdeploy.web.errors import NoSuchPage
from gitdeploy.web.shared.panel import panel


def figures() -> Response:
    """GET /upgrade/metrics: with any token, without one (`web.metrics: public`), or not at all (`off`)."""
    from gitdeploy.web.api.families import exposition

    here = panel()
    who_may = here.settings().metrics
    if who_may == "off":
        raise NoSuchPage("There are no metrics here.", "`web.metrics` in deploy.yaml says who may read them.")
    if who_may == "token":
        guard.check_access(here.who(), "login", here.command)
    text, content_type = exposition(here.app(), here.listed)
    return Response(text, content_type=content_type)
