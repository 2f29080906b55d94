"""The shapes that sources share, and what a source has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from msgspec import Struct
from msgspec.structs import asdict

from gitdeploy.messages import tr, without_stop
from gitdeploy.text import clean, count

if TYPE_CHECKING:
    from gitdeploy.sources.http import Client

Order = Literal["version", "date", "none"]


class Release(Struct, frozen=True):
    """A release that a source announces.

    `version` has no leading v, None: the tag names none. `commit` is None where the source doesn't say it; `object_id`
    is the tag's own object where that is what it says. `published_at` is ISO 8601. `announced`: somebody wrote a release
    for the tag; else `notes` are no more than the tag's message.
    """

    tag: str
    version: str | None
    name: str
    notes: str
    url: str
    published_at: str | None
    commit: str | None
    prerelease: bool
    tarball_url: str = ""
    zipball_url: str = ""
    object_id: str | None = None
    announced: bool = False


class ReleaseNotes(Struct, frozen=True):
    """A release between what is live and the one that is gone to: what it brings. `notes` are Markdown or plain text."""

    tag: str
    version: str | None
    name: str
    published_at: str | None
    notes: str


class Page(Struct, frozen=True):
    """A part of a source's list. `more`: there is a next one; `total`: of all releases, where the host tells."""

    releases: Sequence[Release]
    more: bool = False
    total: int | None = None


class Announcement(Struct, frozen=True):
    """A webhook whose sender proved itself. `event` is the host's own word; `tag` is None where it is about no tag;
    `delivery` tells one delivery from its repetition, whatever its unsigned headers say; None: nothing does."""

    event: str
    tag: str | None
    delivery: str | None


class CheckResult(Struct, frozen=True):
    """The answer of `check`: the shape of `check --json`; `commit` is the newest release's, `warning` a sentence.

    `releases`: those between what is live and the newest, that one included, newest first.
    `commits_ahead`: how many commits HEAD is after the newest release, where it is. `reason`: why there is no release,
    `way`: what changes that; `held_back`: there are some, and the channel or the host keeps them back.
    """

    update_available: bool
    current_version: str | None
    latest_version: str | None
    latest_tag: str | None
    release_name: str | None
    release_notes: str | None
    published_at: str | None
    download_url: str | None
    tarball_url: str | None
    zipball_url: str | None
    source: str
    is_newer: bool
    is_same: bool
    is_older: bool
    checked_at: str
    from_cache: bool
    commit: str | None = None
    warning: str | None = None
    commits_ahead: int | None = None
    reason: str | None = None
    way: str | None = None
    held_back: bool = False
    releases: tuple[ReleaseNotes, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "releases": [asdict(each) for each in self.releases]}

    def nothing(self, live: str) -> str:
        """Why there is nothing to upgrade to; LIVE is what that is called which runs. No full stop at its end."""
        newest = clean(self.latest_tag or "")
        if self.latest_tag is None:
            return without_stop(self.reason or tr("There is no release"))
        if self.commits_ahead:
            return tr(
                "HEAD is {count} after {newest}, the newest release",
                count=count(self.commits_ahead, "commit"),
                newest=newest,
            )
        if self.is_older:
            return tr("{live}, which is live, is newer than the newest release, {newest}", live=live, newest=newest)
        return tr("{live} is the newest release", live=live)


class HttpStore(Protocol):
    """Small texts kept between runs."""

    def cache_get(self, key: str) -> str | None: ...
    def cache_put(self, key: str, value: str) -> None: ...
    def meta_get(self, key: str) -> str | None: ...
    def meta_put(self, key: str, value: str | None) -> None: ...


