"""Which source it is: by `source.type`, or by what the git remote's URL tells."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.config import SOURCE_GROUP, TOKEN_VARIABLES, Config, SourceConfig
from gitdeploy.errors import ConfigError
from gitdeploy.sources.addresses import api_of, is_public, kind_of, read_address, repository_of
from gitdeploy.sources.base import GitRemote, Host, HttpStore, Setup, Source
from gitdeploy.text import clean, redact
from gitdeploy.versions import literal_start

if TYPE_CHECKING:
    from gitdeploy.sources.http import Client

_BUILT_IN = {
    "github": "github:GitHubSource",
    "codeup": "codeup:CodeupSource",
    "gitlab": "gitlab:GitLabSource",
    "gitee": "gitee:GiteeSource",
    "gitea": "gitea:GiteaSource",
    "git": "git:GitSource",
}


def source_class(kind: str) -> type[Source]:
    """The class of a kind of source: gitdeploy's own, else one that a package announces as an entry point of the group
    `gitdeploy.sources`. Raises `ConfigError` where there is none or it can't be loaded."""
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        found: type[Source] = getattr(importlib.import_module(f"gitdeploy.sources.{module}"), name)
        return found
    from importlib.metadata import entry_points

    for point in entry_points(group=SOURCE_GROUP, name=kind):
        try:
            loaded: type[Source] = point.load()
        except Exception as error:  # a package of somebody else's: whatever it raises must become a sentence
            raise ConfigError(
                f"The source `{clean(kind)}` of {clean(point.value)} can't be loaded: {redact(clean(str(error)))}.",
                "Install the package that brings it again, into the environment that gitdeploy runs in.",
            ) from error
        return loaded
    raise ConfigError(
        f"There is no source of the type `{clean(kind)}`.",
        "Install the package that brings it into the environment that gitdeploy runs in, or set another source.type.",
    )


class Found(Struct, frozen=True):
    """A source's kind, repository and API address. `guessed`: nobody configured it; the remote's URL tells."""

    kind: str
    repo: str | None
    url: str | None
    guessed: bool


def find(source: SourceConfig, git: GitRemote) -> Found:
    """What SOURCE means. Asks git for the remote's URL where it is needed. Raises `ConfigError`."""
    if source.type is not None and (source.type == "git" or source.repo is not None):
        return Found(source.type, source.repo, _given_url(source, git), guessed=False)
    url = git.remote_url(source.remote)
    address = read_address(url) if url else None
    if source.type is None:
        kind = kind_of(address) if address else None
        repo = source.repo or (repository_of(address) if address else None)
        if address is None or kind is None or repo is None:
            return Found("git", source.repo, source.url, guessed=True)
        return Found(kind, repo, source.url or api_of(address, kind), guessed=True)
    repo = repository_of(address) if address else None
    if source.type not in _BUILT_IN:
        return Found(source.type, repo, source.url, guessed=False)
    if address is None or repo is None or (is_public(address) and kind_of(address) != source.type):
        where = f", and the remote {clean(source.remote)} is elsewhere" if address else ""
        raise ConfigError(
            f"source.type is {source.type}, but source.repo isn't set{where}.",
            "Set source.repo in deploy.yaml: the repository as its host names it, such as scaleflower/otrs-web.",
        )
    return Found(source.type, repo, source.url or api_of(address, source.type), guessed=False)


def _given_url(source: SourceConfig, git: GitRemote) -> str | None:
    """The API's address of a configured source: as set, else of the private host that the remote is at, where that is
    this repository's; None for the public host."""
    if source.url or source.type == "git":
        return source.url
    url = git.remote_url(source.remote)
    address = read_address(url) if url else None
    if address is None or is_public(address):
        return api_of(address, source.type or "") if address and kind_of(address) == source.type else None
    if kind_of(address) == source.type or repository_of(address) == source.repo:
        return api_of(address, source.type or "")
    return None


def make_source(
    config: Config,
    source: SourceConfig,
    found: Found,
    store: HttpStore | None,
    git: GitRemote,
    *,
    everything: bool = False,
    clock: Callable[[], float] = time.time,
) -> Source:
    """The source itself. Asks nothing yet. store: None for one that won't be asked. everything: tags that can't be releases are wanted too."""
    token = config.token(source, found.kind)

    def client(host: Host, base: str, headers: Mapping[str, str]) -> Client:
        from gitdeploy.sources.http import Client

        return Client(host, base, headers, token, store, git_setting=git.url_setting, clock=clock)

    variable = source.token_env or TOKEN_VARIABLES.get(found.kind) or "the variable that source.token_env names"
    setup = Setup(
        repo=found.repo,
        url=found.url,
        token=token,
        token_variable=variable,
        begin="" if everything else literal_start(config.source.tags, config.source.tag_prefix),
        prefix=config.source.tag_prefix,
        remote=source.remote,
        git=git,
        client=client,
    )
    return source_class(found.kind)(setup)


def git_login(config: Config, source: SourceConfig, git: GitRemote, host: str) -> tuple[str | None, str]:
    """(token, user name) of SOURCE for git at HOST (`https://name[:port]`); no token where HOST is not the source's own."""
    found = find(source, git)
    token = config.token(source, found.kind)
    if token is None:
        return None, ""
    if found.kind == "git":
        return token, "oauth2"
    made = make_source(config, source, found, None, git)
    url = made.git_url()
    address = read_address(url) if url else None
    # Where the source can't tell its git address (a region edition), a token that was named for this very source goes.
    itself = address.origin == host if address else source.token_env is not None
    return (token if itself else None), made.git_user()


def git_address(config: Config, source: SourceConfig, git: GitRemote) -> str | None:
    """The HTTPS address that SOURCE's host has for git; None for a plain remote, or where the host can't tell."""
    found = find(source, git)
    return None if found.kind == "git" else make_source(config, source, found, None, git).git_url()


def as_git(source: SourceConfig) -> SourceConfig:
    """The same place as a plain git remote: what is asked where a guessed host doesn't answer."""
    return replace(source, type="git", url=None)
