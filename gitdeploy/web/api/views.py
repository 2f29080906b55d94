"""What the API shows. No logic: ask the app, put the answer into its shape."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import request

from gitdeploy.deployment.plan.options import Options
from gitdeploy.errors import SourceError
from gitdeploy.several.summary import summary
from gitdeploy.site.status import row_as_dict
from gitdeploy.text import clean
from gitdeploy.web.answers import success
from gitdeploy.web.api.addresses import OWN
from gitdeploy.web.shared.asking import chosen_language, flag, number, options_for
from gitdeploy.web.shared.panel import panel
from gitdeploy.web.shared.progress import progress
from gitdeploy.web.words.notes import to_html


def check_update() -> dict[str, Any]:
    """The newest release beside what is live. A source that can't be reached is not an error of this server's."""
    app = panel().app()
    try:
        result = app.check(force=flag("force"))
    except SourceError as error:
        data = {
            "update_available": False,
            "current_version": app.live().version,
            "latest_version": None,
            "error": error.message,
            "hint": error.hint,
        }
        return success(data, error=error.message)
    data = result.as_dict()
    if result.latest_tag and not result.tarball_url:
        data["tarball_url"] = OWN + result.latest_tag  # what today's page hands to start-upgrade
    data["download_url"] = web_address(result.download_url) or None
    return success({**data, "release_notes_html": to_html(result.release_notes or "")})


def version_history() -> dict[str, Any]:
    """Releases, newest first."""
    app = panel().app()
    skips = app.skips()
    found = app.releases(limit=number("limit", 10, 1, 1000))
    return success(
        [
            {
                "tag": release.tag,
                "version": release.version,
                "name": clean(release.name, limit=200),
                "body": clean(release.notes, lines=True, limit=65536),
                "body_html": to_html(release.notes),
                "published_at": release.published_at,
                "html_url": web_address(release.url),
                "prerelease": release.prerelease,
                "state": state,
                "skipped": skip.as_dict() if (skip := skips.of(release.tag)) is not None else None,
            }
            for release, state in found
        ]
    )


def backup_list() -> dict[str, Any]:
    """Backups, newest first; `path` is the backup's ref, `created_at` as today's page shows it."""
    rows = []
    for row in panel().app().backups():
        data = row.as_dict()
        moment = datetime.fromisoformat(data["created_at"])
        rows.append(
            {
                **data,
                "name": data["id"],
                "path": data["ref"],
                "created_at": moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                "created": data["created_at"],
            }
        )
    return success(rows)


def config() -> dict[str, Any]:
    """How updates are looked for, and every setting as it was read, secrets masked."""
    app = panel().app()
    read = app.site.config
    kind = read.source.type or "git"
    return success(
        {
            "update_source": "yunxiao" if kind == "codeup" else kind,
            "github_repo": read.source.repo if kind != "codeup" else None,
            "yunxiao_repo": read.source.repo if kind == "codeup" else None,
            "auto_check_enabled": read.check.auto,
            "check_interval_hours": round(read.check.interval / 3600, 3),
            "automatic_upgrades": read.check.upgrade,
            "settings": [{"key": key, "value": value, "origin": origin} for key, value, origin in read.effective()],
        }
    )


def status() -> dict[str, Any]:
    """As `status --json`."""
    return success(panel().app().status().as_dict())


def overview() -> dict[str, Any]:
    """What `gitdeploy apps --json` says of this app: its state, the last deployment, its health."""
    here = panel()
    app = here.app()
    return success(summary(here.listed or app.site.name, app, app.health_lately).as_dict())


def deployments() -> dict[str, Any]:
    """As `log --json`."""
    return success([row_as_dict(row) for row in panel().app().deployments(number("limit", 50, 1, 1000))])


def upgrade_log() -> dict[str, Any]:
    """How a deployment goes: `log`, `status` and `steps` stand at the top, as today's page reads them."""
    deployment = number("deployment", 0, 1, 10**12) if "deployment" in request.args else None
    return success(None, **progress(panel().app(), deployment, number("since", 0, 0, 10**12), chosen_language()))


def plan() -> dict[str, Any]:
    """As `plan --json`; `data` is null where the newest release is live. Of a backup: as `restore --dry-run --json`."""
    if backup := request.args.get("backup"):
        app = panel().app()
        wanted = Options(with_data=request.args.get("with_data") == "true")
        return success(app.plan_restore(app.find_backup(backup), wanted).as_dict())
    options = options_for(request.args.get("local_changes") or None)
    found = panel().app().plan(request.args.get("tag") or None, options)
    return {"success": True, "data": found.as_dict() if found is not None else None}


def healthz() -> dict[str, Any]:
    """The server lives."""
    return success({"status": "ok"})


def web_address(url: str | None) -> str:
    """URL where it is an absolute http(s) address, else nothing."""
    text = clean(url or "", limit=2000)
    return text if text.lower().startswith(("https://", "http://")) else ""
