"""The remotes of a checkout: where a source's objects come from, and what git proves itself by there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitdeploy import checkout, sources
from gitdeploy.checkout import remote_names
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.remote_access import Credentials
from gitdeploy.checkout.remote_names import GLANCE_LIMIT, remote_url
from gitdeploy.config import TOKEN_VARIABLES, SourceConfig
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.sources.addresses import is_public, kind_of, may_carry_a_token, read_address, repository_of
from gitdeploy.sources.changelog import unsigned
from gitdeploy.state import Database
from gitdeploy.system import environment as environment_
from gitdeploy.system import process

if TYPE_CHECKING:
    from gitdeploy.site.site import Site


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
    url = remote_names.remote_url(site.repository, remote)
    host = remote_names.host_of(url) if url else None
    if url is None or host is None or not may_carry_a_token(host):
        return None
    user = (config.git.username if own else None) or remote_names.user_of(url)
    if token is None:
        token, usual = sources.finding.git_login(config, source, checkout_git(site), host)
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
    fallback = source is not site.config.source and source.remote == site.config.source.remote
    if source.repo is None and not fallback:
        return source.remote
    here = remote_names.remote_url(site.repository, source.remote)
    if here is not None and not fallback and not is_moved(site, source):
        return source.remote
    there = sources.finding.git_address(site.config, source, checkout_git(site))
    if there is None or (here is not None and _place(here) == _place(there)):
        return source.remote
    if fallback and here is not None and remote_names.host_of(here) == remote_names.host_of(there):
        return source.remote
    return _same_place(site, there) or there


def is_moved(site: Site, source: SourceConfig) -> bool:
    """Whether APP_UPDATE_SOURCE moved the source away from the host that its remote, which nobody set, is at."""
    where = site.config.where
    if source is not site.config.source or site.config.variable("APP_UPDATE_SOURCE") is None:
        return False
    if (told := where.get("source.remote", "default")) != "default":
        return told == where.get("source.type")  # by the variable too: away from the host that deploy.yaml names
    here = remote_names.remote_url(site.repository, source.remote)
    address = read_address(here) if here else None
    return address is not None and is_public(address) and kind_of(address) != source.type


def _same_place(site: Site, url: str) -> str | None:
    """The remote of the checkout that is the repository at URL, by whichever protocol."""
    wanted = _place(url)
    for name in remote_names.names_of(site.repository):
        there = remote_names.remote_url(site.repository, name)
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


_FINGERPRINTS = "remote_urls"  # in the database: remote -> hash of its URL, as long as git's configuration is the same
MOST_OTHERS = 5  # remotes that are asked for tags where the configured one has none


class CheckoutRemote(Struct, frozen=True):
    """What the sources need of git: the remote's URL, its tags, texts of fetched tags, and how they lie to HEAD.

    `credentials` says what git proves itself by at a remote; it is called only when that remote is asked. `database`: where
    the remotes' fingerprints are remembered.
    """

    repository: Repository
    credentials: Callable[[str], Credentials | None]
    database: Database | None = None

    def remote_url(self, name: str) -> str | None:
        return remote_url(self.repository, name)

    def ls_remote_tags(self, remote: str) -> dict[str, tuple[str, str]]:
        found = checkout.remote.ls_remote_tags(self.repository, remote, self.credentials(remote))
        return {tag: (entry.object_id, entry.commit) for tag, entry in found.items()}

    def url_setting(self, name: str, url: str) -> str | None:
        return checkout.remote.url_setting(self.repository, name, url)

    def tag_message(self, tag: str) -> str | None:
        words = ("for-each-ref", "--format=%(objecttype)%00%(contents)", f"refs/tags/{tag}")
        done = self.repository.run(*words).check(tr("Reading the tag {tag}", tag=tag))
        kind, _, message = done.stdout.decode("utf-8", "replace").partition("\0")
        return unsigned(message.rstrip("\n")).strip() if kind == "tag" else None

    def tag_texts(self, remote: str, tags: Sequence[str], *, whole: bool) -> dict[str, str]:
        return checkout.tag_texts.tag_texts(self.repository, remote, tags, self.credentials(remote), whole=whole)

    def tag_dates(self, tags: Sequence[str]) -> dict[str, str]:
        if not tags:
            return {}
        names = [f"refs/tags/{tag}" for tag in tags]
        words = ("for-each-ref", "--format=%(refname:strip=2) %(creatordate:iso-strict)", *names)
        done = self.repository.run(*words).check(tr("Reading the dates of tags"))
        lines = (line.rpartition(" ") for line in done.stdout.decode("utf-8", "replace").splitlines())
        return {tag: date for tag, _, date in lines if tag and date}

    def files_at(self, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
        try:
            return self.repository.read_many(commit, paths)
        except GitDeployError:
            return {}

    # ---- where the remotes are ----

    def fingerprint(self, name: str) -> str:
        """A hash of the remote's URL: from what was remembered while git's configuration is the same."""
        facts = _configuration(self.repository)
        known = self._fingerprints() if facts is not None else {}
        if known.get("facts") == facts and isinstance(known.get(name), str):
            return str(known[name])
        found = hashlib.sha256((self.remote_url(name) or "").encode()).hexdigest()[:20]
        if facts is not None and self.database is not None:
            kept = known if known.get("facts") == facts else {"facts": facts}
            with suppress(GitDeployError):  # a database that is open for reading only remembers nothing
                self.database.meta_put(_FINGERPRINTS, json.dumps({**kept, name: found}))
        return found

    def _fingerprints(self) -> dict[str, Any]:
        text = self.database.meta_get(_FINGERPRINTS) if self.database is not None else None
        try:
            data = json.loads(text or "{}")
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}

    def ssh_host(self, host: str) -> str:
        program = environment_.which("ssh")
        if program is None or host.startswith("-"):
            return host
        environment = self.repository.environment()
        done = process.run([program, "-G", "--", host], cwd=self.repository.root, env=environment, timeout=10)
        lines = done.stdout.decode("utf-8", "replace").splitlines() if done.ok else []
        return next((line.partition(" ")[2].strip() for line in lines if line.startswith("hostname ")), host)

    def remotes_with_tags(self, but: str) -> dict[str, list[str]]:
        found = {}
        others = [name for name in remote_names.names_of(self.repository) if name != but]
        for name in others[:MOST_OTHERS]:
            with suppress(GitDeployError):  # one that can't be asked without a login is none to be named
                if tags := checkout.remote.ls_remote_tags(self.repository, name, None, limit=GLANCE_LIMIT):
                    found[name] = list(tags)
        return found

    # ---- how tags lie to HEAD ----

    def commit_of(self, object_id: str) -> str | None:
        return self.repository.resolve(object_id)

    def contained(self) -> frozenset[str]:
        words = ("for-each-ref", "--merged=HEAD", "--format=%(objectname) %(*objectname)", "refs/tags/")
        done = self.repository.run(*words).check(tr("Reading the tags that HEAD has"))
        return frozenset(done.stdout.decode("ascii", "replace").split())

    def commits_after(self, commit: str) -> int | None:
        # What isn't here at all is not an ancestor: of HEAD's history everything is here, or fetched before it is gone to.
        if self.repository.resolve(commit) is None or not self.repository.is_ancestor(commit, "HEAD"):
            return None
        return int(self.repository.output("rev-list", "--count", f"{commit}..HEAD", "--") or 0)


def _configuration(repository: Repository) -> list[str] | None:
    """What the remotes' URLs depend on: hashes of git's configuration files. None: they include others, so nothing that was
    remembered counts."""
    home = os.environ.get("HOME", "/nonexistent")
    user = [os.environ["GIT_CONFIG_GLOBAL"]] if os.environ.get("GIT_CONFIG_GLOBAL") else [
        os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git/config"),
        os.path.join(home, ".gitconfig"),
    ]  # fmt: skip
    system = [] if os.environ.get("GIT_CONFIG_NOSYSTEM") else ["/etc/gitconfig"]
    found: list[str] = []
    own = (repository.common_dir / "config", repository.git_dir / "config.worktree")
    for path in (*own, *map(Path, (*user, *system))):
        try:
            text = path.read_bytes()
        except OSError:
            text = b""
        if b"[include" in text.lower():
            return None
        found.append(hashlib.sha256(text).hexdigest()[:20])
    return found


def fetch_places(site: Site) -> list[tuple[str, Credentials | None]]:
    """Remotes (names or URLs) that objects may come from, in order, each with what git proves itself by."""
    pass

    places: list[tuple[str, Credentials | None]] = []
    for source in (site.config.source, *site.config.source.fallback):
        remote = fetch_place(site, source)
        if all(remote != other for other, _ in places):
            places.append((remote, credentials_for(site, source, remote)))
    return places


def fetch_promised(site: Site, tree: str, wanted: Collection[str] | None) -> None:
    """What TREE has of WANTED (ids of blobs; None: everything) and a partial clone has left out. Raises `SourceError`."""
    if site.repository.is_partial():
        remote, credentials = fetch_places(site)[0]
        checkout.promised.bring(site.repository, tree, remote, credentials, wanted)
