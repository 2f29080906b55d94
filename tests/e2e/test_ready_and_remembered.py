"""Prepared ahead, without a network; moved tags; releases that failed here before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.conftest import Shop, tree
from support import needs
from support.sample import Program, differences

pytestmark = pytest.mark.xdist_group(__name__)


def without_network(shop: Shop) -> list[str]:
    """The words that start a command which has no network but loopback, and whose remote is gone besides."""
    return needs.namespace("--net")


def test_what_was_prepared_goes_live_without_network_and_without_an_installer(shop: Shop, tmp_path: Path) -> None:
    before = shop.state()
    prepared = shop.gitdeploy("prepare", "v2.0.0")
    assert "v2.0.0 is prepared. shop still runs v1.0.0." in prepared.err
    assert differences(before, shop.state()) == [], "the app is as it was"
    away = shop.folder / "remote-away"
    shop.remote.rename(away)
    try:
        done = shop.gitdeploy(
            "upgrade", "v2.0.0", "--json", env={"PIP_FIND_LINKS": str(tmp_path)}, before=without_network(shop)
        )
    finally:
        away.rename(shop.remote)
    result = json.loads(done.out)
    assert result["status"] == "succeeded"
    steps = {step["name"]: step for step in result["steps"]}
    assert steps["fetch"]["status"] == "skipped"
    assert "build" not in steps
    assert "greeting==2.0" in shop.packages()
    assert (shop.app / "VERSION").read_text() == "2.0.0"
    shop.gitdeploy("rollback", "--yes", before=without_network(shop))
    assert differences(before, shop.state()) == []


def test_what_changed_since_it_was_prepared_is_noticed(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v2.0.0")
    (shop.app / "code/main.py").write_text("edited meanwhile\n")
    refused = shop.gitdeploy("upgrade", "v2.0.0", code=7)
    assert "code/main.py" in refused.err
    done = shop.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    assert "changed since it was prepared: staging its files anew" in done.err, "the venv still fits"
    assert (shop.app / "code/main.py").read_text() == "VERSION = '2.0.0'\n"
    shop.gitdeploy("rollback", "--yes")
    assert (shop.app / "code/main.py").read_text() == "edited meanwhile\n"


def test_another_release_than_the_prepared_one_can_be_installed(shop: Shop) -> None:
    shop.gitdeploy("prepare", "v2.0.0")
    shop.gitdeploy("upgrade", "v2.1.0")
    assert (shop.app / "VERSION").read_text() == "2.1.0"


@pytest.fixture
def moved(shop: Shop) -> Shop:
    """v6.0.0 is known here, and its tag is another commit by now."""
    shop.release("v6.0.0", tree("6.0.0", "1.0"))
    shop.gitdeploy("plan", "v6.0.0")
    shop.gitdeploy("prepare", "v6.0.0")
    shop.release("v6.0.0-next", tree("6.0.0", "1.0", **{"code/evil.py": "evil\n"}))
    shop.git("tag", "-f", "v6.0.0", "v6.0.0-next^{commit}", cwd=shop.remote)
    for stage in (shop.app / ".gitdeploy/stage").iterdir():
        (stage / "prepared.json").unlink()
    return shop


def test_a_tag_that_was_moved_is_refused(moved: Shop) -> None:
    before = moved.state()
    plan = moved.gitdeploy("plan", "v6.0.0", code=7).out
    assert "✗ Tag v6.0.0 was moved: its commit is" in plan
    assert "code/evil.py" in plan, "what the tag is now is what is shown"
    assert "was moved" not in moved.gitdeploy("plan", "v6.0.0", "--accept-moved-tag").out
    done = moved.gitdeploy("upgrade", "v6.0.0", code=7)
    assert "Tag v6.0.0 was moved" in done.err
    assert "--accept-moved-tag" in done.err
    assert differences(before, moved.state()) == []
    moved.gitdeploy("upgrade", "v6.0.0", "--accept-moved-tag")
    assert (moved.app / "code/evil.py").exists()
    for tag in ("v6.0.0", "v6.0.0-next"):
        moved.git("tag", "-d", tag, cwd=moved.remote)


def test_a_release_that_failed_here_is_installed_only_by_name(shop: Shop) -> None:
    fails_once = "#!/bin/sh\n[ -e run-ok ] || exit 7\n"
    shop.release("v7.7.0", tree("7.7.0", "1.0", **{"hooks/post-deploy": Program(fails_once)}))
    try:
        done = shop.gitdeploy("upgrade", "--yes", code=3)
        assert "v7.7.0" in done.err
        again = shop.gitdeploy("upgrade", "--yes", code=7)
        assert "failed here before, so it won't be retried automatically" in again.err
        assert "gitdeploy upgrade v7.7.0" in again.err
        assert "v7.7.0 failed here before and won't be retried automatically" in shop.gitdeploy("status").out
        (shop.app / "run-ok").touch()
        shop.gitdeploy("upgrade", "v7.7.0")
        shop.gitdeploy("rollback", "--yes")
        shop.gitdeploy("unskip", "v7.7.0")
        shop.gitdeploy("upgrade", "--yes")  # it has succeeded since
        assert (shop.app / "VERSION").read_text() == "7.7.0"
    finally:
        shop.git("tag", "-d", "v7.7.0", cwd=shop.remote)
