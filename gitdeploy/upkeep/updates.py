"""Is there a newer release? The sources' catalogue with what this app knows: cache, first-seen tags, bad releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitdeploy.site.memory import FailedHere
from gitdeploy.site.remotes import checkout_git
from gitdeploy.site.site import Site
from gitdeploy.sources import Catalogue
from gitdeploy.state import Database
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.sources import CheckResult, Release


def catalogue(site: Site, database: Database) -> Catalogue:
    """The one object that knows releases."""
    return Catalogue(site.config, database, checkout_git(site, database))


def check(site: Site, database: Database, live: CodeState, *, force: bool) -> CheckResult:
    """The newest release beside what is live, to be shown: maybe an answer of before. Raises `SourceError` where nothing can
    be said."""
    known = catalogue(site, database)
    return _with_commit(site, database, known, known.check(live, force=force))


def ask(site: Site, database: Database, live: CodeState) -> CheckResult:
    """The same to act upon: the source is asked now. Raises `SourceError` where it can't be."""
    known = catalogue(site, database)
    return _with_commit(site, database, known, known.newest(live))


def newer(site: Site, database: Database, live: CodeState) -> list[Release]:
    """The releases that may be chosen over what is live, newest first, asked for now. Raises `SourceError`."""
    return with_commits(site, database, catalogue(site, database).newer(live))


def last_check(site: Site, database: Database, live: CodeState) -> CheckResult | None:
    """What the last check found, beside what is live now; nobody is asked."""
    known = catalogue(site, database)
    found = known.last(live)
    return _with_commit(site, database, known, found) if found is not None else None


def _with_commit(site: Site, database: Database, known: Catalogue, found: CheckResult) -> CheckResult:
    """FOUND with its commit where that failed here, also where the host tells no more than the tag's own object."""
    if found.commit or found.latest_tag is None or not (failed := database.bad_releases()):
        return found
    release = known.remembered(found.latest_tag)
    bad = FailedHere(site, failed).find(found.latest_tag, None, release.object_id if release is not None else None)
    return replace(found, commit=bad.commit) if bad is not None else found


def with_commits(site: Site, database: Database, releases: Sequence[Release]) -> list[Release]:
    """RELEASES with the commits of those that failed here, also where the host tells no more than the tags' own objects."""
    failed = FailedHere(site, database.bad_releases())
    return [
        replace(release, commit=bad.commit)
        if not release.commit and (bad := failed.find(release.tag, None, release.object_id)) is not None
        else release
        for release in releases
    ]
