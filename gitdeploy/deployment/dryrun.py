"""A plan without a deployment: the release's objects are fetched, nothing else is changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gitdeploy.checkout import remote as remotes
from gitdeploy.deployment.options import Options
from gitdeploy.deployment.plan import Plan
from gitdeploy.deployment.release import Chosen, check_tag, fetch_places, newest
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.errors import GitDeployError, SourceError
from gitdeploy.state import Database
from gitdeploy.versions import version_text


def look(
    site: Site,
    tag: str | None,
    options: Options,
    make: Callable[[Site, Database | None, Chosen, Options], Plan],
) -> Plan | None:
    """The plan of an upgrade to TAG (None: the newest; then None where that is live)."""
    if tag is not None:
        check_tag(tag)
    site.require_owner()
    with site.open_database() as database:
        if tag is None:
            from gitdeploy.deployment.upgrade import head_of

            found = newest(site, database, site.release_at(head_of(site)))
            if found is None or found.tag is None:
                return None
            tag = found.tag
        commit = site.repository.resolve(f"refs/tags/{tag}")
        fetched = False
        if commit is None:
            commit, fetched = _fetch(site, tag), True
        try:
            version = version_text(tag, site.config.source.tag_prefix)
            return make(site, database, Chosen(Release3(version, tag, commit)), options)
        finally:
            if fetched:
                with suppress(GitDeployError):
                    remotes.drop_incoming(site.repository, tag)


def _fetch(site: Site, tag: str) -> str:
    failure: SourceError | None = None
    for remote, credentials in fetch_places(site):
        try:
            return remotes.fetch_tag(site.repository, remote, tag, credentials).commit
        except SourceError as error:
            failure = failure or error
    assert failure is not None
    raise failure
