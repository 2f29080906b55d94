"""A release leads forwards by history, not by its number alone: what HEAD is made of is never installed as an upgrade."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.sample import Done, Sample, differences

SETTINGS = "app: {name: shop}\nsource: {type: git}\n"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """v1.0.0 and v1.1.0 on main; nothing is installed yet."""
    sample = Sample(tmp_path, venv=False)
    for version in ("1.0.0", "1.1.0"):
        sample.release(f"v{version}", {"main.py": version, ".gitignore": "/deploy.yaml\n"})
    return sample


def commit(sample: Sample, name: str) -> str:
    """Work on the remote's present branch that no tag names."""
    (sample.remote / name).write_text(name)
    sample.git("add", name, cwd=sample.remote)
    sample.git("commit", "-q", "-m", f"work: {name}", cwd=sample.remote)
    return sample.git("rev-parse", "HEAD", cwd=sample.remote)


def clone(sample: Sample, *words: str, at: str | None = None, settings: str = SETTINGS) -> None:
    """The app as an install guide has it: git clone, and nothing else."""
    sample.git("clone", "-q", *words, f"file://{sample.remote}", str(sample.app), cwd=sample.folder)
    if at is not None:
        sample.git("checkout", "-q", "--detach", at)
    (sample.app / "deploy.yaml").write_text(settings)


def refused(sample: Sample, *words: str, says: str) -> Done:
    before = sample.state()
    done = sample.gitdeploy(*words, code=7)
    assert says in done.err, done.err
    assert differences(before, sample.state()) == []
    return done


def hint(done: Done, *, holds: str) -> list[str]:
    """The command that the answer offers, as it would be typed."""
    line = next(line for line in done.err.splitlines() if holds in line)
    return line.rpartition("gitdeploy ")[2].split()


# ---- HEAD is ahead of the newest release ----


def test_head_after_the_newest_release_is_never_led_back_to_it(sample: Sample) -> None:
    commit(sample, "0002_migration.py")
    commit(sample, "more.py")
    clone(sample)
    assert sample.gitdeploy("check").out == "HEAD is 2 commits after v1.1.0, the newest release.\n"
    found = json.loads(sample.gitdeploy("check", "--json", "--force").out)
    assert (found["update_available"], found["is_older"], found["commits_ahead"]) == (False, True, 2)
    assert "available" not in sample.gitdeploy("status").out
    for words in (("upgrade", "--yes"), ("plan",), ("prepare",)):
        refused(sample, *words, says="HEAD is 2 commits after v1.1.0")
    done = refused(sample, "upgrade", "v1.1.0", says="HEAD is 2 commits after v1.1.0")
    assert "rollback" not in done.err, "there is no backup to roll back to"
    way = hint(done, holds="--allow-downgrade")
    assert way == ["upgrade", "v1.1.0", "--allow-downgrade"]
    sample.gitdeploy(*way)
    assert (sample.app / "main.py").read_text() == "1.1.0"
    assert not (sample.app / "more.py").exists()


def test_the_same_where_the_tag_was_deleted_here_and_app_version_tells_an_older_one(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample)
    sample.git("tag", "-d", "v1.1.0")
    (sample.app / ".env").write_text("APP_VERSION=1.0.0\n")
    assert "HEAD is 1 commit after v1.1.0" in sample.gitdeploy("check").out
    refused(sample, "upgrade", "--yes", says="HEAD is 1 commit after v1.1.0")
    refused(sample, "upgrade", "v1.1.0", says="HEAD is 1 commit after v1.1.0")


def test_the_plan_of_a_named_one_says_it_too(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample)
    assert (
        "✗ HEAD is 1 commit after v1.1.0: installing it would be a downgrade."
        in sample.gitdeploy("plan", "v1.1.0", code=7).out
    )
    assert "✗" not in sample.gitdeploy("plan", "v1.1.0", "--allow-downgrade").out
    assert "✗ v1.0.0 is older than v1.1.0" in _at(sample, "v1.1.0").gitdeploy("plan", "v1.0.0", code=7).out


