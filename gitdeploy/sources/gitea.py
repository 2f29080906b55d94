"""Gitea and Forgejo (Codeberg and many private hosts): API v1."""

from __future__ import annotations

from collections.abc import Mapping

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.sources import webhooks
from gitdeploy.sources.base import Announcement, Host, Setup
from gitdeploy.sources.rest import ForgeSource, host_name, web_address


class GiteaSource(ForgeSource):
    kind = "gitea"
    order = "date"
    page_words = "limit=50&draft=false"
    page_size = 50

    def __init__(self, setup: Setup) -> None:
        if not setup.url:
            raise ConfigError(
                tr("source.type is gitea, which needs source.url: the address of your host."),
                tr("Set source.url in deploy.yaml, for instance https://codeberg.org/api/v1"),
            )
        self.base = setup.url.rstrip("/")
        if not self.base.endswith("/api/v1"):
            self.base += "/api/v1"
        host = Host(
            host_name(self.base),
            "the scope read:repository",
            setup.token_variable,
            address_hint="The API is at https://HOST/api/v1.",
        )
        headers = {"Accept": "application/json"}
        if setup.token:
            headers["Authorization"] = f"token {setup.token}"
        super().__init__(setup, host, self.base, headers)

    def web(self) -> str:
        return web_address(self.base, "/api/v1")

    def git_user(self) -> str:
        return "gitdeploy"

    @staticmethod
    def parse_webhook(headers: Mapping[str, str], body: bytes, secret: str) -> Announcement:
        given = webhooks.header(headers, "X-Gitea-Signature") or webhooks.header(headers, "X-Forgejo-Signature")
        webhooks.check_hmac(given, body, secret, what="X-Gitea-Signature")
        return webhooks.announcement(headers, body, event="X-Gitea-Event")
