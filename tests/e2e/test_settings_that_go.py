"""Discarding local changes may take away what was set up on the server: it is said which settings and hooks."""

from __future__ import annotations

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support.sample import Program

# What is pinned on a server (backup, service) stays in any case.
HERE = SETTINGS + "health: {command: 'true', successes: 1}\nbackup: {keep: 20}\n"
GOES = "settings of deploy.yaml (health.command: true -> nothing, health.successes: 1 -> 3)"


@pytest.mark.parametrize("tracked", [True, False])
def test_deploy_yaml_as_it_was_changed_or_made_here(shop: Shop, tracked: bool) -> None:
    if not tracked:
        first = {name: content for name, content in tree("1.0.1", "1.0").items() if name != "deploy.yaml"}
        shop.release("v1.0.1", first)
        shop.gitdeploy("upgrade", "v1.0.1", "--accept-config", "source.type")
    (shop.app / "deploy.yaml").write_text(HERE)
    assert f"would take away what was set up on this server: {GOES}" in shop.gitdeploy("plan", "v2.0.0", code=7).out
    assert GOES in shop.gitdeploy("upgrade", "v2.0.0", code=7).err
    done = shop.gitdeploy("upgrade", "v2.0.0", "--discard-local-changes")
    assert f"takes away what was set up on this server (the backup holds it): {GOES}" in done.err
    assert (shop.app / "deploy.yaml").read_text() == SETTINGS
    assert "set up on this server" not in shop.gitdeploy("plan", "v2.1.0").out


def test_hooks_that_were_changed_here(shop: Shop) -> None:
    shop.release("v1.0.1", tree("1.0.1", "1.0", **{"hooks/post-deploy": Program("#!/bin/sh\n")}))
    shop.gitdeploy("upgrade", "v1.0.1")
    (shop.app / "hooks/post-deploy").write_text("#!/bin/sh\ntrue\n")
    said = shop.gitdeploy("plan", "v2.0.0", code=7).out
    assert "would take away what was set up on this server: changes of hooks/post-deploy." in said


def test_what_is_kept_or_says_the_same_is_no_loss(shop: Shop) -> None:
    (shop.app / "deploy.yaml").write_text(SETTINGS + "# a word\n")
    assert "set up on this server" not in shop.gitdeploy("plan", "v2.0.0", code=7).out
    (shop.app / "deploy.yaml").write_text(HERE + "git: {keep: [deploy.yaml]}\n")
    assert "set up on this server" not in shop.gitdeploy("plan", "v2.0.0", code=None).out
