"""Looking at the page: what it says, in which language and colours, on which screen, and without a script."""

from __future__ import annotations

from typing import Any

import pytest
from web.browser.shop import Shop


def fits(tab: Any) -> bool:
    """Whether nothing is wider than the window."""
    return bool(tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def open_everything(tab: Any) -> None:
    """Open each release, deployment and setting, and wait until all of it is there."""
    tab.locator("[data-part=releases] li").first.wait_for()
    tab.get_by_text("healthy", exact=True).wait_for()
    tab.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
    tab.locator("[data-part=deployments] .log pre").last.wait_for()
    tab.get_by_text("What happens").first.wait_for()


def test_it_says_what_is_live_what_waits_and_what_happened(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(lived_in)
    live = tab.locator(".live")
    assert live.get_by_role("heading", name="v1.1.0", exact=True).is_visible()
    live.get_by_text("healthy", exact=True).wait_for()
    assert live.get_by_role("heading", name="v1.3.0 is available").is_visible()
    assert live.get_by_text("PDF and text files are searched, too").is_visible(), "the notes"
    ending = tab.locator("#ending")
    assert ending.get_by_role("heading", name="v1.2.0 failed; v1.1.0 runs again").is_visible()
    assert "rolled back automatically. Nothing was lost." in ending.inner_text()
    assert "500" in ending.inner_text(), "why it failed"
    releases = tab.locator("[data-part=releases]")
    releases.get_by_text("Rolled back here").wait_for()
    assert releases.locator("summary").all_inner_texts()[0].startswith("v1.3.0")
    backups = tab.locator("[data-part=backups] li")
    assert [text.split("\n")[0] for text in backups.all_inner_texts()] == ["v1.1.0 of a failed deployment", "v1.0.0"]
    assert "code, venv, kept files" in backups.last.inner_text()
    rows = tab.locator("[data-part=deployments] summary").all_inner_texts()
    assert ["Rolled back" in rows[0], "Succeeded" in rows[1]] == [True, True]
    shoot(tab, "page", full_page=True)


def test_the_log_of_a_deployment_opens_in_its_place(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(lived_in)
    tab.locator("#ending").get_by_role("link", name="Steps and log").click()
    opened = tab.locator("[data-part=deployments] details[open]")
    opened.get_by_role("heading", name="v1.2.0 failed; v1.1.0 runs again").wait_for()
    assert "Switch: undone" in opened.locator(".steps").inner_text().replace("\n", "")
    assert "won't be retried automatically" in opened.locator("pre").inner_text()
    shoot(tab, "log", top=False)


def test_the_settings_are_shown_and_secrets_are_not(lived_in: Shop, open_page: Any) -> None:
    tab = open_page(lived_in)
    tab.get_by_text("All settings").click()
    row = tab.locator("tr", has=tab.get_by_text("health.timeout", exact=True))
    assert "30" in row.inner_text()
    assert "deploy.yaml" in row.inner_text()
    assert lived_in.token not in tab.content()


def test_in_chinese_as_the_browser_asks_and_in_english_by_the_switch(
    lived_in: Shop, open_page: Any, shoot: Any
) -> None:
    tab = open_page(lived_in, locale="zh-CN")
    assert tab.locator("html").get_attribute("lang") == "zh-CN"
    assert tab.get_by_role("heading", name="有新版本 v1.3.0").is_visible()
    assert tab.get_by_role("heading", name="v1.2.0 失败；v1.1.0 已恢复运行").is_visible()
    tab.get_by_text("健康", exact=True).wait_for()
    tab.locator("[data-part=releases] li").first.wait_for()
    shoot(tab, "chinese")
    tab.get_by_role("link", name="English").click()
    tab.get_by_role("heading", name="v1.3.0 is available").wait_for()
    tab.reload()
    assert tab.get_by_role("heading", name="v1.3.0 is available").is_visible(), "the choice is remembered"
    assert "?" not in tab.url


def test_dark_where_the_system_is_dark_and_light_by_the_switch(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    def background(tab: Any) -> int:
        colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    tab = open_page(lived_in, color_scheme="dark")
    tab.get_by_text("healthy", exact=True).wait_for()
    tab.locator("[data-part=releases] li").first.wait_for()
    assert background(tab) < 150
    shoot(tab, "dark", full_page=True)
    tab.get_by_role("link", name="Light").click()
    assert background(tab) > 600
    tab.reload()
    assert background(tab) > 600, "the choice is remembered"


def test_on_a_phone_nothing_is_wider_than_the_screen(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(lived_in, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    tab.get_by_text("healthy", exact=True).wait_for()
    shoot(tab, "phone")
    open_everything(tab)
    assert fits(tab)
    shoot(tab, "phone-open", full_page=True)
    tab.get_by_role("button", name="Upgrade to v1.3.0", exact=True).click()
    tab.get_by_role("dialog").get_by_text("What happens").wait_for()
    assert fits(tab)
    shoot(tab, "phone-confirm")


@pytest.mark.parametrize("options", [{}, {"locale": "zh-CN", "color_scheme": "dark"}], ids=["light", "dark-chinese"])
def test_axe_finds_nothing_serious(lived_in: Shop, open_page: Any, options: dict[str, str]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (PyPI)")

    def findings(tab: Any) -> list[str]:
        # The script comes through the browser's own tools, which no Content-Security-Policy keeps out.
        found = axe.Axe().run(tab, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{each['id']} ({each['impact']}): {node['html']} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    tab = open_page(lived_in, log_in=False, **options)
    tab.goto("/upgrade/login")
    assert findings(tab) == []
    tab = open_page(lived_in, **options)
    tab.locator("[data-part=releases] li").first.wait_for()
    if not options:
        open_everything(tab)
    assert findings(tab) == []
    for name in ("upgrade", "restore", "label", "delete", "hold"):
        tab.locator(f"[data-dialog={name}]").first.click()
        tab.locator(f"#dialog-{name}[open]").wait_for()
        if name in ("upgrade", "restore"):
            tab.locator(f"#dialog-{name} .how").wait_for()
        assert findings(tab) == [], name
        tab.keyboard.press("Escape")


def test_without_a_script_state_and_history_read(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(lived_in, log_in=False, java_script_enabled=False)
    tab.goto("/upgrade/")
    tab.get_by_label("Token").fill(lived_in.token)
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("heading", name="v1.1.0", exact=True).wait_for()
    assert tab.get_by_role("heading", name="v1.3.0 is available").is_visible()
    assert tab.get_by_role("heading", name="v1.2.0 failed; v1.1.0 runs again").is_visible()
    assert tab.get_by_text("Buttons need JavaScript").is_visible()
    assert tab.get_by_role("button", name="Upgrade to v1.3.0").count() == 0, "a button that does nothing"
    shoot(tab, "no-script", full_page=True)
    tab.get_by_role("link", name="Steps and log").first.click()
    assert "won't be retried automatically" in tab.locator("#opened pre").inner_text()
    tab.get_by_role("link", name="Show the releases").click()
    assert "Rolled back here" in tab.locator("[data-part=releases]").inner_text()
    tab.get_by_role("link", name="中文").click()
    assert tab.get_by_role("heading", name="有新版本 v1.3.0").is_visible()


def test_who_may_only_look_gets_no_buttons(lived_in: Shop, open_page: Any) -> None:
    token = lived_in.gitdeploy("web", "token", "add", "screen", "--read-only").out.strip()
    tab = open_page(lived_in, token=token)
    assert tab.get_by_text("this token is read-only").is_visible()
    tab.locator("[data-part=releases] li").first.wait_for()
    assert tab.locator("[data-dialog]").count() == 0
    assert tab.get_by_role("button").all_inner_texts() == ["Log out", "Check for updates"]
    lived_in.gitdeploy("web", "token", "revoke", "screen")
    tab.get_by_role("button", name="Check for updates").click()
    tab.get_by_role("alert").get_by_role("link", name="You were logged out").click()
    tab.get_by_label("Token").wait_for()


def test_a_wrong_token_is_told_and_logging_out_ends_the_session(lived_in: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(lived_in, log_in=False)
    tab.goto("/upgrade/")
    shoot(tab, "login")
    tab.get_by_label("Token").fill("nonsense")
    tab.keyboard.press("Enter")
    assert "not known here" in tab.get_by_role("alert").inner_text()
    shoot(tab, "login-wrong")
    tab.get_by_label("Token").fill(lived_in.token)
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="v1.1.0", exact=True).wait_for()
    tab.get_by_role("button", name="Log out").click()
    tab.get_by_label("Token").wait_for()
    tab.goto("/upgrade/")
    assert tab.get_by_label("Token").is_visible()
