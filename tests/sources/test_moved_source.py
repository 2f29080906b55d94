"""APP_UPDATE_SOURCE alone moves the source: its API, git's remote, and what proves who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import ALL, Codeup
from hosts.codeup import ORGANIZATION

from gitdeploy import App
from gitdeploy.checkout.unreachable import _host_hint
from gitdeploy.site.remotes import credentials_for, fetch_place
from sources.conftest import Shop, make_shop

REPO = f"{ORGANIZATION}/acme/shop"
ENV = (
    f"APP_UPDATE_REPO=acme/shop\nAPP_UPDATE_YUNXIAO_REPO={REPO}\n"
    "APP_UPDATE_GITHUB_TOKEN=ghp_HUB0123456789\nAPP_UPDATE_YUNXIAO_TOKEN=pt-UP0123456789\nGIT_PW=pw-0123456789\n"
)
ADDRESS = f"https://codeup.aliyun.com/{REPO}.git"


@pytest.fixture
def github(template: Path, tmp_path: Path) -> Iterator[Shop]:
    made = make_shop(template, tmp_path, ALL["github"])
    (made.sample.app / ".git/info/exclude").write_text("/.env\n")
    yield made
    made.host.close()


def place(shop: Shop, env: str, yaml: str = "app: {name: shop}\n") -> tuple[str, str | None, str | None]:
    """(where git fetches from, as whom, with which password)."""
    (shop.sample.app / "deploy.yaml").write_text(yaml)
    (shop.sample.app / ".env").write_text(ENV + env)
    site = App.open(shop.sample.app).site
    remote = fetch_place(site, site.config.source)
    found = credentials_for(site, site.config.source, remote)
    return (remote, found.user, found.password) if found else (remote, None, None)


@pytest.mark.parametrize(
    ("origin", "env", "yaml", "wanted"),
    [
        ("https://github.com/acme/shop.git", "", "", ("origin", "x-access-token", "ghp_HUB0123456789")),
        ("https://github.com/acme/shop.git", "APP_UPDATE_SOURCE=yunxiao\n", "", (ADDRESS, "oauth2", "pt-UP0123456789")),
        ("git@github.com:acme/shop.git", "APP_UPDATE_SOURCE=yunxiao\n", "", (ADDRESS, "oauth2", "pt-UP0123456789")),
        # Codeup's git over HTTPS wants the account's name; what was named for git at GitHub's stays away from it
        (
            "https://github.com/acme/shop.git",
            "APP_UPDATE_SOURCE=yunxiao\n",
            "source: {type: github, repo: acme/shop}\ngit: {username: me, token_env: GIT_PW}\n",
            (ADDRESS, "me", "pt-UP0123456789"),
        ),
        (ADDRESS, "APP_UPDATE_SOURCE=yunxiao\n", "git: {username: me, token_env: GIT_PW}\n", ("origin", "me", "pw-0123456789")),
        (f"git@codeup.aliyun.com:{REPO}.git", "APP_UPDATE_SOURCE=yunxiao\n", "", ("origin", None, None)),
        (
            f"git@codeup.aliyun.com:{REPO}.git",
            "APP_UPDATE_SOURCE=github\n",
            "",
            ("https://github.com/acme/shop.git", "x-access-token", "ghp_HUB0123456789"),
        ),
        # a mirror of nobody's host stays what it is
        ("/srv/mirror/shop.git", "APP_UPDATE_SOURCE=yunxiao\n", "", ("origin", None, None)),
        (
            "/srv/mirror/shop.git",
            "APP_UPDATE_SOURCE=yunxiao\n",
            "source: {type: github, repo: acme/shop}\n",
            (ADDRESS, "oauth2", "pt-UP0123456789"),
        ),
    ],
)  # fmt: skip
def test_where_git_fetches_from(
    github: Shop, origin: str, env: str, yaml: str, wanted: tuple[str, str | None, str | None]
) -> None:
    github.sample.git("remote", "set-url", "origin", origin)
    assert place(github, env, yaml) == wanted


def test_a_remote_of_the_checkout_that_is_the_same_place_is_taken(github: Shop) -> None:
    """Over SSH, as it was set up."""
    github.sample.git("remote", "set-url", "origin", "git@github.com:acme/shop.git")
    github.sample.git("remote", "add", "up", f"git@codeup.aliyun.com:{REPO}.git")
    assert place(github, "APP_UPDATE_SOURCE=yunxiao\n") == ("up", None, None)
    site = App.open(github.sample.app).site
    (github.sample.app / ".env").write_text(ENV + "APP_UPDATE_SOURCE=both\n")
    site = App.open(github.sample.app).site
    (behind,) = site.config.source.fallback
    assert (fetch_place(site, site.config.source), fetch_place(site, behind)) == ("origin", "up")


def test_codeups_git_says_what_it_wants(github: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = _host_hint(ADDRESS, "")
    assert "HTTPS clone account" in hint
    assert "git.username" in hint


# ---- the whole way, at stand-ins ----


@pytest.fixture
def pair(github: Shop) -> Iterator[tuple[Shop, Codeup]]:
    """deploy.yaml names GitHub with Codeup behind it, each with a git of its own; Codeup alone has v1.3.0."""
    mirror = github.sample.folder / "mirror"
    github.sample.git("clone", "-q", str(github.sample.remote), str(mirror), cwd=github.sample.folder)
    codeup = Codeup(mirror)
    (mirror / "VERSION").write_text("v1.3.0")
    github.sample.git("commit", "-q", "-a", "-m", "three", cwd=mirror)
    github.sample.git("tag", "v1.3.0", cwd=mirror)
    github.sample.git("remote", "add", "mirror", codeup.git_url)
    github.configure(
        source_more=f"  fallback: [{{type: codeup, repo: {REPO}, url: '{codeup.origin}/oapi/v1/codeup', remote: mirror}}]\n"
    )
    yield github, codeup
    codeup.close()


def test_yunxiao_alone_upgrades_from_codeup_and_asks_github_nothing(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    (shop.sample.app / ".env").write_text("APP_UPDATE_SOURCE=yunxiao\n")
    shop.host.forget()
    assert "v1.3.0 from mirror" in shop.run("upgrade", "--yes").text
    assert (shop.sample.app / "VERSION").read_text() == "v1.3.0"
    assert (shop.host.requests, shop.host.git_requests) == ([], [])
    assert codeup.git_requests


def test_both_is_github_with_codeup_behind_it(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    (shop.sample.app / ".env").write_text(f"APP_UPDATE_SOURCE=both\nAPP_UPDATE_YUNXIAO_REPO={REPO}\n")
    codeup.forget()
    assert "v1.2.10 is available" in shop.run("check").out.replace(" of 2026-01-02", "")
    assert codeup.requests == []
    shop.host.close()
    shop.run("upgrade", "--yes")
    assert (shop.sample.app / "VERSION").read_text() == "v1.3.0"
