"""Is there a newer release? The sources' catalogue with what this app knows: cache, first-seen tags, bad releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout.remote import Credentials
from gitdeploy.config import TOKEN_VARIABLES, SourceConfig
from gitdeploy.deployment.site import CheckoutRemote, Release3, Site
from gitdeploy.state import Database

if TYPE_CHECKING:
    from gitdeploy.sources import Catalogue, CheckResult


def catalogue(site: Site, database: Database) -> Catalogue:
    """The one object that knows releases."""
    from gitdeploy.sources import Catalogue

    return Catalogue(site.config, database, checkout_git(site))


def check(site: Site, database: Database, live: Release3, *, force: bool) -> CheckResult:
    """The newest release beside what is live. Raises `SourceError` where nothing can be said."""
    from gitdeploy.sources import Current

    current = Current(version=live.version, tag=live.tag, commit=live.commit)
    return catalogue(site, database).check(current, force=force)


def last_check(site: Site, database: Database, live: Release3) -> CheckResult | None:
    """What the last check found, beside what is live now; nobody is asked."""
    from gitdeploy.sources import Current

    return catalogue(site, database).last(Current(version=live.version, tag=live.tag, commit=live.commit))


def credentials_for(site: Site, source: SourceConfig, remote: str) -> Credentials | None:
    """What git proves itself by at an HTTPS remote; None for SSH, a public repository, or where no token is set.

    `git.token_env` goes with the main source's remote, wherever that is. A source's own token goes only to the host that
    it is for: never to a mirror elsewhere.
    """
    config = site.config
    own = source is config.source
    token = config.secret(config.git.token_env) if own else None
    if token is None and not _may_have_token(site, source):
        return None  # without asking git for the remote's URL
    url = remotes.remote_url(site.repository, remote)
    host = remotes.host_of(url) if url else None
    if url is None or host is None:
        return None
    user = (config.git.username if own else None) or remotes.user_of(url)
    if token is None:
        from gitdeploy.sources.finding import git_login

        token, usual = git_login(config, source, checkout_git(site), host)
        user = user or usual
    return Credentials(user or "oauth2", token, host) if token else None


def _may_have_token(site: Site, source: SourceConfig) -> bool:
    """Whether a token could be set for SOURCE, whatever its type turns out to be."""
    usual = [TOKEN_VARIABLES.get(source.type)] if source.type else list(TOKEN_VARIABLES.values())
    names = [source.token_env] if source.token_env else usual
    return any(site.config.variable(name) for name in names if name)


def fetch_place(site: Site, source: SourceConfig) -> str:
    """The remote (name or URL) that SOURCE's objects come from: as set; where that remote isn't there, or a fallback
    names none and the main source's is elsewhere, the address that its host has for git."""
    from gitdeploy.sources.finding import git_address

    fallback = source is not site.config.source and source.remote == site.config.source.remote
    if source.repo is None and not fallback:
        return source.remote
    here = remotes.remote_url(site.repository, source.remote)
    if here is not None and not fallback:
        return source.remote
    there = git_address(site.config, source, checkout_git(site))
    if there is None or (here is not None and remotes.host_of(here) == remotes.host_of(there)):
        return source.remote
    return there


def checkout_git(site: Site) -> CheckoutRemote:
    """The sources' view of the checkout, with what git proves itself by at each of the remotes."""
    config = site.config

    def credentials(remote: str) -> Credentials | None:
        places = (config.source, *config.source.fallback)
        return credentials_for(site, next((p for p in places if p.remote == remote), config.source), remote)

    return CheckoutRemote(site.repository, credentials)