def _at(sample: Sample, tag: str) -> Sample:
    sample.git("checkout", "-q", "--detach", tag)
    return sample


def test_allow_downgrade_without_a_name_goes_to_the_newest_release(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample)
    sample.gitdeploy("upgrade", "--yes", "--allow-downgrade")
    assert sample.git("rev-parse", "HEAD") == sample.git("rev-parse", "v1.1.0^{commit}")


def test_a_release_made_of_head_is_taken_though_the_live_version_can_not_be_told(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample)
    sample.release("v1.2.0", {"main.py": "1.2.0", ".gitignore": "/deploy.yaml\n"})
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "1.2.0"


# ---- numbers that mislead ----


def test_a_higher_number_of_another_scheme_that_head_is_made_of_is_passed_over(tmp_path: Path) -> None:
    sample = Sample(tmp_path, venv=False)
    for tag in ("v2018.08", "v2018.09", "2.0.0", "3.23.26"):
        sample.release(tag, {"main.py": tag, ".gitignore": "/deploy.yaml\n"}, in_order=False)
    clone(sample, at="3.23.26")
    done = sample.gitdeploy("check")
    assert done.out == "3.23.26 is the newest release.\n"
    assert "v2018.09, v2018.08 count as newer versions than 3.23.26, but 3.23.26 was made after" in done.err
    assert "3.23.26, the newest release" in sample.gitdeploy("upgrade", "--yes").text
    states = {row["tag"]: row["state"] for row in json.loads(sample.gitdeploy("releases", "--json").out)}
    assert states == {"v2018.09": "older", "v2018.08": "older", "3.23.26": "live", "2.0.0": "older"}
    refused(sample, "upgrade", "v2018.09", says="3.23.26, which is live, is 2 commits after v2018.09")
    sample.release("3.23.27", {"main.py": "3.23.27", ".gitignore": "/deploy.yaml\n"}, in_order=False)
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "3.23.27"
    assert "was v2018" not in sample.gitdeploy("check", "--force").err


def test_the_same_for_watch(tmp_path: Path) -> None:
    sample = Sample(tmp_path, venv=False)
    for tag in ("v2018.09", "3.23.26"):
        sample.release(tag, {"main.py": tag, ".gitignore": "/deploy.yaml\n"}, in_order=False)
    clone(sample, at="3.23.26", settings=SETTINGS + "check: {upgrade: all}\n")
    assert "3.23.26 is the newest release" in sample.gitdeploy("watch", "--once").out
    sample.release("3.24.0", {"main.py": "3.24.0", ".gitignore": "/deploy.yaml\n"}, in_order=False)
    sample.gitdeploy("watch", "--once")
    assert (sample.app / "main.py").read_text() == "3.24.0"


@pytest.mark.parametrize("tag", ["1.1.0", "v1.1.0.0", "V1.1"])
def test_an_equal_number_is_no_update(sample: Sample, tag: str) -> None:
    clone(sample, at="v1.1.0")
    sample.release(tag, {"main.py": "again", ".gitignore": "/deploy.yaml\n"})
    assert json.loads(sample.gitdeploy("check", "--json").out)["update_available"] is False
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "1.1.0"


@pytest.mark.parametrize("tag", ["v1.1.0+docs", "v9.0.0+build5", "v1!0.1"])
def test_a_local_version_or_an_epoch_is_installed_only_by_name(sample: Sample, tag: str) -> None:
    clone(sample, at="v1.1.0")
    commit(sample, "docs.py")
    if "!" not in tag:
        sample.release(tag, {"main.py": tag, ".gitignore": "/deploy.yaml\n"})
    else:
        sample.git("tag", tag, cwd=sample.remote)
    assert "v1.1.0, the newest release" in sample.gitdeploy("upgrade", "--yes").text
    if "!" not in tag:
        sample.gitdeploy("upgrade", tag)
        assert (sample.app / "main.py").read_text() == tag


