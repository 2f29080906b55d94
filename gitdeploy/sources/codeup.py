"""Aliyun Codeup (云效): tags only, of the organization and the region edition, in the present API and the old envelope.

Repositories are named ORGANIZATION/GROUP/NAME, where the organization is 24 hex digits; the region edition has no
organization and an address of its own (`source.url`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from gitdeploy.errors import ConfigError, SourceError
from gitdeploy.messages import joined, tr
from gitdeploy.sources import webhooks
from gitdeploy.sources.answers import Item, items
from gitdeploy.sources.base import Announcement, Host, Order, Page, Release, Setup
from gitdeploy.sources.http import Answer
from gitdeploy.sources.rest import JUST_ASKED, PAGE, bare, decoded, quoted
from gitdeploy.text import clean

API = "https://openapi-rdc.aliyuncs.com/oapi/v1/codeup"
WEB = "https://codeup.aliyun.com"
_PATH = "/oapi/v1/codeup"


class CodeupSource:
    kind: ClassVar[str] = "codeup"
    name = "Codeup"
    order: ClassVar[Order] = "date"
    tags_only: ClassVar[bool] = True

    def __init__(self, setup: Setup) -> None:
        first, _, rest = (setup.repo or "").partition("/")
        organization = first if re.fullmatch(r"[0-9a-f]{24}", first) else None
        if not setup.repo or (organization is None and setup.url is None) or (organization and not rest):
            raise ConfigError(
                tr(
                    "source.repo must be ORGANIZATION/GROUP/NAME for Codeup, where the organization is 24 "
                    "hex digits; it is {repo}.",
                    repo=clean(setup.repo or tr("not set"), limit=80),
                ),
                tr("It stands in the address of the repository's page. For a region edition set source.url instead."),
            )
        self.setup, self.organization = setup, organization
        base = (setup.url or API).rstrip("/")
        self.base = base if urlsplit(base).path else base + _PATH
        host = Host(
            self.name,
            "the right 代码管理 / 标签 / 只读 (tags: read)",
            setup.token_variable,
            address_hint=f"The API is at {API}; source.url is needed for a region edition only (https://DOMAIN{_PATH}).",
        )
        headers = {"Accept": "application/json", **({"x-yunxiao-token": setup.token} if setup.token else {})}
        self.client = setup.client(host, self.base, headers)
        place = f"/organizations/{organization}" if organization else ""
        self.path = f"{place}/repositories/{quoted(rest if organization else setup.repo)}"

    def pages(self) -> Iterator[Page]:
        number, more = 1, True
        while more:
            answer = self.client.get(
                f"{self.path}/tags?page={number}&perPage={PAGE}&orderBy=create&sort=desc{self._search(self.setup.begin)}"
            )
            entries, total = self._unwrapped(answer)
            found = [self._tag(item) for item in items(entries, self.name, "tag")]
            pages = answer.number("x-total-pages")
            more = number < pages if pages is not None else len(found) >= PAGE
            yield Page(found, more, total)
            number += 1

    @staticmethod
    def _search(text: str) -> str:
        return f"&search={quoted(text)}" if len(text) > 1 else ""

    def _unwrapped(self, answer: Answer) -> tuple[Any, int | None]:
        """The list, bare or in the old API's envelope, and how many there are."""
        if not isinstance(answer.data, dict):
            return answer.data, answer.number("x-total")
        envelope = Item(answer.data, self.name, tr("the answer"))
        if "result" not in answer.data or not envelope.flag("success"):
            said = joined(" ", filter(None, (envelope.maybe("errorCode"), envelope.maybe("errorMessage"))))
            raise SourceError(
                tr("Codeup refuses: {said}.", said=clean(said, limit=200) or tr("it does not say why")),
                tr("Check source.repo, and that the token has the right 代码管理 / 标签 / 只读 (tags: read)."),
            )
        total = answer.data.get("total")
        return answer.data["result"], total if isinstance(total, int) else None

    def _tag(self, item: Item) -> Release:
        tag, commit = item.text("name"), item.inner("commit")
        date = (commit.maybe("committedDate") or commit.maybe("authoredDate")) if commit else None
        return bare(
            self.setup,
            tag,
            commit=commit.maybe("id") if commit else None,
            notes=item.notes("message"),
            date=_with_zone(date),
            url=f"{WEB}/{self.setup.repo}/tags" if self.organization else "",
        )

    def details(self, releases: Sequence[Release]) -> Sequence[Release]:
        return releases

    def release(self, tag: str) -> Release | None:
        answer = self.client.get(f"{self.path}/tags?page=1&perPage={PAGE}{self._search(tag)}")
        entries, _ = self._unwrapped(answer)
        return next((made for made in map(self._tag, items(entries, self.name, "tag")) if made.tag == tag), None)

    def file(self, tag: str, path: str) -> str | None:
        answer = self.client.get(
            f"{self.path}/files/{quoted(path)}?ref={quoted(tag)}", none_for=(403, 404), fresh_for=JUST_ASKED
        )
        return decoded(Item(answer.data, self.name, tr("a file"))) if isinstance(answer.data, dict) else None

    def git_url(self) -> str | None:
        return f"{WEB}/{self.setup.repo}.git" if self.organization else None

    def git_user(self) -> str:
        return "oauth2"

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        webhooks.check_token(webhooks.header(headers, "X-Codeup-Token"), secret, what="X-Codeup-Token")
        return webhooks.announcement(headers, body, event="Codeup-Event", delivery="X-Codeup-Delivery")


def _with_zone(date: str | None) -> str | None:
    """The old API's dates are China's, without a zone: `2022-03-18 10:00:00`."""
    if date and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", date, re.ASCII):
        return date.replace(" ", "T") + "+08:00"
    return date
