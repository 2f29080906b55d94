"""GitLab (API v4), its own or a private one. Its list of tags can be ordered by version, so one page is enough; before
15.4 it can't (400), and all pages are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.sources import webhooks
from gitdeploy.sources.answers import Item, items
from gitdeploy.sources.base import Announcement, Host, Order, Page, Release, Setup
from gitdeploy.sources.http import Answer
from gitdeploy.sources.rest import JUST_ASKED, PAGE, bare, decoded, host_name, quoted, web_address
from gitdeploy.text import clean

API = "https://gitlab.com/api/v4"


class GitLabSource:
    kind: ClassVar[str] = "gitlab"
    order: Order = "version"
    tags_only: ClassVar[bool] = False

    def __init__(self, setup: Setup) -> None:
        if not setup.repo:
            raise ConfigError(
                tr("source.repo must be set for GitLab: GROUP/NAME."),
                tr("Set source.repo in deploy.yaml, or source.type: git."),
            )
        self.base = (setup.url or API).rstrip("/")
        if not self.base.endswith("/api/v4"):
            self.base += "/api/v4"
        self.setup = setup
        self.name = "GitLab" if self.base == API else host_name(self.base)
        host = Host(
            self.name,
            "the scope read_api (for git: read_repository)",
            setup.token_variable,
            address_hint="The API is at https://HOST/api/v4.",
        )
        headers = {"Accept": "application/json", **({"PRIVATE-TOKEN": setup.token} if setup.token else {})}
        self.client = setup.client(host, self.base, headers)
        self.path = f"/projects/{quoted(setup.repo)}"
        self._without_release: set[str] = set()

    def pages(self) -> Iterator[Page]:
        search = f"&search={quoted('^' + self.setup.begin)}" if self.setup.begin else ""
        words = f"&sort=desc&per_page={PAGE}{search}"
        number: int | None = 1
        while number is not None:
            path = f"{self.path}/repository/tags?order_by={{}}{words}&page={number}"
            old = self.order != "version"
            answer = self.client.get(path.format("updated" if old else "version"), none_for=() if old else (400,))
            if answer.missing:
                self.order = "none"
                answer = self.client.get(path.format("updated"))
            found = [self._tag(item) for item in items(answer.data, self.name, "tag")]
            number = _next_page(answer)
            yield Page(found, number is not None, answer.number("x-total"))

    def _tag(self, item: Item) -> Release:
        tag, commit, release = item.text("name"), item.inner("commit"), item.inner("release")
        if release is None:
            self._without_release.add(tag)
        else:
            self._without_release.discard(tag)
        return bare(
            self.setup,
            tag,
            commit=commit.maybe("id") if commit else None,
            notes=release.notes("description") if release else item.notes("message"),
            date=item.maybe("created_at") or (commit.maybe("created_at") if commit else None),
            url=f"{self._web()}/{self.setup.repo}/-/{'releases' if release else 'tags'}/{quoted(tag)}",
        )

    def details(self, releases: Sequence[Release]) -> Sequence[Release]:
        wanted = [release for release in releases if release.tag not in self._without_release]
        listed: dict[str, Item] = {}
        if len(wanted) > 1:
            answer = self.client.get(
                f"{self.path}/releases?order_by=released_at&sort=desc&per_page={PAGE}", fresh_for=JUST_ASKED
            )
            listed = {item.text("tag_name"): item for item in items(answer.data, self.name, "release")}
        made = []
        for release in releases:
            item = listed.get(release.tag) or (self._item(release.tag) if release in wanted else None)
            whole = _merged(release, item) if item else release
            if whole is not None:
                made.append(whole)
        return made

    def _item(self, tag: str) -> Item | None:
        answer = self.client.get(f"{self.path}/releases/{quoted(tag)}", none_for=(404,), fresh_for=JUST_ASKED)
        return (
            Item(answer.data, self.name, tr("release {tag}", tag=clean(tag, limit=60)))
            if answer.data is not None
            else None
        )

    def release(self, tag: str) -> Release | None:
        answer = self.client.get(f"{self.path}/repository/tags/{quoted(tag)}", none_for=(404,))
        if answer.data is None:
            next(iter(self.pages()))  # a project that is hidden from us answers so too, and its list says that
            return None
        return next(
            iter(self.details([self._tag(Item(answer.data, self.name, tr("tag {tag}", tag=clean(tag, limit=60))))])),
            None,
        )

    def file(self, tag: str, path: str) -> str | None:
        answer = self.client.get(
            f"{self.path}/repository/files/{quoted(path)}?ref={quoted(tag)}", none_for=(404,), fresh_for=JUST_ASKED
        )
        return decoded(Item(answer.data, self.name, tr("a file"))) if answer.data is not None else None

    def _web(self) -> str:
        return web_address(self.base, "/api/v4")

    def git_url(self) -> str | None:
        return f"{self._web()}/{self.setup.repo}.git"

    def git_user(self) -> str:
        return "oauth2"

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        webhooks.check_token(webhooks.header(headers, "X-Gitlab-Token"), secret, what="X-Gitlab-Token")
        return webhooks.announcement(headers, body, event="X-Gitlab-Event", delivery="X-Gitlab-Event-UUID")


def _merged(release: Release, item: Item) -> Release | None:
    """A tag with what its release adds; None for one whose date hasn't come. (A date is compared where it is used: the
    host's `upcoming_release` would go stale in the cache.)"""
    date = item.maybe("released_at") or item.maybe("created_at")
    if item.flag("upcoming_release") and not date:
        return None
    links = item.inner("_links")
    return replace(
        release,
        name=item.line("name") or release.name,
        notes=item.notes("description"),
        published_at=date or release.published_at,
        url=(links.link("self") if links else "") or release.url,
        announced=True,
    )


def _next_page(answer: Answer) -> int | None:
    """`X-Next-Page` (empty on the last one), else a `Link` to the next."""
    if (number := answer.number("x-next-page")) is not None:
        return number
    link = answer.link("next")
    for part in (link or "").partition("?")[2].split("&"):
        if part.startswith("page=") and part[5:].isdigit():
            return int(part[5:])
    return None