# ---- histories that part ----


def test_a_release_that_lacks_commits_of_heads_branch_is_installed_only_by_name(sample: Sample) -> None:
    commit(sample, "0002_migration.py")
    clone(sample)
    sample.git("checkout", "-q", "-b", "hotfix", "v1.1.0", cwd=sample.remote)
    sample.release("v1.1.1", {"main.py": "1.1.1", ".gitignore": "/deploy.yaml\n"})
    done = refused(
        sample, "upgrade", "--yes", says="HEAD has 1 commit that v1.1.1 lacks, so it is not chosen automatically."
    )
    assert "Note: HEAD has 1 commit that v1.1.1 lacks." in sample.gitdeploy("plan").out
    (sample.app / "deploy.yaml").write_text(SETTINGS + "check: {upgrade: all}\n")
    refused(sample, "watch", "--once", says="HEAD has 1 commit that v1.1.1 lacks")
    by_name = sample.gitdeploy(*hint(done, holds="To install it:"))
    assert "HEAD has 1 commit that v1.1.1 lacks." in by_name.text
    assert (sample.app / "main.py").read_text() == "1.1.1"


def test_releases_on_branches_of_their_own_follow_each_other_by_number(sample: Sample) -> None:
    sample.git("checkout", "-q", "-b", "1.0.x", "v1.0.0", cwd=sample.remote)
    sample.release("v1.0.1", {"main.py": "1.0.1", ".gitignore": "/deploy.yaml\n"})
    clone(sample, at="v1.0.1")
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "1.1.0"


def test_a_history_of_its_own_is_installed_only_by_name(sample: Sample) -> None:
    clone(sample, at="v1.1.0")
    sample.git("checkout", "-q", "--orphan", "rewritten", cwd=sample.remote)
    sample.release("v2.0.0", {"main.py": "2.0.0", ".gitignore": "/deploy.yaml\n"})
    done = refused(sample, "upgrade", "--yes", says="v2.0.0 has no history in common with v1.1.0, so it is not chosen")
    sample.gitdeploy(*hint(done, holds="To install it:"))
    assert (sample.app / "main.py").read_text() == "2.0.0"


def test_commits_made_on_the_server_are_still_named_with_their_own_ways_out(sample: Sample) -> None:
    clone(sample, at="v1.0.0")
    (sample.app / "local.py").write_text("x")
    sample.git("add", "local.py")
    sample.git("commit", "-q", "-m", "mine")
    refused(sample, "upgrade", "--yes", says="1 commit made on this server")
    sample.gitdeploy("upgrade", "--yes", "--discard-local-changes")
    assert (sample.app / "main.py").read_text() == "1.1.0"


def test_a_shallow_clone_says_what_it_can_not_tell(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample, "--depth=1")
    refused(sample, "upgrade", "--yes", says="v1.1.0")
    sample.release("v1.2.0", {"main.py": "1.2.0", ".gitignore": "/deploy.yaml\n"})
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "1.2.0"


def test_a_shallow_clone_of_a_release_upgrades_to_the_next(sample: Sample) -> None:
    sample.git("checkout", "-q", "v1.0.0", cwd=sample.remote)
    clone(sample, "--depth=1", "--branch=v1.0.0")
    sample.gitdeploy("upgrade", "--yes")
    assert (sample.app / "main.py").read_text() == "1.1.0"


def test_watch_does_not_guess_how_large_a_step_from_no_release_is(sample: Sample) -> None:
    commit(sample, "more.py")
    clone(sample, settings=SETTINGS + "check: {upgrade: patch}\n")
    sample.release("v1.2.0", {"main.py": "1.2.0", ".gitignore": "/deploy.yaml\n"})
    done = sample.gitdeploy("watch", "--once")
    assert "HEAD is not a release, so what is a `check.upgrade: patch` can't be told." in done.out
    assert (sample.app / "main.py").read_text() == "1.1.0"
