"""The notes of every release between what is live and the one that is gone to, at every host, before and after the fetch."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from hosts import Announced

from gitdeploy.web.page.document import Parts, Visitor
from sources.conftest import Shop

LATER = {"v1.3.0": "Release 1.3.0\n\n- faster\n", "v1.4.0": "Release 1.4.0\n\n- greener\n"}


def publish(shop: Shop, *, filtered: bool) -> None:
    """Two releases after the newest, announced where the host has releases, else told by their annotated tags."""
    subprocess.run(["git", "config", "uploadpack.allowFilter", str(filtered)], cwd=shop.sample.remote, check=True)
    for tag, message in LATER.items():
        shop.tag(tag, message=message)
        shop.host.releases[tag] = Announced(tag, message)


def test_check_tells_the_notes_of_all_releases_that_come_with_the_newest(shop: Shop) -> None:
    publish(shop, filtered=True)
    before = (shop.sample.app / ".git/config").read_bytes()
    found = shop.check()
    assert [release.tag for release in found.releases] == ["v1.4.0", "v1.3.0", "v1.2.10", "v1.2.9.1"]
    notes = {release.tag: release.notes for release in found.releases}
    assert "greener" in notes["v1.4.0"]
    assert "faster" in notes["v1.3.0"]
    again = shop.app.check()
    assert again.from_cache
    assert again.releases == found.releases, "remembered with the answer"
    text = shop.run("check").out
    assert text.index("greener") < text.index("faster")
    assert (shop.sample.app / ".git/config").read_bytes() == before, "no partial clone was made of it"
    assert "v1.4.0" not in shop.sample.git("tag"), "nothing became a tag here"
    page = Parts(shop.app, Visitor("")).now()
    assert "3 releases before it, which come with it" in page
    assert "faster" in page


@pytest.mark.parametrize("shop", ["git"], indirect=True)
def test_a_git_server_that_filters_nothing_gives_notes_with_the_objects(shop: Shop) -> None:
    publish(shop, filtered=False)
    found = shop.check()
    assert [release.notes for release in found.releases] == ["", "", "", ""]
    assert not list((shop.sample.app / ".git").glob("gitdeploy-scratch-*"))
    plan = json.loads(shop.run("plan", "--json").out)
    notes = {release["tag"]: release["notes"] for release in plan["releases"]}
    assert "greener" in notes["v1.4.0"]
    assert "faster" in notes["v1.3.0"]
    assert notes["v1.2.10"] == "- From the changelog: ten.", "a tag's line says less than the changelog"
    text = shop.run("plan").out
    assert "  release notes:" in text
    assert text.index("greener") < text.index("faster")


@pytest.mark.parametrize("shop", ["git"], indirect=True)
def test_only_releases_above_the_live_one_and_up_to_the_target(shop: Shop) -> None:
    publish(shop, filtered=True)
    shop.tag("v2.0.0-rc.1", message="A candidate\n\nnot on this channel")
    shop.check()
    shop.sample.git("fetch", "-q", "origin", "refs/tags/v1.2.10:refs/tags/v1.2.10")
    shop.sample.git("checkout", "-q", "--detach", "v1.2.10")
    assert [release.tag for release in shop.app.check().releases] == ["v1.4.0", "v1.3.0"]
    plan = json.loads(shop.run("plan", "v1.3.0", "--json").out)
    assert [release["tag"] for release in plan["releases"]] == ["v1.3.0"]


@pytest.mark.parametrize("shop", ["git"], indirect=True)
def test_a_terminal_shows_markdown_and_no_escapes_of_a_notes_author(shop: Shop) -> None:
    publish(shop, filtered=True)
    shop.tag("v1.5.0", message="v1.5.0\n\n## New\n\n- **bold** \x1b[31mred\x1b]0;title\x07\n")
    main, other = pty.openpty()
    argv = [sys.executable, "-m", "gitdeploy", "-C", str(shop.sample.app), "check", "--force"]
    environment = {**os.environ, **shop.sample.environment, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(argv, stdout=other, stderr=subprocess.DEVNULL, env=environment, timeout=60)
    os.close(other)
    shown = b""
    with suppress(OSError):  # the other side is closed
        while piece := os.read(main, 65536):
            shown += piece
    os.close(main)
    text = shown.decode()
    assert done.returncode == 0
    assert "**bold**" not in text
    assert "bold" in text
    assert "\x1b]0;" not in text
    assert "\x1b[31mred" not in text
