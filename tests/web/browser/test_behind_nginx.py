"""The page under a path of its own behind nginx with TLS, as the guide sets it up, in a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.waiting import free_port
from web.browser.shop import Shop
from web.nginx import NAME, needs_nginx, nginx_before
from web.test_web_api import until_up

pytestmark = needs_nginx
PREFIX = "/tools/otrs"


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Shop]:
    """The app with `gitdeploy web` beside it, reached as https://shop.example.com/tools/otrs/upgrade/."""
    shop = Shop(tmp_path)
    shop.more = f"web: {{hosts: [{NAME}], trusted_proxies: [127.0.0.1]}}\n"
    shop.open()
    page, outside = free_port(), free_port()
    token = {"GITDEPLOY_WEB_TOKEN": shop.token}
    server = shop.start("web", "--port", str(page), env=token, stdout=subprocess.DEVNULL)
    try:
        with nginx_before(page, outside, tmp_path, prefix=PREFIX):
            until_up(page)
            shop.address = f"https://{NAME}:{outside}"
            yield shop
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)
        shop.stop()


LISTEN = """
(address) => new Promise((resolve, reject) => {
  const stream = new EventSource(address);
  stream.onmessage = (event) => event.data.includes("one column added") && (stream.close(), resolve("heard"));
  stream.onerror = () => reject("no stream");
})
"""


def test_log_in_check_and_upgrade_to_the_end_under_a_prefix(proxied: Shop, open_page: Any) -> None:
    proxied.publish("1.1.0", migrate="echo one column added; until [ -e run/enough ]; do sleep 0.1; done")
    tab = open_page(proxied, log_in=False, ignore_https_errors=True)
    strays: list[str] = []
    tab.on(
        "request", lambda asked: None if f"{NAME}:" in asked.url and PREFIX in asked.url else strays.append(asked.url)
    )
    tab.goto(f"{PREFIX}/upgrade/")
    tab.get_by_label("Token").fill(proxied.token)
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**{PREFIX}/upgrade/")
    cookies = [each for each in tab.context.cookies() if each["name"] == "gitdeploy_session"]
    assert [(each["path"], each["secure"]) for each in cookies] == [(f"{PREFIX}/upgrade", True)]
    tab.get_by_role("button", name="Check for updates").click()
    tab.get_by_role("button", name="Upgrade to v1.1.0", exact=True).click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_text("What happens").wait_for()
    dialog.get_by_role("button", name="Upgrade to v1.1.0").click()
    tab.get_by_role("heading", name="Upgrading to v1.1.0").wait_for()
    tab.locator("#run .log pre", has_text="one column added").wait_for(state="attached")
    # The hook waits for us: what nginx held back until a buffer is full would never be heard.
    assert tab.evaluate(LISTEN, f"{PREFIX}/upgrade/api/events?deployment=1") == "heard"
    (proxied.app / "run/enough").touch()
    tab.get_by_role("heading", name="v1.1.0 is live").wait_for()
    tab.get_by_role("link", name="中文").click()
    tab.get_by_role("heading", name="v1.1.0 已上线").wait_for()
    tab.get_by_role("button", name="退出登录").click()
    tab.wait_for_url(f"**{PREFIX}/upgrade/login")
    assert strays == []
    assert "(web, from 127.0.0.1)" in proxied.gitdeploy("--json", "log").out
