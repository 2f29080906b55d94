"""A source without a release is said to have none, with why and with what changes that; the way is then gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hosts import ALL
from support.sample import Sample

from sources.conftest import make_shop

SETTINGS = "app: {{name: shop}}\nsource: {{type: git{more}}}\n"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """main is live; the remote has no tag yet."""
    sample = Sample(tmp_path, venv=False)
    sample.release("start", {"main.py": "0", ".gitignore": "/deploy.yaml\n"})
    sample.install("start", branch="main")
    for place in (sample.app, sample.remote):
        sample.git("tag", "-d", "start", cwd=place)
    configure(sample)
    return sample


def configure(sample: Sample, more: str = "") -> None:
    (sample.app / "deploy.yaml").write_text(SETTINGS.format(more=more))


def tag(sample: Sample, *names: str) -> None:
    for name in names:
        sample.git("commit", "-q", "--allow-empty", "-m", name, cwd=sample.remote)
        sample.git("tag", name, cwd=sample.remote)


def says_none(sample: Sample, reason: str, way: str) -> None:
    """check, upgrade, plan, prepare, watch, doctor and releases say so; nothing claims that the newest is live."""
    check = sample.gitdeploy("check", "--force")
    assert check.out.splitlines() == [f"{reason}.", f"  {way}"]
    found = json.loads(sample.gitdeploy("check", "--json").out)
    assert (found["latest_tag"], found["update_available"], found["reason"]) == (None, False, reason)
    for words in (("upgrade", "--yes"), ("plan",), ("prepare",)):
        done = sample.gitdeploy(*words, code=2)
        assert f"Error: {reason}.\n  {way}" in done.err, done.err
    for words in (("watch", "--once"), ("doctor",), ("releases",)):
        done = sample.gitdeploy(*words, code=None)
        assert reason in done.text, done.text
        assert "newest release is" not in done.text
        assert "is the newest" not in done.text


def test_no_tags_at_all(sample: Sample) -> None:
    says_none(
        sample,
        "origin shows no release: it has no tags, and branches aren't followed",
        "A release is a tag that names a version: git tag v1.0.0, and push it.",
    )
    tag(sample, "v1.0.0")
    sample.gitdeploy("upgrade", "--yes")


def test_another_remote_has_them(sample: Sample) -> None:
    """origin is the operator's fork, without tags; the project is upstream."""
    fork = sample.folder / "fork.git"
    sample.git("clone", "-q", "--bare", str(sample.remote), str(fork), cwd=sample.folder)
    tag(sample, "v1.0.0", "v1.1.0")
    sample.git("remote", "set-url", "origin", f"file://{fork}")
    sample.git("remote", "add", "gone", "file:///nonexistent/gone.git")
    sample.git("remote", "add", "upstream", f"file://{sample.remote}")
    says_none(
        sample,
        "origin shows no release: it has no tags, and branches aren't followed. The remote upstream has 2 tags",
        "Take the releases from there: set source.remote: upstream in deploy.yaml (with source.type: git).",
    )
    named = sample.gitdeploy("upgrade", "v1.1.0", code=6).err
    assert "The remote upstream has it: set source.remote: upstream in deploy.yaml." in named
    configure(sample, ", remote: upstream")
    sample.gitdeploy("upgrade", "--yes")
    assert sample.git("describe", "--tags") == "v1.1.0"


@pytest.mark.parametrize(
    ("tags", "prefix"),
    [
        (("release_3.34.9", "release_3.34.10", "latest"), "release_"),
        (("app-1.2.3", "app-1.2.4"), "app-"),
        (("release/v1.0.0", "release/v1.1.0"), "release/"),
        (("rel-v1.0", "nightly"), "rel-"),
    ],
)
def test_tags_whose_prefix_is_not_set(sample: Sample, tags: tuple[str, ...], prefix: str) -> None:
    tag(sample, *tags)
    names = ", ".join(sorted(tags))
    says_none(
        sample,
        f"origin shows no release: none of its tags names a version ({names})",
        f"Set source.tag_prefix: {prefix} in deploy.yaml.",
    )
    drafted = sample.gitdeploy("init", "--print").out
    assert "tag_prefix:" not in drafted, "nothing was fetched, so nothing is known here"
    configure(sample, f", tag_prefix: {prefix}")
    sample.gitdeploy("upgrade", "--yes")


def test_tags_that_name_no_version(sample: Sample) -> None:
    tag(sample, "latest", "nightly-20240101")
    says_none(
        sample,
        "origin shows no release: none of its tags names a version (latest, nightly-20240101)",
        "A release is a tag that names a version, such as v1.2.3; source.tag_prefix says what stands before.",
    )


def test_a_pattern_and_a_prefix_that_none_of_the_tags_has(sample: Sample) -> None:
    tag(sample, "v1.0.0", "v1.1.0")
    configure(sample, ", tags: 'release/*'")
    says_none(
        sample,
        "origin shows no release: none of its 2 tags matches source.tags, release/* (v1.0.0, v1.1.0)",
        "Change source.tags in deploy.yaml, or remove it: then all tags that name a version count.",
    )
    configure(sample, ", tag_prefix: app-")
    says_none(
        sample,
        "origin shows no release: none of its tags begins with source.tag_prefix, app- (v1.0.0, v1.1.0)",
        "Change source.tag_prefix in deploy.yaml, or remove it.",
    )
    configure(sample)
    sample.gitdeploy("upgrade", "--yes")


