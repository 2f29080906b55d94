"""Django migrations that were squashed or deleted on the way to a release, and that the live database still needs: which
release has them, where the releases say nothing of it themselves."""

from __future__ import annotations

from collections.abc import Sequence

from gitdeploy.databases import open_databases
from gitdeploy.deployment.plan.migrations import migration_files
from gitdeploy.errors import GitDeployError
from gitdeploy.migrations import Change, applied_by, left_behind
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.between import Release
from gitdeploy.site.site import Site
from gitdeploy.versions import CodeState

_TABLE = "django_migrations"
_MOST_TRIED = 20  # releases whose migrations are read, the newest first

Applied = tuple[frozenset[str], ...]  # of each database


class Databases:
    """What the live databases have applied, and what they would have after a release."""

    def __init__(self, site: Site, origin: CodeState) -> None:
        self._repository = site.repository
        self.now = _recorded(site) or (self._applied_by(origin.commit),)

    def lacks(self, applied: Applied, commit: str) -> list[str]:
        """What a database with APPLIED needs and COMMIT has no more."""
        files = migration_files(self._repository, self._repository.tree_of(commit))
        return list(dict.fromkeys(said for each in applied for said in left_behind(files, each)))

    def after(self, applied: Applied, commit: str) -> Applied:
        """What is applied once COMMIT was deployed where APPLIED was."""
        more = self._applied_by(commit)
        return tuple(each | more for each in applied)

    def bridge(self, applied: Applied, releases: Sequence[Release], commit: str) -> Release | None:
        """The newest of RELEASES that can be deployed where APPLIED is, and after which COMMIT lacks nothing."""
        for release in list(reversed(releases))[:_MOST_TRIED]:
            if not self.lacks(applied, release.commit) and not self.lacks(self.after(applied, release.commit), commit):
                return release
        return None

    def _applied_by(self, commit: str) -> frozenset[str]:
        return applied_by(migration_files(self._repository, self._repository.tree_of(commit)))


def may_leave_behind(changes: Sequence[Change]) -> bool:
    """Whether the target lacks a migration that the live release has: else no database needs to be asked."""
    return any(change.framework == "django" and change.gone for change in changes)


def _recorded(site: Site) -> Applied:
    """Of each database of `backup.databases` with Django's table; empty where none tells: the live release's files do then."""
    try:
        databases = open_databases(site.config.backup.databases, site.root, app_environment(site))
        recorded = [database.recorded(_TABLE) for database in databases]
    except GitDeployError:
        return ()
    return tuple(names for names in recorded if names is not None)