class GitRemote(Protocol):
    """What sources need of git."""

    def remote_url(self, name: str) -> str | None:
        """The URL of a remote (the user's `insteadOf` applied), NAME itself where it is a URL."""
        ...

    def ls_remote_tags(self, remote: str) -> Mapping[str, tuple[str, str]]:
        """Tag -> (object id, commit)."""
        ...

    def url_setting(self, name: str, url: str) -> str | None:
        """What git itself has set for URL: `http.proxy`, `http.sslCAInfo`."""
        ...

    def tag_message(self, tag: str) -> str | None: ...
    def tag_texts(self, remote: str, tags: Sequence[str], *, whole: bool) -> Mapping[str, str]:
        """What those of TAGS say that are annotated at REMOTE, which is asked for them; WHOLE: also where it hands them out
        only with the commits behind them."""
        ...

    def tag_dates(self, tags: Sequence[str]) -> Mapping[str, str]:
        """When those of TAGS that are here were made, ISO 8601 with zone: of an annotated tag its own, else its commit's."""
        ...

    def files_at(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Those of PATHS that COMMIT, which is here, has as files; none where one can't be read."""
        ...

    def fingerprint(self, name: str) -> str:
        """What changes where the URL of a remote does: a hash, since a URL may hold a password."""
        ...

    def ssh_host(self, host: str) -> str:
        """The host that ssh goes to for HOST, which may be an alias of the user's own (`Host github-work`)."""
        ...

    def commit_of(self, object_id: str) -> str | None:
        """The commit behind a tag's own object, where both are here."""
        ...

    def contained(self) -> frozenset[str]:
        """Ids (of tag objects and commits) of the tags here that lead to HEAD or to what HEAD is made of."""
        ...

    def commits_after(self, commit: str) -> int | None:
        """How many commits HEAD is after COMMIT; None where HEAD isn't made of it, or it isn't here."""
        ...

    def remotes_with_tags(self, but: str) -> Mapping[str, Sequence[str]]:
        """Remotes other than BUT (a name or URL) and their tags; those that can't be asked without a password are left out."""
        ...


class Setup(Struct, frozen=True):
    """What a source is made from.

    repo: as its host names it. url: the API's base address where it isn't the usual one. token: None without;
    token_variable: the variable that holds it or should. begin: tags that begin otherwise need not be listed.
    prefix: what stands before the version in a tag. remote: where git fetches from. client: makes the HTTP client,
    given what messages call the host, the API's base address, and the headers that prove who asks.
    """

    repo: str | None
    url: str | None
    token: str | None
    token_variable: str
    begin: str
    prefix: str
    remote: str
    git: GitRemote
    client: Callable[[Host, str, Mapping[str, str]], Client]


class Host(Struct, frozen=True):
    """What messages say of a host: its name, what a token of it must be allowed, and what to do about a login page."""

    name: str
    rights: str
    token_variable: str
    address_hint: str = tr("Check source.url: it must be the address of the API, not of the web page.")
    hourly_without_token: int = 0
    withheld: str = ""  # why a token that is set was not sent; empty: it was, or there is none


class Source(Protocol):
    """One host of releases. A new source is a class of this shape, found by `kind` or by the entry point group
    `gitdeploy.sources`. Every function that asks the host raises `SourceError`."""

    kind: ClassVar[str]
    order: ClassVar[Order]  # of `pages`: by version or by date, newest first, or neither
    tags_only: ClassVar[bool]  # it knows tags, and neither drafts nor prereleases

    def __init__(self, setup: Setup) -> None:
        """Asks nothing yet. Raises `ConfigError` for settings that it can't work with."""
        ...

    @property
    def name(self) -> str:
        """As a person calls the host: `GitHub`."""
        ...

    def pages(self) -> Iterator[Page]:
        """All tags and releases. The host is asked for a page when that page is taken, so a caller may stop early."""
        ...

    def details(self, releases: Sequence[Release]) -> Sequence[Release]:
        """The same with what the list didn't tell (name, notes, dates, prerelease); drafts are left out."""
        ...

    def release(self, tag: str) -> Release | None:
        """One release, with its commit; None where there is none."""
        ...

    def file(self, tag: str, path: str) -> str | None:
        """A text file at TAG (for notes); None where there is none or the host can't tell."""
        ...

    def git_url(self) -> str | None:
        """Where git fetches this repository from over HTTPS; None where only the remote knows."""
        ...

    def git_user(self) -> str:
        """The user name that goes with the token at that address."""
        ...

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        """What a webhook says, after its signature or token was checked over the raw BODY. Raises `WebhookRefused`."""
        ...
