"""The blueprint of one app's page: every route in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, has_request_context, request, url_for

from gitdeploy.web.access.access import Authorize
from gitdeploy.web.api import changes, events, metrics, openapi, views, webhooks
from gitdeploy.web.page import login, page
from gitdeploy.web.serving.routes import FORM, Route, guarded
from gitdeploy.web.shared.panel import Panel

PREFIX = "/upgrade"


def document() -> dict[str, Any]:
    """GET /upgrade/api/openapi.json"""
    base = url_for(f"{request.blueprint}.show").rstrip("/") if has_request_context() else PREFIX
    return openapi.describe(ROUTES, base)


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
    Route("/api/overview", views.overview),
    Route("/api/deployments", views.deployments),
    Route("/api/upgrade-log", views.upgrade_log),
    Route("/api/events", events.stream),
    Route("/api/plan", views.plan),
    Route("/api/start-upgrade", changes.start_upgrade, "POST", "change"),
    Route("/api/rehearse", changes.rehearse, "POST", "change"),
    Route("/api/restore-backup", changes.restore_backup, "POST", "change"),
    Route("/api/rollback", changes.rollback, "POST", "change"),
    Route("/api/recover", changes.recover, "POST", "change"),
    Route("/api/contract", changes.contract, "POST", "change"),
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
    return guarded(name, url_prefix, shared, ROUTES)
