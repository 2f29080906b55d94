"""A real browser before a real app that embeds the page, on a release of its own that it upgrades.

Packages: chromium fonts-dejavu-core fonts-wqy-microhei (Debian), playwright and axe-playwright-python (PyPI).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import needs
from web.browser.shop import Shop
from web.nginx import NAME

CHROMIUM = needs.found("chromium") or needs.found("chromium-browser") or ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            if not CHROMIUM:
                item.add_marker(pytest.mark.skip(reason=needs.lacks_program("chromium")))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, started once."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (PyPI: playwright)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-proxy-server",
                f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The app on v1.0.0, running, with the page at /upgrade/; v1.1.0 and a broken v1.2.0 are released when a test says so."""
    made = Shop(tmp_path)
    made.open()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The app with a history, to be looked at only: v1.1.0 is live, v1.2.0 was rolled back, v1.3.0 waits."""
    made = Shop(tmp_path_factory.mktemp("lived-in"))
    made.open()
    made.live_in()
    yield made
    made.stop()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """A tab of a browser of one's own, logged in: `open_page(shop, locale="zh-CN", viewport=...)`. What the page must
    never do fails the test at its end: an error of the script, something that the Content-Security-Policy forbids."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def heard(message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text and "ERR_" not in message.text:
            complaints.append(message.text)

    def opened(shop: Shop, *, log_in: bool = True, token: str = "", **options: Any) -> Any:
        options = {"viewport": {"width": 1000, "height": 900}, "timezone_id": "UTC", "locale": "en-GB", **options}
        context = chromium.new_context(base_url=shop.address, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        tab = context.new_page()
        tab.on("console", heard)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        if log_in:
            tab.goto(f"/upgrade/login#{token or shop.token}")
            tab.wait_for_url("**/upgrade/")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


DOCS = {"update", "confirm", "running", "failed", "chinese", "phone"}  # what docs/images has
SHOTS = Path(os.environ["PAGE_SCREENSHOTS"]) if "PAGE_SCREENSHOTS" in os.environ else None


@pytest.fixture
def shoot(tmp_path: Path) -> Any:
    """Take a screenshot of a state, from the top. Kept in PAGE_SCREENSHOTS where that is set: `make screenshots` sets it to
    docs/images, which gets only what the guide shows."""

    def shot(tab: Any, name: str, *, top: bool = True, **options: Any) -> None:
        folder = SHOTS or tmp_path / "shots"
        if folder.name == "images" and name not in DOCS:
            return
        folder.mkdir(parents=True, exist_ok=True)
        tab.evaluate("for (const place of document.querySelectorAll('code.path')) place.textContent = '/srv/otrs-web'")
        if top:
            tab.evaluate("scrollTo(0, 0)")
        if name in DOCS and not options:
            size = tab.viewport_size
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(800, size["height"])}
        tab.wait_for_timeout(150)  # fonts and the last frame
        tab.screenshot(path=str(folder / f"{name}.png"), animations="disabled", **options)

    return shot
