"""What the sources with a REST API have in common."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.sources.answers import Item, items
from gitdeploy.sources.base import Host, Order, Page, Release, Setup
from gitdeploy.sources.http import Answer, Client
from gitdeploy.text import clean
from gitdeploy.versions import read_version, version_text

PAGE = 100  # entries asked for at once
JUST_ASKED = 60.0  # seconds: what was asked so short ago is not asked again while the list of tags is unchanged
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def quoted(text: str) -> str:
    """TEXT as one segment of an address: no slash, dot segment or question mark in it can mean anything."""
    return quote(text, safe="")


def object_id(text: str | None) -> str | None:
    return text if text and _OBJECT_ID.fullmatch(text) else None


def bare(
    setup: Setup, tag: str, *, commit: str | None, notes: str = "", date: str | None = None, url: str = ""
) -> Release:
    """A tag without a release: all that its name, its message and its commit tell."""
    version = read_version(tag, setup.prefix)
    return Release(
        tag=tag,
        version=version_text(tag, setup.prefix),
        name=clean(tag, limit=200),
        notes=notes,
        url=url,
        published_at=date,
        commit=object_id(commit),
        prerelease=bool(version is not None and version.is_prerelease),
    )


def decoded(item: Item) -> str | None:
    """The text of a file that a host sends as base64."""
    if item.data.get("encoding") not in (None, "base64"):
        return item.maybe("content")
    try:
        return base64.b64decode(item.maybe("content") or "").decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def web_address(base: str, suffix: str) -> str:
    """A private host's own address, from its API's: without the SUFFIX of the path."""
    return base.removesuffix(suffix).rstrip("/")


class ForgeSource:
    """GitHub, Gitee, Gitea: a list of tags beside a list of releases, `/repos/{owner}/{name}` before both.

    The list of tags is asked first, since it is complete; a release only adds name, notes, date and flags to its tag.
    """

    kind: ClassVar[str]
    order: ClassVar[Order]
    tags_only: ClassVar[bool] = False
    page_words: ClassVar[str] = f"per_page={PAGE}"
    page_size: ClassVar[int] = PAGE

    def __init__(self, setup: Setup, host: Host, base: str, headers: dict[str, str]) -> None:
        owner, _, name = (setup.repo or "").partition("/")
        if not owner or not name or "/" in name:
            raise ConfigError(
                tr(
                    "source.repo must be OWNER/NAME for {host}; it is {repo}.",
                    host=host.name,
                    repo=clean(setup.repo or tr("not set"), limit=80),
                ),
                tr("Set source.repo in deploy.yaml, for instance scaleflower/otrs-web."),
            )
        self.setup, self.host = setup, host
        self.client: Client = setup.client(host, base, headers)
        self.repo = f"{owner}/{name}"
        self.path = f"/repos/{quoted(owner)}/{quoted(name)}"

    @property
    def name(self) -> str:
        return self.host.name

    def pages(self) -> Iterator[Page]:
        number, more = 1, True
        while more:
            answer = self.client.get(f"{self.path}/tags?{self.page_words}&page={number}{self.tag_words()}")
            found = [self.tag(item) for item in items(answer.data, self.name, "tag")]
            more = self.has_more(answer, number, len(found))
            yield Page(found, more, answer.number("x-total-count", "total_count"))
            number += 1

    def tag_words(self) -> str:
        """More of the query for the list of tags."""
        return ""

    def tag(self, item: Item) -> Release:
        """One entry of the list of tags."""
        commit = item.inner("commit")
        return bare(
            self.setup,
            item.text("name"),
            commit=commit.maybe("sha") if commit else None,
            notes=item.notes("message"),
            date=commit.maybe("created") or commit.maybe("date") if commit else None,
            url=self.tag_page(item.text("name")),
        )

    def has_more(self, answer: Answer, number: int, count: int) -> bool:
        pages = answer.number("total_page")
        if pages is not None:
            return number < pages
        return answer.link("next") is not None

    def details(self, releases: Sequence[Release]) -> Sequence[Release]:
        if len(releases) == 1:
            made = self._whole(releases[0])
            return [made] if made else []
        answer = self.client.get(f"{self.path}/releases?{self.page_words}&page=1", fresh_for=JUST_ASKED)
        listed = {item.text("tag_name"): item for item in items(answer.data, self.name, "release")}
        more = self.has_more(answer, 1, len(listed))
        found = []
        for release in releases:
            item = listed.get(release.tag)
            made = self.merged(release, item) if item else self._whole(release) if more else release
            if made is not None:
                found.append(made)
        return found

    def _whole(self, release: Release) -> Release | None:
        answer = self.client.get(
            f"{self.path}/releases/tags/{quoted(release.tag)}", none_for=(404,), fresh_for=JUST_ASKED
        )
        if answer.data is not None:
            return self.merged(
                release,
                Item(answer.data, self.name, tr("release {release_tag}", release_tag=clean(release.tag, limit=60))),
            )
        return None if self._drafted(release.tag) else self.annotated(release)

    def _drafted(self, tag: str) -> bool:
        """Whether TAG's release is still a draft, which only those who may push are shown."""
        if self.setup.token is None:
            return False
        answer = self.client.get(
            f"{self.path}/releases?{self.page_words}&page=1", none_for=(404,), fresh_for=JUST_ASKED
        )
        found = items(answer.data, self.name, "release") if answer.data is not None else ()
        return any(item.maybe("tag_name") == tag and item.flag("draft") for item in found)

    def annotated(self, release: Release) -> Release:
        """A tag without a release, with what its own object tells."""
        return release

    def merged(self, release: Release, item: Item) -> Release | None:
        """A tag with what its release adds; None for a draft."""
        if item.flag("draft"):
            return None
        return replace(
            release,
            name=item.line("name") or release.name,
            notes=item.notes("body"),
            url=item.link("html_url") or self.tag_page(release.tag),
            published_at=item.maybe("published_at") or item.maybe("created_at") or release.published_at,
            prerelease=item.flag("prerelease") or release.prerelease,
            tarball_url=item.link("tarball_url"),
            zipball_url=item.link("zipball_url"),
            announced=True,
        )

    def release(self, tag: str) -> Release | None:
        found = next((each for page in self.pages() for each in page.releases if each.tag == tag), None)
        return self._whole(found) if found else None

    def file(self, tag: str, path: str) -> str | None:
        answer = self.client.get(
            f"{self.path}/contents/{quoted(path)}?ref={quoted(tag)}", none_for=(404,), fresh_for=JUST_ASKED
        )
        return decoded(Item(answer.data, self.name, tr("a file"))) if isinstance(answer.data, dict) else None

    def web(self) -> str:
        """The host's own address, for people and git."""
        raise NotImplementedError

    def tag_page(self, tag: str) -> str:
        return f"{self.web()}/{self.repo}/releases/tag/{quoted(tag)}"

    def git_url(self) -> str | None:
        return f"{self.web()}/{self.repo}.git"


def host_name(base: str) -> str:
    """How messages call a private host: its own name and port."""
    return clean(urlsplit(base).netloc.rpartition("@")[2], limit=100)
