"""Which source it is: by `source.type`, or by what the git remote's URL tells."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy.config import SOURCE_GROUP, TOKEN_VARIABLES, Config, SourceConfig
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.sources.addresses import (
    Address,
    api_of,
    is_public,
    kind_of,
    may_be_a_domain,
    may_carry_a_token,
    read_address,
    repository_of,
)
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
                tr(
                    "The source `{kind}` of {point} can't be loaded: {error}.",
                    kind=clean(kind),
                    point=clean(point.value),
                    error=redact(clean(str(error))),
                ),
                tr("Install the package that brings it again, into the environment that gitdeploy runs in."),
            ) from error
        return loaded
    raise ConfigError(
        tr("There is no source of the type `{kind}`.", kind=clean(kind)),
        tr(
            "Install the package that brings it into the environment that gitdeploy runs in, or set another source.type."
        ),
    )


class Found(Struct, frozen=True):
    """A source's kind, repository and API address. `guessed`: nobody configured it; the remote's URL tells.

    `place`: where the address comes from. "public": the host that everybody knows by that kind; "set": `source.url`;
    "remote": the host of an HTTPS remote; "ssh": that of an SSH remote, whose name needs not be the API's.
    """

    kind: str
    repo: str | None
    url: str | None
    guessed: bool
    place: Literal["public", "set", "remote", "ssh"] = "public"


def find(source: SourceConfig, git: GitRemote) -> Found:
    """What SOURCE means. Asks git for the remote's URL where it is needed. Raises `ConfigError`."""
    if source.type == "git":
        return Found("git", source.repo, source.url, guessed=False, place="remote")
    if source.type is not None and source.repo is not None:
        return _at(source, source.type, source.repo, None if source.url else _near(source, git))
    address = _address(source.remote, git)
    repo = source.repo or (repository_of(address) if address else None)
    if source.type is None:
        kind = kind_of(address) if address else None
        if address is None or kind is None or repo is None:
            return Found("git", source.repo, source.url, guessed=True, place="remote")
        return replace(_at(source, kind, repo, address), guessed=True)
    if source.type not in _BUILT_IN:
        return _at(source, source.type, repo, None)
    if address is None or repo is None or (is_public(address) and kind_of(address) != source.type):
        where = tr(", and the remote {remote} is elsewhere", remote=clean(source.remote)) if address else ""
        raise ConfigError(
            tr("source.type is {type}, but source.repo isn't set{where}.", type=source.type, where=where),
            tr("Set source.repo in deploy.yaml: the repository as its host names it, such as scaleflower/otrs-web."),
        )
    return _at(source, source.type, repo, address)


def _at(source: SourceConfig, kind: str, repo: str | None, address: Address | None) -> Found:
    """The source at `source.url` where that is set, else at the host of ADDRESS, else at the public host of KIND."""
    if source.url:
        return Found(kind, repo, source.url, guessed=False, place="set")
    url = api_of(address, kind) if address is not None else None
    if url is None or address is None or is_public(address):
        return Found(kind, repo, url, guessed=False)
    return Found(kind, repo, url, guessed=False, place="ssh" if address.ssh else "remote")


def _address(remote: str, git: GitRemote) -> Address | None:
    """Where REMOTE is; an alias of ssh's replaced by the host that it stands for."""
    url = git.remote_url(remote)
    address = read_address(url) if url else None
    if address is None or not address.ssh or is_public(address):
        return address
    host = git.ssh_host(address.host).lower().rstrip(".")
    return replace(address, host=host, origin=f"https://{host}") if host != address.host else address


def _near(source: SourceConfig, git: GitRemote) -> Address | None:
    """The remote's host where it is one of the configured type, or a private one that has this very repository."""
    address = _address(source.remote, git)
    if address is None or is_public(address):
        return address if address and kind_of(address) == source.type else None
    same = repository_of(address) == source.repo and may_be_a_domain(address.host)
    return address if kind_of(address) == source.type or same else None


def token_for(config: Config, source: SourceConfig, found: Found) -> tuple[str | None, str]:
    """(the token of SOURCE that may be sent to its API, why one that is set may not).

    A token goes where somebody named the place: to the public host that the variable's default is for, to `source.url`,
    or, named by `token_env`, to the host of the HTTPS remote. A name that merely looks like a host's own gets none, nor
    does anybody over plain http but this machine.
    """
    variable = source.token_env or TOKEN_VARIABLES.get(found.kind)
    token = config.token(source, found.kind)
    if token is None:
        return None, ""
    if found.kind != "git" and found.url is not None and not may_carry_a_token(found.url):
        return (
            None,
            tr(
                "{variable} is set and was not sent, since {url} is plain http: an address with https takes it.",
                variable=variable,
                url=clean(found.url),
            ),
        )
    if found.place == "ssh" or (found.place == "remote" and source.token_env is None):
        name = clean(found.url or source.remote)
        return (
            None,
            tr(
                "{variable} is set and was not sent, since {name} is only guessed from the remote: "
                "source.url names it.",
                variable=variable,
                name=name,
            ),
        )
    return token, ""


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
    token, withheld = token_for(config, source, found)
    variable = source.token_env or TOKEN_VARIABLES.get(found.kind) or tr("the variable that source.token_env names")
    if found.place == "ssh" or (found.place == "remote" and source.token_env is None and found.kind != "git"):
        variable = tr(
            "source.url and {variable}", variable=variable
        )  # a host that is guessed from a name is given none

    def client(host: Host, base: str, headers: Mapping[str, str]) -> Client:
        from gitdeploy.sources.http import Client

        told = replace(host, withheld=withheld, token_variable=variable)
        return Client(told, base, headers, token, store, git_setting=git.url_setting, clock=clock)

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
    if not may_carry_a_token(host):
        return None, ""
    found = find(source, git)
    token, _ = token_for(config, source, found)
    if token is None:
        return None, ""
    if found.kind == "git":
        return token, "oauth2"
    made = make_source(config, source, found, None, git)
    # Where the source can't tell its git address (a region edition), the host that `source.url` names is its own.
    url = made.git_url() or source.url
    address = read_address(url) if url else None
    return (token if address is not None and address.origin == host else None), made.git_user()


def git_address(config: Config, source: SourceConfig, git: GitRemote) -> str | None:
    """The HTTPS address that SOURCE's host has for git; None for a plain remote, or where the host can't tell."""
    found = find(source, git)
    return None if found.kind == "git" else make_source(config, source, found, None, git).git_url()


def as_git(source: SourceConfig) -> SourceConfig:
    """The same place as a plain git remote: what is asked where a guessed host doesn't answer."""
    return replace(source, type="git", url=None)
