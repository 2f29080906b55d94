"""What doctor finds out about the app's data."""

from __future__ import annotations

from collections.abc import Iterator

from gitdeploy.databases import open_databases
from gitdeploy.hooks.running import find_hooks
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import app_environment, service_environment
from gitdeploy.site.data_open import look_open, open_warnings, unseen
from gitdeploy.site.data_risk import writes_at_risk
from gitdeploy.site.site import Site
from gitdeploy.upkeep.finding import Finding

_ABOUT = "database"


def look_at_data(site: Site) -> Iterator[Finding]:
    """Each database that is to be dumped, and what the app has open. Raises `GitDeployError`."""
    environment = app_environment(site)
    databases = open_databases(site.config.backup.databases, site.root, environment)
    for database in databases:
        wrong = database.problems()
        yield from (Finding(_ABOUT, "problem", message, hint) for message, hint in wrong)
        if not wrong:
            yield from (Finding(_ABOUT, "warning", text) for text in database.warnings())
            yield Finding(_ABOUT, "ok", tr("{database} can be dumped.", database=database.name))
    yield from (Finding(_ABOUT, "warning", text) for text in service_environment(site).unread)
    opened = look_open(site)
    yield from (Finding(_ABOUT, "warning", text) for text in open_warnings(site, databases, opened, environment))
    if (said := unseen(opened)) is not None:
        yield Finding(_ABOUT, "ok", said)
    migrates = bool(find_hooks(site.root, site.config.hooks, "migrate"))
    if (said := writes_at_risk(site.config, migrates=migrates)) is not None:
        yield Finding(_ABOUT, "warning", said)
