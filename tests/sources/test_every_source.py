"""The behaviour that every source must show, whatever its host's API is like."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hosts import Announced
from msgspec.structs import replace

from gitdeploy.errors import GitDeployError, SourceError
from sources.conftest import Shop

HAS_RELEASES = ("github", "gitlab", "gitee", "gitea")  # Codeup and plain git know tags only
at_hosts_with_releases = pytest.mark.parametrize("shop", HAS_RELEASES, indirect=True)


def test_the_newest_is_found_by_version_not_by_date_or_name(shop: Shop) -> None:
    result = shop.check()
    assert (result.latest_tag, result.latest_version, result.update_available) == ("v1.2.10", "1.2.10", True)
    assert result.current_version == "1.2.9"
    assert not result.from_cache


def test_a_tag_without_a_release_counts_too(shop: Shop) -> None:
    shop.tag("v1.3.0", light=True)
    assert shop.check().latest_tag == "v1.3.0"


def test_what_is_live_is_the_newest(shop: Shop) -> None:
    shop.sample.git("fetch", "-q", "--tags", "origin")
    shop.sample.git("checkout", "-q", "--detach", "v1.2.10")
    result = shop.check()
    assert (result.update_available, result.is_same) == (False, True)


def test_what_is_live_is_newer_than_all(shop: Shop) -> None:
    shop.sample.git("tag", "v9.0")
    result = shop.check()
    assert (result.update_available, result.is_older) == (False, True)


def test_prereleases_only_on_their_channel(shop: Shop) -> None:
    shop.tag("v2.0.0-rc.1")
    assert shop.check().latest_tag == "v1.2.10"
    shop.configure(source_more="  channel: prerelease\n")
    assert shop.check().latest_tag == "v2.0.0-rc.1"


def test_tags_that_are_no_versions_are_never_chosen(shop: Shop) -> None:
    for name in ("latest", "nightly-20240101", "v1.2.x", "v9-hotfix", "vv9.2", "1!9.0", "release/v9.0.0"):
        shop.tag(name, light=True)
    assert shop.check().latest_tag == "v1.2.10"


def test_a_prefix_and_a_glob_choose_among_the_kinds_of_tags(shop: Shop) -> None:
    shop.tag("release/v1.2.5", light=True)
    shop.tag("release/v1.2.11", light=True)
    shop.configure(source_more='  tags: "release/v*"\n  tag_prefix: release/\n')
    assert shop.check().latest_tag == "release/v1.2.11"


def test_hostile_tag_names_are_refused_and_shown_escaped(shop: Shop) -> None:
    commit = shop.sample.git("rev-parse", "HEAD", cwd=shop.sample.remote)
    bad = ["-x", "v9.0\u202e1", "v9.9．9", "--upload-pack=touch", "HEAD", commit, "v9" + ".9" * 80]
    for name in bad:
        shop.sample.git("update-ref", f"refs/tags/{name}", commit, cwd=shop.sample.remote)
    assert shop.check().latest_tag == "v1.2.10"
    states = {release.tag: state for release, state in shop.app.releases(limit=None, everything=True)}
    assert [states[name] for name in bad if name in states] == ["refused"] * len([n for n in bad if n in states])
    assert "HEAD" in states
    if shop.host.kind == "github":
        assert "\u202e" not in shop.run("releases", "--all").out


def test_details_of_the_newest(shop: Shop) -> None:
    result = shop.check()
    if shop.host.kind in HAS_RELEASES:
        assert result.release_name == "Ten"
        assert result.release_notes == "## What is new\n\n- Everything."
        assert result.published_at == "2026-01-02T03:04:05Z"
        assert result.download_url
        assert result.download_url.endswith("v1.2.10")
    elif shop.host.kind == "codeup":
        assert result.release_notes == "- From the changelog: ten."


def test_notes_of_a_bare_tag_are_its_message(shop: Shop) -> None:
    shop.tag("v1.4.0", message="Release 1.4.0\n\nA faster start.\nFewer clicks.")
    result = shop.check()
    assert result.latest_tag == "v1.4.0"
    if shop.host.kind != "git":  # a plain remote tells no messages before they are fetched
        assert "A faster start.\nFewer clicks." in (result.release_notes or "")


@pytest.mark.e2e  # a second or more for each host
@pytest.mark.parametrize("kind", ["PGP SIGNATURE", "SSH SIGNATURE", "SIGNED MESSAGE", "PGP MESSAGE"])
@pytest.mark.parametrize("body", ["", "\n\nA faster start.\n-----BEGIN CERTIFICATE-----\nis quoted here."])
def test_the_signature_of_a_tag_is_none_of_its_notes(shop: Shop, kind: str, body: str) -> None:
    shop.tag("v1.4.0", version="x", light=True)
    block = f"-----BEGIN {kind}-----\n\niQIzBAABCAAdFiEE\n-----END {kind}-----"
    remote = shop.sample.remote
    raw = (
        f"object {shop.sample.git('rev-parse', 'HEAD', cwd=remote)}\ntype commit\ntag v1.4.0\n"
        f"tagger T <t@localhost> 1767323045 +0000\n\nRelease 1.4.0{body}\n{block}\n"
    )
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"], cwd=remote, input=raw.encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    shop.sample.git("update-ref", "refs/tags/v1.4.0", done.stdout.decode().strip(), cwd=remote)
    shop.sample.git("fetch", "-q", "origin", "refs/tags/v1.4.0:refs/tags/v1.4.0")
    notes = shop.check().release_notes or ""
    assert "BEGIN " + kind not in notes
    assert "iQIz" not in notes
    assert notes == f"Release 1.4.0{body}"
    assert "iQIz" not in shop.run("releases", "v1.4.0").out


def test_notes_of_a_bare_tag_without_a_message_are_the_changelogs_section(shop: Shop) -> None:
    shop.host.releases.clear()
    result = shop.check()
    assert result.latest_tag == "v1.2.10"
    if shop.host.kind != "git":
        assert result.release_notes == "- From the changelog: ten."


@pytest.mark.parametrize("private", ["github", "gitea"], indirect=True)
def test_a_draft_is_not_offered_to_those_who_see_it(private: Shop) -> None:
    private.tag("v1.5.0")
    private.host.releases["v1.5.0"] = Announced("Not yet", draft=True)
    assert private.check().latest_tag == "v1.2.10"


@pytest.mark.parametrize("shop", ["github", "gitee", "gitea"], indirect=True)  # GitLab has no such mark
def test_a_release_marked_as_prerelease_is_not_offered_on_the_stable_channel(shop: Shop) -> None:
    shop.tag("v1.5.0")
    shop.host.releases["v1.5.0"] = Announced("Try it", prerelease=True)
    assert shop.check().latest_tag == "v1.2.10"


@at_hosts_with_releases
def test_a_release_of_the_future_is_not_offered_until_its_time_comes(shop: Shop) -> None:
    shop.tag("v1.5.0")
    soon = datetime.now(UTC) + timedelta(days=3)
    shop.host.releases["v1.5.0"] = Announced("Soon", published_at=soon.isoformat())
    assert shop.check().latest_tag == "v1.2.10"


def test_no_release_at_all(shop: Shop) -> None:
    for name in shop.sample.git("tag", cwd=shop.sample.remote).split():
        shop.sample.git("tag", "-d", name, cwd=shop.sample.remote)
    result = shop.check()
    assert (result.latest_tag, result.update_available) == (None, False)


def test_releases_lists_ten_newest_first_with_date_and_state(shop: Shop) -> None:
    shop.many([f"v1.1.{n}" for n in range(20)])
    shop.tag("v2.0.0b1")
    found = shop.app.releases()
    assert [release.tag for release, _ in found][:4] == ["v2.0.0b1", "v1.2.10", "v1.2.9.1", "v1.2.9"]
    assert [state for _, state in found][:5] == ["prerelease", "newer", "newer", "live", "older"]
    assert len(found) == 10
    if shop.host.kind != "git":
        assert found[1][0].published_at


def test_one_release_whole(shop: Shop) -> None:
    release, state = shop.app.release("v1.2.10")
    commit = shop.sample.git("rev-parse", "v1.2.10^{commit}", cwd=shop.sample.remote)
    assert (release.tag, state, release.commit) == ("v1.2.10", "newer", commit)


def test_a_release_that_the_source_does_not_have(shop: Shop) -> None:
    with pytest.raises(GitDeployError, match=r"no release v7\.7\.7") as caught:
        shop.app.release("v7.7.7")
    assert caught.value.exit_code == 2


def test_equal_versions_are_always_told_apart_the_same_way(shop: Shop) -> None:
    for name in ("v1.4", "V1.4.0", "v1.4.0.0"):
        shop.tag(name, light=True)
    result = shop.check()
    assert result.latest_tag == "v1.4.0.0"
    assert "name the same version" in (result.warning or "")


def test_a_release_that_failed_here_is_known_again_whatever_the_host_tells_of_it(shop: Shop) -> None:
    """GitHub's list names the object of an annotated tag, not its commit."""
    shop.configure(more="hooks: {post-deploy: ['exit 3']}\n")
    shop.run("upgrade", "v1.2.10", code=3)
    shop.configure()
    assert "It failed here before, on " in shop.run("check", "--force").out
    assert "v1.2.10 failed here before" in shop.run("status").out
    assert "failed here before" in shop.run("upgrade", "--yes", code=7).err


