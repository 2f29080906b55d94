"""The shapes that sources share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Release:
    """A release that a source announces. `commit` is None where the source doesn't say; `version` has no leading v."""

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


@dataclass(frozen=True, slots=True)
class Current:
    """What is live."""

    version: str | None
    tag: str | None
    commit: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer of `check`: the shape of `check --json`; `commit` is the newest release's, `warning` a sentence."""

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

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class HttpStore(Protocol):
    """Small texts kept between runs."""

    def cache_get(self, key: str) -> str | None: ...
    def cache_put(self, key: str, value: str) -> None: ...
    def meta_get(self, key: str) -> str | None: ...
    def meta_put(self, key: str, value: str | None) -> None: ...


class GitRemote(Protocol):
    """What sources need of git."""

    def remote_url(self, name: str) -> str | None: ...
    def ls_remote_tags(self, remote: str) -> Mapping[str, tuple[str, str]]:
        """Tag -> (object id, commit)."""
        ...

    def tag_message(self, tag: str) -> str | None: ...
    def file_at(self, commit: str, path: str) -> bytes | None: ...


class Source(Protocol):
    """One host of releases. A new source is a new file with a class of this shape."""

    @property
    def name(self) -> str: ...

    def releases(self) -> Sequence[Release]:
        """Everything that it announces, in any order. Raises `SourceError`."""
        ...

    def release(self, tag: str) -> Release | None:
        """One release, None where it doesn't have it. Raises `SourceError`."""
        ...
