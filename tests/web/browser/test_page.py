"""What somebody sees and does who upgrades with the page, in a real browser."""

from __future__ import annotations

from typing import Any

from web.browser.shop import Shop


def test_look(shop: Shop, open_page: Any, shoot: Any) -> None:
    shop.publish("1.1.0", migrate="echo one column added; sleep 1")
    tab = open_page(log_in=False)
    tab.goto("/upgrade/login")
    shoot(tab, "login", full_page=True)
    tab = open_page()
    tab.get_by_role("button", name="Check for updates").click()
    tab.get_by_role("heading", name="v1.1.0 is available").wait_for()
    shoot(tab, "update", full_page=True)
    tab.get_by_role("button", name="Upgrade to v1.1.0", exact=True).click()
    tab.get_by_text("A backup of v1.0.0 is made first").wait_for()
    shoot(tab, "confirm")
    tab.get_by_role("dialog").get_by_role("button", name="Upgrade to v1.1.0").click()
    tab.get_by_role("heading", name="Upgrading to v1.1.0").wait_for()
    shoot(tab, "running-1")
    tab.wait_for_timeout(800)
    shoot(tab, "running-2")
    tab.get_by_role("heading", name="v1.1.0 is live").wait_for()
    shoot(tab, "done", full_page=True)