# ---- how often it is asked ----


def test_the_first_check_asks_the_second_does_not_a_forced_one_asks_one_conditional_question(shop: Shop) -> None:
    first = shop.check(force=False)
    asked = len(shop.host.requests)
    assert asked <= 3
    shop.host.forget()
    second = shop.check(force=False)
    assert shop.host.requests == []
    assert shop.host.git_requests == []
    assert second.from_cache
    assert replace(second, from_cache=False) == first
    forced = shop.check(force=True)
    if shop.host.kind == "git":
        assert shop.host.git_requests
        return
    assert [(r.conditional, r.status) for r in shop.host.requests] == [(True, 304)]
    assert forced.latest_tag == "v1.2.10"
    assert forced.release_notes == first.release_notes


def test_a_new_tag_is_seen_by_a_forced_check_at_once(shop: Shop) -> None:
    shop.check()
    shop.tag("v1.2.11")
    assert shop.check(force=False).latest_tag == "v1.2.10"
    assert shop.check(force=True).latest_tag == "v1.2.11"


@at_hosts_with_releases
def test_a_release_changed_afterwards_is_seen_a_minute_later(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.check()
    shop.host.releases["v1.2.10"].body = "Rewritten."
    monkeypatch.setattr("gitdeploy.sources.github.JUST_ASKED", 0)
    monkeypatch.setattr("gitdeploy.sources.gitlab.JUST_ASKED", 0)
    monkeypatch.setattr("gitdeploy.sources.rest.JUST_ASKED", 0)
    assert shop.check(force=True).release_notes == "Rewritten."


def test_a_host_without_etags_works_too(shop: Shop) -> None:
    shop.host.without_etags = True
    shop.check()
    assert shop.check(force=True).latest_tag == "v1.2.10"


@pytest.mark.e2e  # making so many takes longest
@pytest.mark.parametrize("newest", ["v3000.0.0", "v1000.5.0"])
def test_three_thousand_releases_cost_three_questions_or_a_sentence(shop: Shop, newest: str) -> None:
    shop.many([f"v{n}.0.0" for n in range(2, 2999)])
    shop.tag(newest, light=True)
    shop.host.forget()
    result = shop.check()
    asked = [r for r in shop.host.requests if "files" not in r.path and "contents" not in r.path]
    if shop.host.kind in ("github", "gitlab", "git"):
        assert result.latest_tag == ("v3000.0.0" if newest == "v3000.0.0" else "v2998.0.0")
        assert len(asked) <= 3, "the tags, the newest release, and the list that tells of those before it"
        assert result.warning is None
        return
    assert len([r for r in asked if r.path.endswith("/tags")]) == 2
    assert "has more tags than were looked at" in (result.warning or "")
    if newest == "v3000.0.0":
        assert result.latest_tag == newest


# ---- tokens ----


def test_a_private_repository_with_its_token(private: Shop) -> None:
    assert private.check().latest_tag == "v1.2.10"


def test_a_private_repository_without_a_token(private: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_SOURCE_TOKEN")
    with pytest.raises(SourceError) as caught:
        private.check()
    assert caught.value.exit_code == 6
    assert "token" in caught.value.message.lower() + caught.value.hint.lower()


def test_a_wrong_token(private: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SOURCE_TOKEN", "tok-wrong-0000-and-secret")
    with pytest.raises(SourceError) as caught:
        private.check()
    assert "SHOP_SOURCE_TOKEN" in caught.value.message or private.host.kind == "git"
    assert "tok-wrong" not in str(caught.value.as_dict())


def test_one_token_never_sees_anothers_answer(private: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    private.check()
    monkeypatch.setenv("SHOP_SOURCE_TOKEN", "tok-other-1111-and-secret")
    private.host.forget()
    with pytest.raises(SourceError):
        private.app.releases()
    assert not any(request.conditional for request in private.host.requests)


# ---- what is written down ----


@pytest.mark.parametrize("shop", ["github", "git"], indirect=True)
def test_the_shape_of_check_json(shop: Shop) -> None:
    document = json.loads(shop.run("check", "--json").out)
    assert document["latest_tag"] == "v1.2.10"
    assert set(document) >= {
        "update_available", "current_version", "latest_version", "latest_tag", "release_name", "release_notes",
        "published_at", "download_url", "tarball_url", "zipball_url", "source", "is_newer", "is_same", "is_older",
        "checked_at", "from_cache",
    }  # fmt: skip
