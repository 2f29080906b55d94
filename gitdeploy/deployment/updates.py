"""Is there a newer release? The sources' catalogue with what this app knows: cache, first-seen tags, bad releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout.remote import Credentials
from gitdeploy.config import SourceConfig
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.state import Database

if TYPE_CHECKING:
    from gitdeploy.sources import Catalogue, CheckResult


def catalogue(site: Site, database: Database) -> Catalogue:
    """The one object that knows releases."""
    from gitdeploy.deployment.release import checkout_remote
    from gitdeploy.sources import Catalogue

    return Catalogue(site.config, database, checkout_remote(site))


def check(site: Site, database: Database, live: Release3, *, force: bool) -> CheckResult:
    """The newest release beside what is live. Raises `SourceError` where nothing can be said."""
    from gitdeploy.sources import Current

    current = Current(version=live.version, tag=live.tag, commit=live.commit)
    return catalogue(site, database).check(current, force=force)


def credentials_for(site: Site, source: SourceConfig, remote: str) -> Credentials | None:
    """What git proves itself by at an HTTPS remote; None for SSH, a public repository, or where no token is set."""
    token = site.config.secret(site.config.git.token_env) or site.config.token(source)
    if token is None:
        return None
    url = remotes.remote_url(site.repository, remote)
    host = remotes.host_of(url) if url else None
    if host is None:
        return None
    user = site.config.git.username or _USERS.get(source.type or "", "oauth2")
    return Credentials(user, token, host)


_USERS = {"github": "x-access-token", "gitlab": "oauth2", "gitee": "oauth2", "gitea": "gitdeploy", "codeup": "oauth2"}
