"""Gitee (API v5). The token goes into a header, never into the address, which lands in logs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from gitdeploy.sources import webhooks
from gitdeploy.sources.base import Announcement, Host, Setup
from gitdeploy.sources.rest import ForgeSource, host_name, web_address

API = "https://gitee.com/api/v5"


class GiteeSource(ForgeSource):
    kind = "gitee"
    order = "date"

    def __init__(self, setup: Setup) -> None:
        self.base = setup.url or API
        host = Host(
            "Gitee" if self.base == API else host_name(self.base),
            "the right projects",
            setup.token_variable,
            address_hint=f"The API is at {API}.",
        )
        headers = {"Accept": "application/json"}
        if setup.token:
            headers["Authorization"] = f"Bearer {setup.token}"
        super().__init__(setup, host, self.base, headers)

    def tag_words(self) -> str:
        return "&sort=updated&direction=desc"

    def web(self) -> str:
        return web_address(self.base, "/api/v5")

    def git_user(self) -> str:
        return (self.setup.repo or "").partition("/")[0]

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        given, stamp = webhooks.header(headers, "X-Gitee-Token"), webhooks.header(headers, "X-Gitee-Timestamp")
        if webhooks.same(given, secret):
            webhooks.require_secret(secret)
            return webhooks.announcement(headers, body, event="X-Gitee-Event", delivery="X-Gitee-Delivery")
        webhooks.check_timed_signature(given, stamp, secret, time.time(), what="X-Gitee-Token")
        return webhooks.announcement(headers, body, event="X-Gitee-Event", signature=given)