@pytest.mark.parametrize(
    ("tags", "reason", "way"),
    [
        (
            ("v1.0.0-rc.1", "v1.0.0b2"),
            "origin shows only prereleases (v1.0.0-rc.1, v1.0.0b2)",
            "source.channel: prerelease in deploy.yaml takes them.",
        ),
        (
            ("v1.0.0+docs",),
            "origin shows no release that is chosen automatically (v1.0.0+docs)",
            "One of them by name: gitdeploy upgrade TAG",
        ),
    ],
)
def test_releases_that_are_not_chosen_by_themselves_are_no_error(
    sample: Sample, tags: tuple[str, ...], reason: str, way: str
) -> None:
    tag(sample, *tags)
    assert sample.gitdeploy("check").out.splitlines() == [f"{reason}.", f"  {way}"]
    assert reason in sample.gitdeploy("upgrade", "--yes").text
    assert reason in sample.gitdeploy("plan").out


def test_a_branch_is_no_release(sample: Sample) -> None:
    tag(sample, "v1.0.0")
    sample.git("branch", "develop", cwd=sample.remote)
    for words in (("upgrade", "develop"), ("plan", "develop")):
        assert "develop is a branch of origin, and branches aren't followed." in sample.gitdeploy(*words, code=2).err


def test_a_remote_that_can_not_be_reached_is_not_one_without_releases(sample: Sample) -> None:
    sample.git("remote", "set-url", "origin", "file:///nonexistent/app.git")
    for words in (("check", "--force"), ("upgrade", "--yes"), ("plan",), ("prepare",), ("watch", "--once")):
        done = sample.gitdeploy(*words, code=6)
        assert "no release" not in done.text
        assert "newest" not in done.text


def test_a_host_that_filters_by_the_pattern_is_asked_for_all_before_it_is_said_to_have_none(
    template: Path, tmp_path: Path
) -> None:
    """GitHub is asked for tags that begin like source.tags, and shows none."""
    shop = make_shop(template, tmp_path, ALL["github"])
    shop.configure(source_more='  tags: "release/v*"\n')
    assert "none of its 3 tags matches source.tags, release/v* (v1.2.10, v1.2.9, v1.2.9.1)" in shop.run("check").out
    shop.host.close()


@pytest.mark.parametrize("kind", list(ALL))
def test_every_host_without_tags_is_said_to_have_none(template: Path, tmp_path: Path, kind: str) -> None:
    shop = make_shop(template, tmp_path, ALL[kind])
    for name in shop.sample.git("tag", cwd=shop.sample.remote).split():
        shop.sample.git("tag", "-d", name, cwd=shop.sample.remote)
    assert "shows no release: it has no tags, and branches aren't followed." in shop.run("check").out
    assert "shows no release" in shop.run("upgrade", "--yes", code=2).err
    shop.host.close()


@pytest.mark.parametrize("kind", ["github", "gitlab", "codeup"])
def test_a_host_without_tags_beside_a_remote_that_has_some(template: Path, tmp_path: Path, kind: str) -> None:
    """source.repo names another repository than the remote is, an empty one."""
    shop = make_shop(template, tmp_path, ALL[kind])
    shop.sample.git("init", "-q", str(tmp_path / "empty"), cwd=tmp_path)
    shop.sample.git("remote", "set-url", "origin", f"file://{shop.sample.remote}")
    shop.host.folder = tmp_path / "empty"
    done = shop.run("upgrade", "--yes", code=2)
    assert "The remote origin has 3 tags." in done.err
    assert "Check source.repo." in done.err
    shop.configure("  type: git\n  remote: origin\n")
    shop.run("upgrade", "--yes")
    shop.host.close()


# ---- what init proposes ----


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        (("v2018.09", "v2018.10", "2.0.0", "3.23.26"), 'tags: "[0-9]*"'),
        (("2018.09", "2.0.0", "3.23.26"), 'tags: "[0-9].*"'),
        (("0.9", "1.0", "v2024.1", "v2024.2"), 'tags: "v*"'),
        (("v1.0.0", "v1.1.0"), 'tags: "v*"'),
        (("1.0", "1.1"), None),
        (("release_3.34.9", "latest"), "tag_prefix: release_"),
    ],
)
def test_init_proposes_the_scheme_that_is_live(sample: Sample, tags: tuple[str, ...], line: str | None) -> None:
    tag(sample, *tags)
    sample.git("fetch", "-q", "--tags", "origin")
    sample.git("checkout", "-q", "--detach", tags[-1])
    (sample.app / "deploy.yaml").unlink()
    sample.gitdeploy("init")
    drafted = (sample.app / "deploy.yaml").read_text()
    if line is None:
        assert "  tags:" not in drafted
    else:
        assert f"  {line} " in drafted, drafted
    if tags[-1] != "latest":
        assert json.loads(sample.gitdeploy("check", "--json").out)["is_same"]
