"""GitHub and GitHub Enterprise Server (REST API 2022-11-28).

Tags come from `git/matching-refs/tags/PREFIX`: every one in a single answer, however many (`/tags` needs a page for
each hundred and has no order). What such a ref names is the tag's own object where the tag is annotated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from gitdeploy.messages import tr
from gitdeploy.sources import webhooks
from gitdeploy.sources.answers import Item, items
from gitdeploy.sources.base import Announcement, Host, Page, Release, Setup
from gitdeploy.sources.rest import JUST_ASKED, ForgeSource, bare, host_name, object_id, quoted, web_address
from gitdeploy.text import clean

API = "https://api.github.com"


class GitHubSource(ForgeSource):
    kind = "github"
    order = "none"

    def __init__(self, setup: Setup) -> None:
        base = setup.url or API
        host = Host(
            "GitHub" if base == API else host_name(base),
            "the right Contents: read",
            setup.token_variable,
            address_hint="The API is at https://api.github.com, of a GitHub Enterprise Server at https://HOST/api/v3.",
            hourly_without_token=60 if base == API else 0,
        )
        self.base = base
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if setup.token:
            headers["Authorization"] = f"Bearer {setup.token}"
        super().__init__(setup, host, base, headers)

    def pages(self) -> Iterator[Page]:
        answer = self.client.get(f"{self.path}/git/matching-refs/tags/{quoted(self.setup.begin)}", none_for=(409,))
        found = [self._ref(item) for item in items([] if answer.missing else answer.data, self.name, "ref")]
        yield Page(found, total=len(found))

    def _ref(self, item: Item) -> Release:
        tag = item.text("ref").removeprefix("refs/tags/")
        target = item.inner("object")
        oid = object_id(target.maybe("sha")) if target else None
        annotated = target is not None and target.maybe("type") == "tag"
        made = bare(self.setup, tag, commit=None if annotated else oid, url=self.tag_page(tag))
        return replace(made, object_id=oid)

    def annotated(self, release: Release) -> Release:
        if release.commit or not release.object_id:
            return release
        answer = self.client.get(f"{self.path}/git/tags/{release.object_id}", none_for=(404,), fresh_for=JUST_ASKED)
        if answer.data is None:
            return release
        item = Item(answer.data, self.name, tr("tag {release_tag}", release_tag=clean(release.tag, limit=60)))
        target, tagger = item.inner("object"), item.inner("tagger")
        commit = target.maybe("sha") if target and target.maybe("type") == "commit" else None
        return replace(
            release,
            commit=object_id(commit),
            notes=release.notes or item.notes("message"),
            published_at=release.published_at or (tagger.maybe("date") if tagger else None),
        )

    def release(self, tag: str) -> Release | None:
        answer = self.client.get(f"{self.path}/git/matching-refs/tags/{quoted(tag)}", none_for=(409,))
        refs = items([] if answer.missing else answer.data, self.name, "ref")
        found = next((made for made in map(self._ref, refs) if made.tag == tag), None)
        whole = next(iter(self.details([found])), None) if found else None
        return self.annotated(whole) if whole else None

    def web(self) -> str:
        return "https://github.com" if self.base == API else web_address(self.base, "/api/v3")

    def git_user(self) -> str:
        return "x-access-token"

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        given = webhooks.header(headers, "X-Hub-Signature-256").removeprefix("sha256=")
        webhooks.check_hmac(given, body, secret, what="X-Hub-Signature-256")
        return webhooks.announcement(headers, body, event="X-GitHub-Event")
