"""Which tags can be releases, which version they name, and which is newest."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from gitdeploy.versions import admitted, newest, order, prefix_of, read_version, valid_tag, version_text

HOSTILE = [
    "", "-x", "--upload-pack=touch x", "-", "a..b", "@{", "x.lock", "a/b.lock/c", "v4 x", "v1\n", "\nv1", "\x1b[31mv1",
    "v1\x9b31m", "v1\u202e2", "v1\u200b", "v\uff11.\uff12", "v1\udcff", "v" + "1" * 5000, "HEAD", "FETCH_HEAD",
    "refs/heads/main", "a" * 40, "0123456789abcdef" * 4, "v1^{}", "v1~1", "v1:x", "v1?", "v*", "v[1]", "a\\b", "a//b",
    "a/", ".a", "/etc", "../../etc", "v1.", "a/.b", "v1\x00",
]  # fmt: skip


@pytest.mark.parametrize("tag", HOSTILE)
def test_a_hostile_tag_is_never_given_to_git(tag: str) -> None:
    assert valid_tag(tag) is not None


@pytest.mark.parametrize(
    "tag", ["v1.2.9.1", "1.0", "release/v1.2", "v1.0.0-rc.1", "v1.0.0+build.5", "nightly", "2026_01"]
)
def test_an_ordinary_tag_is_taken(tag: str) -> None:
    assert valid_tag(tag) is None


def test_tags_sort_as_versions() -> None:
    sorted_tags = ["v1.2.9rc1", "v1.2.9", "v1.2.9.post1", "v1.2.9.1", "v1.2.10", "v1.10", "v2.0"]
    shuffled = sorted_tags[:]
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled, key=order) == sorted_tags
    assert newest(shuffled) == "v2.0"


@pytest.mark.parametrize(
    ("tags", "choice"),
    [
        (["v1.0", "v2.0rc1", "v1.5"], "v1.5"),
        (["nightly", "latest", "v0.1"], "v0.1"),
        (["nightly"], None),
        (["v1!0.1", "v1.0"], "v1.0"),  # an epoch is above every version, and never chosen by itself
        (["v1.0", "v1.0\n9", "v9\u202e"], "v1.0"),
        (["v" + "9" * 4301, "v1.0"], "v1.0"),  # int() refuses so many digits
        (["v1.0.0+b", "v1.0.0"], "v1.0.0"),
        (["v3.3.12", "v3.3.12+docs", "v3.3.13+b1"], "v3.3.12"),  # a local version is never chosen by itself
        (["v1.2.9", "v1.2.9.1", "V1.2.8"], "v1.2.9.1"),
        ([], None),
    ],
)
def test_the_newest_is_chosen_among_finished_releases(tags: list[str], choice: str | None) -> None:
    assert newest(tags) == choice


def test_the_prerelease_channel_takes_release_candidates() -> None:
    assert newest(["v1.0", "v2.0rc1"], channel="prerelease") == "v2.0rc1"
    assert not admitted(Version("2.0rc1"), "stable")


def test_a_prefix_and_a_pattern() -> None:
    tags = ["app/v1.0", "app/v1.1", "lib/v9.0", "v8.0"]
    assert newest(tags, glob="app/*", prefix="app/") == "app/v1.1"
    assert newest(tags) == "v8.0"
    assert prefix_of("release/v*") == "release/"
    assert prefix_of("v*") == ""
    assert version_text("app/v1.1", "app/") == "1.1"


@pytest.mark.parametrize("tag", ["v1.0.0\n", "\u2003v1.0.0", "v1.0.0\x85", " 1.0", "v\u0663.0", "vv1", "version1"])
def test_what_packaging_would_strip_or_convert_names_no_version(tag: str) -> None:
    assert read_version(tag) is None


def test_equal_versions_always_come_in_the_same_order() -> None:
    tags = ["v01.0", "V1.0", "v1.0.0", "1.0"]
    assert {newest(random.Random(seed).sample(tags, 4)) for seed in range(20)} == {"v1.0.0"}


@given(st.text(max_size=200))
def test_no_text_upsets_the_reader(text: str) -> None:
    read_version(text)
    version_text(text)
    problem = valid_tag(text)
    if problem is None:
        assert text.isascii()
        assert text.isprintable()
        assert not text.startswith("-")
