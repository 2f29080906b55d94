"""From every release to two others (a thorough run: to every other one) and back: files, modes, links, packages and git's own state compared exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.bounds import share
from support.releases import BROKEN_REQUIREMENTS, FAILING_HOOK, publish
from support.sample import Sample, differences, folder_files

KEPT = {b".env": "SECRET=1\n", b"conf/settings.ini": "[main]\nmine = yes\n", b"local.cfg": "mine\n"}
MINE = {b"notes.log": "ignored\n", b"my own file.txt": "untracked\n", b"instance/data.db": "data\n"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    sample = Sample(tmp_path_factory.mktemp("pairs"))
    sample.trees = publish(sample)  # type: ignore[attr-defined]
    sample.install("v1.2.9")
    for name, text in {**KEPT, **MINE}.items():
        path = sample.app / name.decode()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return sample


def pristine(sample: Sample, tag: str, folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """What a fresh checkout of TAG has, by git alone."""
    place = folder / tag
    if not place.exists():
        sample.git("clone", "-q", "--branch", tag, f"file://{sample.remote}", str(place), cwd=folder)
    return folder_files(place, skip=(b".git",))


def is_mine(path: bytes) -> bool:
    return path in KEPT or path in MINE or path in (b"instance", b"conf", b"cache.dat")


GOOD = ["v1.2.9", "v1.2.9.1", "v1.2.10", "v1.3.0", "v1.4.0", "v1.5.0", "v2.0.0", "v10.0.0rc1"]


@pytest.mark.parametrize("start", GOOD)
@pytest.mark.xdist_group("pairs")
def test_upgrade_to_another_release_and_restore(
    sample: Sample, start: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clones = tmp_path_factory.getbasetemp() / "clones"
    clones.mkdir(exist_ok=True)
    sample.gitdeploy("upgrade", start, "--allow-downgrade")
    before = sample.state()
    for goal in share([tag for tag in GOOD if tag != start], 2, GOOD.index(start)):
        sample.gitdeploy("upgrade", goal, "--allow-downgrade")
        now = sample.state()
        expected = {path: facts for path, facts in pristine(sample, goal, clones).items() if not is_mine(path)}
        found = {path: facts for path, facts in now["files"].items() if not is_mine(path)}
        assert differences({"tree": expected}, {"tree": found}) == [], f"{start} -> {goal}"
        assert {p: (sample.app / p.decode()).read_text() for p in (*KEPT, *MINE)} == {**KEPT, **MINE}
        assert f"greeting=={wanted_greeting(sample, goal)}" in now["packages"]
        assert now["HEAD"].strip() == sample.git("rev-parse", f"refs/tags/{goal}^{{commit}}", cwd=sample.remote)
        sample.gitdeploy("restore", "latest")
        after = sample.state()
        assert differences(before, after) == [], f"{goal} -> back to {start}"


def wanted_greeting(sample: Sample, tag: str) -> str:
    tree = sample.trees[tag]  # type: ignore[attr-defined]
    text = str(tree["requirements.txt"]) + str(tree.get("requirements/base.txt", ""))
    return text.split("greeting==")[1].split()[0]


def test_a_release_with_broken_requirements_changes_nothing(sample: Sample) -> None:
    sample.gitdeploy("upgrade", "v1.5.0", "--allow-downgrade")
    before = sample.state()
    done = sample.gitdeploy("upgrade", BROKEN_REQUIREMENTS, code=1)
    assert "this-is-nowhere" in done.err
    assert "nothing live was touched" in done.err
    assert differences(before, sample.state()) == []


def test_a_release_whose_hook_fails_is_rolled_back_and_remembered(sample: Sample) -> None:
    sample.gitdeploy("upgrade", "v1.5.0", "--allow-downgrade")
    before = sample.state()
    done = sample.gitdeploy("upgrade", FAILING_HOOK, code=3)
    assert "this hook fails" in done.err
    assert "runs v1.5.0 again" in done.err
    assert differences(before, sample.state()) == []
