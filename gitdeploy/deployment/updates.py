"""Is there a newer release? The sources' catalogue with what this app knows: cache, first-seen tags, bad releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitdeploy.checkout import remote as remotes
from gitdeploy.checkout.remote import Credentials
from gitdeploy.config import TOKEN_VARIABLES, SourceConfig
from gitdeploy.deployment.checkoutremote import CheckoutRemote
from gitdeploy.deployment.memory import FailedHere
from gitdeploy.deployment.site import Release3, Site
from gitdeploy.sources.addresses import is_public, kind_of, may_carry_a_token, read_address, repository_of
from gitdeploy.state import Database

if TYPE_CHECKING:
    from gitdeploy.sources import Catalogue, CheckResult, Current, Release


def catalogue(site: Site, database: Database) -> Catalogue:
    """The one object that knows releases."""
    from gitdeploy.sources import Catalogue

    return Catalogue(site.config, database, checkout_git(site, database))


def check(site: Site, database: Database, live: Release3, *, force: bool) -> CheckResult:
    """The newest release beside what is live, to be shown: maybe an answer of before. Raises `SourceError` where nothing can
    be said."""
    known = catalogue(site, database)
    return _with_commit(site, database, known, known.check(_current(live), force=force))


def ask(site: Site, database: Database, live: Release3) -> CheckResult:
    """The same to act upon: the source is asked now. Raises `SourceError` where it can't be."""
    known = catalogue(site, database)
    return _with_commit(site, database, known, known.newest(_current(live)))


def newer(site: Site, database: Database, live: Release3) -> list[Release]:
    """The releases that may be chosen over what is live, newest first, asked for now. Raises `SourceError`."""
    return with_commits(site, database, catalogue(site, database).newer(_current(live)))


def last_check(site: Site, database: Database, live: Release3) -> CheckResult | None:
    """What the last check found, beside what is live now; nobody is asked."""
    known = catalogue(site, database)
    found = known.last(_current(live))
    return _with_commit(site, database, known, found) if found is not None else None


def _current(live: Release3) -> Current:
    from gitdeploy.sources import Current

    return Current(version=live.version, tag=live.tag, commit=live.commit)


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


def credentials_for(site: Site, source: SourceConfig, remote: str) -> Credentials | None:
    """What git proves itself by at an HTTPS remote; None for SSH, a public repository, or where no token is set.

    `git.token_env` goes with the main source's remote, wherever that is. A source's own token goes only to the host that
    it is for: never to a mirror elsewhere. None goes over plain http, but to this very machine.
    """
    config = site.config
    own = source is config.source
    # What deploy.yaml names for git at one host is not for the host that APP_UPDATE_SOURCE moved the source to.
    token = config.secret(config.git.token_env) if own and not is_moved(site, source) else None
    if token is None and not _may_have_token(site, source):
        return None  # without asking git for the remote's URL
    url = remotes.remote_url(site.repository, remote)
    host = remotes.host_of(url) if url else None
    if url is None or host is None or not may_carry_a_token(host):
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
    """The remote (name or URL) that SOURCE's objects come from: as set. Where that remote isn't there, a fallback names none
    and the main source's is elsewhere, or APP_UPDATE_SOURCE moved the source away from the host that `origin` is at, it is the
    address that the source's host has for git: a remote of the checkout's that is the same place, else the address itself."""
    from gitdeploy.sources.finding import git_address

    fallback = source is not site.config.source and source.remote == site.config.source.remote
    if source.repo is None and not fallback:
        return source.remote
    here = remotes.remote_url(site.repository, source.remote)
    if here is not None and not fallback and not is_moved(site, source):
        return source.remote
    there = git_address(site.config, source, checkout_git(site))
    if there is None or (here is not None and _place(here) == _place(there)):
        return source.remote
    if fallback and here is not None and remotes.host_of(here) == remotes.host_of(there):
        return source.remote
    return _same_place(site, there) or there


def is_moved(site: Site, source: SourceConfig) -> bool:
    """Whether APP_UPDATE_SOURCE moved the source away from the host that its remote, which nobody set, is at."""
    where = site.config.where
    if source is not site.config.source or site.config.variable("APP_UPDATE_SOURCE") is None:
        return False
    if (told := where.get("source.remote", "default")) != "default":
        return told == where.get("source.type")  # by the variable too: away from the host that deploy.yaml names
    here = remotes.remote_url(site.repository, source.remote)
    address = read_address(here) if here else None
    return address is not None and is_public(address) and kind_of(address) != source.type


def _same_place(site: Site, url: str) -> str | None:
    """The remote of the checkout that is the repository at URL, by whichever protocol."""
    found = site.repository.config(r"^remote\..*\.url$")
    names = (name.removeprefix("remote.").removesuffix(".url") for name in found)
    wanted = _place(url)
    for name in names:
        there = remotes.remote_url(site.repository, name)
        if there is not None and wanted is not None and _place(there) == wanted:
            return name
    return None


def _place(url: str) -> tuple[str, str] | None:
    address = read_address(url)
    path = repository_of(address) if address else None
    return (address.host, path.lower()) if address and path else None


def checkout_git(site: Site, database: Database | None = None) -> CheckoutRemote:
    """The sources' view of the checkout, with what git proves itself by at each of the remotes. DATABASE: where what git
    says of the remotes is remembered."""
    config = site.config

    def credentials(remote: str) -> Credentials | None:
        places = (config.source, *config.source.fallback)
        return credentials_for(site, next((p for p in places if p.remote == remote), config.source), remote)

    return CheckoutRemote(site.repository, credentials, database)
