"""The page and the API at releases that may not be skipped, and at migrations in two halves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.sample import Program, write_tree
from web.conftest import SETTINGS, Shop, Web, tree

from gitdeploy.app import App
from gitdeploy.site.journey import begin_journey, stop_journey
from gitdeploy.site.second_half import note_waiting


@pytest.fixture
def stops(shop: Shop) -> Iterator[None]:
    """v1.1.5 may not be skipped on the way to v1.1.9."""
    branch = shop.git("symbolic-ref", "--short", "HEAD", cwd=shop.remote)
    shop.git("checkout", "-q", "-b", "stops", "v1.1.0", cwd=shop.remote)
    shop.release("v1.1.5", tree("1.1.5", **{"deploy.yaml": f"{SETTINGS}stop: true\n"}), in_order=False)
    shop.release("v1.1.9", tree("1.1.9"), in_order=False)
    yield
    shop.git("checkout", "-q", branch, cwd=shop.remote)
    shop.git("branch", "-q", "-D", "stops", cwd=shop.remote)
    shop.git("tag", "-d", "v1.1.5", "v1.1.9", cwd=shop.remote)


def test_the_way_is_shown_and_gone(web: Web, stops: None) -> None:
    plan = web.get("/part/plan?tag=v1.1.9&choose=true").text
    assert "The way to v1.1.9" in plan
    assert "v1.1.5 (may not be skipped)" in plan
    assert "data-through" in plan
    assert "data-blocked" not in plan
    direct = web.post("/api/start-upgrade", {"tag": "v1.1.9"})
    assert "First comes v1.1.5 (may not be skipped)." in direct.json["error"]
    gone = web.post("/api/start-upgrade", {"tag": "v1.1.9", "through": True}).json
    assert gone["success"], gone
    assert "v1.1.9" in gone["message"]
    assert [row["to"]["tag"] for row in web.get("/api/deployments").json["data"][:2]] == ["v1.1.9", "v1.1.5"]


def test_the_second_half_of_migrations_that_waits_is_shown_and_run(web: Web, shop: Shop) -> None:
    with App.open(shop.app).site.open_database() as database:
        note_waiting(database, App.open(shop.app).live(), 1, "failed", "no <b>room</b>")
    page = web.get("/").text
    assert "The second half of v1.0.0&#39;s migrations failed: no &lt;b&gt;room&lt;/b&gt;" in page
    assert 'data-do="contract"' in page
    assert "There is no hook `migrate-after` any more" in web.post("/api/contract").json["error"]
    (shop.app / "hooks").mkdir()
    write_tree(shop.app, {"hooks/migrate-after": Program("#!/bin/sh\nexit $(cat code)\n"), "code": "3"})
    failed = web.post("/api/contract").json
    assert (failed["success"], failed["status"]) == (False, "failed")
    assert (
        "shop runs v1.0.0. The second half of v1.0.0's migrations failed: hooks/migrate-after failed" in failed["error"]
    )
    assert "v1.0.0 is live; the second half of its migrations is not done" in web.get("/").text
    write_tree(shop.app, {"code": "0"})
    assert web.post("/api/contract").json["success"]
    page = web.get("/").text
    assert 'data-do="contract"' not in page
    assert "s migrations has run" in page
    assert web.get("/api/status").json["data"]["second_half"] is None


def test_one_that_stopped_under_way_is_shown_with_the_button_that_goes_on(web: Web, shop: Shop) -> None:
    with App.open(shop.app).site.open_database() as database:
        begin_journey(database, ["v1.1.0", "v1.2.0"], "alice")
        stop_journey(database, "v1.1.0: no <b>room</b>")
    page = web.get("/").text
    assert "On the way to v1.2.0" in page
    assert "It stopped: v1.1.0: no &lt;b&gt;room&lt;/b&gt;" in page
    assert 'data-dialog="upgrade" data-tag="v1.2.0"' in page
    assert web.get("/api/status").json["data"]["through"]["command"] == "gitdeploy upgrade --through v1.2.0"
