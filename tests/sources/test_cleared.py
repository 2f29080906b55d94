"""Where the host that knows drafts and prereleases can't be asked, nothing is chosen that it has not cleared before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import ALL, Announced, Codeup
from support.sample import Done

from sources.conftest import Shop, make_shop

GUESSED = {"github": "github.corp.test", "gitlab": "gitlab.corp.test", "gitea": "gitea.corp.test"}
REASONS = {
    "status 401": "wants to know who asks (401)",
    "status 403": "forbids that (403)",
    "status 404": "hides it from those without a token (404)",
    "status 429 900": "allows no more requests now",
    "status 500": "has a fault of its own (500)",
    "html": "a web page instead of data",
    "login": "redirects to a login page",
    "cut": "cut short",
    'json [{"name": 7, "ref": 7}]': "must be text, not a number",
}
ACTS = (("upgrade", "--yes"), ("plan",), ("prepare",), ("watch", "--once"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitdeploy.sources.http.Client._pause", staticmethod(lambda seconds: None))


@pytest.fixture(params=list(GUESSED))
def guessed(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """Nothing is configured: kind and repository are read from the remote's name. v2.0.0 is a marked prerelease (where the
    host knows such), else of a time to come."""
    made = make_shop(template, tmp_path, ALL[request.param])
    (made.sample.app / "deploy.yaml").write_text("app: {name: shop}\ncheck: {upgrade: all}\n")
    made.sample.git("remote", "set-url", "origin", f"http://{GUESSED[request.param]}/{made.host.repo}.git")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, made.host.origin)
    made.tag("v2.0.0")
    date = "2099-01-01T00:00:00Z" if request.param == "gitlab" else "2026-01-02T03:04:05Z"
    made.host.releases["v2.0.0"] = Announced("Preview", prerelease=True, published_at=date)
    yield made
    made.host.close()


def live(shop: Shop) -> str:
    return (shop.sample.app / "VERSION").read_text()


def hint(done: Done, holds: str) -> list[str]:
    found = re.search(rf"{holds}: gitdeploy ([^.\n]*(?:\.[^.\s][^.\n]*)*)", done.err)
    assert found is not None, done.err
    return found[1].split()


@pytest.mark.parametrize("fault", REASONS)
def test_nothing_is_chosen_that_was_never_cleared(guessed: Shop, fault: str) -> None:
    guessed.host.fault = fault
    done = guessed.run("upgrade", "--yes", code=6)
    assert REASONS[fault] in done.err
    assert "none is chosen" in done.err
    assert live(guessed) == "v1.2.9"


def test_every_command_that_acts_says_so_and_so_does_a_check(guessed: Shop) -> None:
    guessed.host.fault = "status 404"
    for words in (*ACTS, ("check", "--force")):
        done = guessed.run(*words, code=6)
        assert "The git remote has v2.0.0, v1.2.10, v1.2.9.1; only" in done.err, done.err
    named = hint(done, "To install it all the same")
    assert named == ["upgrade", "v2.0.0"]
    (guessed.sample.app / "deploy.yaml").write_text(
        "app: {name: shop}\nsource: {type: git}\n"
    )  # the other way that it says
    guessed.run("upgrade", "--yes")
    assert live(guessed) == "v2.0.0"


def test_what_is_named_is_installed(guessed: Shop) -> None:
    guessed.host.fault = "status 404"
    assert "by what git alone knows" not in guessed.run("upgrade", "v1.2.10").text
    assert live(guessed) == "v1.2.10"


def test_what_was_cleared_before_is_chosen_and_what_was_held_back_is_not(guessed: Shop) -> None:
    assert guessed.check().latest_tag == "v1.2.10"
    guessed.host.fault = "status 403"
    again = guessed.check()
    assert again.latest_tag == "v1.2.10"
    assert "This is the answer of the git remote instead." in (again.warning or "")
    guessed.run("upgrade", "--yes")
    assert live(guessed) == "v1.2.10"
    assert "v1.2.10, the newest release" in guessed.run("upgrade", "--yes").text


def test_a_new_release_waits_for_the_hosts_word(guessed: Shop) -> None:
    guessed.check()
    guessed.tag("v1.3.0")
    guessed.host.fault = "status 403"
    assert "v1.3.0 wait: " in (guessed.check().warning or "")
    guessed.run("watch", "--once")
    assert live(guessed) == "v1.2.10"
    done = guessed.run("upgrade", "--yes", code=6)
    assert "The git remote has v1.3.0; only" in done.err
    guessed.host.fault = ""
    guessed.run("upgrade", "--yes")
    assert live(guessed) == "v1.3.0"


def test_a_tag_that_names_another_commit_than_when_it_was_cleared_is_not_chosen(guessed: Shop) -> None:
    guessed.check()
    remote = guessed.sample.remote
    guessed.sample.git("commit", "-q", "--allow-empty", "-m", "other", cwd=remote)
    guessed.sample.git("tag", "-f", "-a", "-m", "moved", "v1.2.10", cwd=remote)
    guessed.host.fault = "status 403"
    assert "The git remote has v1.2.10" in guessed.run("upgrade", "--yes", code=6).err
    assert live(guessed) == "v1.2.9"


def test_nothing_newer_is_said_only_where_nothing_newer_is_there(guessed: Shop) -> None:
    guessed.run("upgrade", "v1.2.10")
    for name in ("v2.0.0",):
        guessed.sample.git("tag", "-d", name, cwd=guessed.sample.remote)
    guessed.host.fault = "status 403"
    assert "v1.2.10, the newest release" in guessed.run("upgrade", "--yes").text


# ---- a source that was configured ----


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitee", "gitea", "codeup"])
@pytest.mark.parametrize("fault", ["status 404", "status 500", "html", "drop"])
def test_a_configured_source_that_can_not_be_asked_is_exit_6(
    template: Path, tmp_path: Path, kind: str, fault: str
) -> None:
    shop = make_shop(template, tmp_path, ALL[kind])
    known = shop.check()
    assert known.update_available
    shop.host.fault = fault
    done = shop.run("upgrade", "--yes", code=6)
    assert live(shop) == "v1.2.9"
    assert "v1.2.10 was the newest release" in done.err
    shown = shop.run("check", "--force", code=6)
    assert "v1.2.10" in shown.out
    assert "This is the answer of" in shown.err
    shop.run(*hint(done, "to install that"))
    assert live(shop) == "v1.2.10"
    shop.host.close()


@pytest.fixture
def pair(template: Path, tmp_path: Path) -> Iterator[tuple[Shop, Codeup]]:
    """GitHub with Codeup, which knows tags only, behind it."""
    shop = make_shop(template, tmp_path, ALL["github"])
    codeup = Codeup(shop.sample.remote)
    shop.sample.git("remote", "add", "codeup", codeup.git_url)
    shop.configure(
        source_more=f"  fallback: [{{type: codeup, repo: {codeup.repo}, url: '{codeup.origin}/oapi/v1/codeup', remote: codeup}}]\n"
    )
    shop.tag("v2.0.0")
    shop.host.releases["v2.0.0"] = Announced("Preview", prerelease=True)
    yield shop, codeup
    for host in (shop.host, codeup):
        host.close()


def test_a_fallback_that_knows_less_does_not_decide_for_a_host_that_refuses(pair: tuple[Shop, Codeup]) -> None:
    shop, _ = pair
    shop.host.remaining = 0  # type: ignore[attr-defined]
    done = shop.run("upgrade", "--yes", code=6)
    assert "requests an hour without a token, and they are used up; free again at" in done.err
    assert "Codeup has v2.0.0, v1.2.10, v1.2.9.1; only 127.0.0.1" in done.err
    assert live(shop) == "v1.2.9"


def test_it_decides_where_the_host_is_not_there_but_never_for_what_was_held_back(pair: tuple[Shop, Codeup]) -> None:
    shop, _ = pair
    assert shop.check().latest_tag == "v1.2.10"
    shop.tag("v1.3.0")
    shop.host.close()
    shop.run("upgrade", "--yes")
    assert live(shop) == "v1.3.0"


# ---- what is remembered ----


def test_what_acts_asks_now_and_what_is_shown_says_how_old_it_is(shop: Shop) -> None:
    shop.check()
    shop.tag("v1.3.0")
    assert re.search(r"v1\.2\.10.* is available; .* \(asked .* ago; --force asks again\)", shop.run("check").out)
    assert re.search(r"update +1\.2\.10 is available \(asked .* ago\):", shop.run("status").out)
    assert json.loads(shop.run("status", "--json").out)["checked_at"]
    assert "-> v1.3.0" in shop.run("plan").out
    assert "1.3.0 is available" in shop.run("status").out, "what was asked just now is remembered"


def test_a_release_that_is_gone_is_not_chosen_from_memory(shop: Shop) -> None:
    shop.check()
    shop.sample.git("tag", "-d", "v1.2.10", cwd=shop.sample.remote)
    shop.run("upgrade", "--yes")
    assert live(shop) == "v1.2.9.1"


@pytest.mark.parametrize(
    "change",
    [
        lambda shop, other: shop.sample.git("remote", "set-url", "origin", other),
        lambda shop, other: shop.sample.git("config", f"url.{other}.insteadOf", shop.host.git_url),
        lambda shop, other: shop.configure("  type: git\n  remote: other\n"),
        lambda shop, other: shop.configure(source_more="  channel: prerelease\n"),
        lambda shop, other: shop.configure(source_more='  tags: "v1.2.9*"\n'),
    ],
    ids=["url", "insteadOf", "remote", "channel", "tags"],
)
@pytest.mark.parametrize("shop", ["git"], indirect=True)
def test_an_answer_of_another_place_or_configuration_never_counts(shop: Shop, tmp_path: Path, change: Any) -> None:
    shop.sample.git("remote", "add", "other", f"file://{tmp_path / 'other'}")
    shop.run("check")
    assert "1.2.10 is available" in shop.run("status").out
    shop.sample.git("clone", "-q", str(shop.sample.remote), str(tmp_path / "other"), cwd=tmp_path)
    shop.sample.git("tag", "v1.4.0", cwd=tmp_path / "other")
    change(shop, f"file://{tmp_path / 'other'}")
    assert "available" not in shop.run("status").out
    assert not json.loads(shop.run("check", "--json").out)["from_cache"]


@pytest.mark.parametrize("shop", ["git"], indirect=True)
def test_a_password_in_the_remotes_url_is_in_no_memory(shop: Shop) -> None:
    shop.sample.git("remote", "set-url", "origin", f"http://me:hunter2-secret@127.0.0.1:{shop.host.port}/acme/shop.git")
    shop.run("check")
    shop.run("status")
    for path in (shop.sample.app / ".gitdeploy").rglob("*"):
        if path.is_file():
            assert b"hunter2-secret" not in path.read_bytes()


def test_included_configuration_is_asked_each_time(shop: Shop, tmp_path: Path) -> None:
    if shop.host.kind != "git":
        return  # it is git's configuration, whatever the host: one is enough
    more = tmp_path / "more"
    more.write_text("")
    shop.sample.git("config", "include.path", str(more))
    shop.run("check")
    assert json.loads(shop.run("check", "--json").out)["from_cache"]
    more.write_text(f'[url "file://{tmp_path}/x/"]\n\tinsteadOf = {shop.host.origin}/\n')
    shop.run("check", code=6)
