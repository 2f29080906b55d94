"""The page: what it shows on its first view, without script; the rest comes from the API."""

from __future__ import annotations

from typing import Any

from flask import render_template

from gitdeploy.app import row_as_dict
from gitdeploy.web.panel import panel, who


def show() -> Any:
    """GET /upgrade/"""
    return render_template("page.html", **page_data())


def page_data() -> dict[str, Any]:
    """Everything that the page's template shows."""
    here, access = panel(), who()
    app = here.app()
    return {
        "app": app.site.name,
        "access": access,
        "csrf": access.csrf,
        "own_login": here.authorize is None,
        "streams": here.streams > 0,
        "status": app.status().as_dict(),
        "deployments": [row_as_dict(row) for row in app.deployments(10)],
        "problem": None,
    }
