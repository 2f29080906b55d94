"""What a release brings runs only where it was asked for: a folder `hooks` counts where deploy.yaml names it, and whose
hooks ran without that before is told, not left without them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.sample import Link, Program, Sample, Tree

from gitdeploy import config as configuration
from gitdeploy.config import HooksConfig
from gitdeploy.hooks.running import find_hooks

PLAIN = "app: {name: app}\nsource: {type: git}\nvenv: {path: null}\n"
NAMED = PLAIN + "hooks: {dir: hooks}\n"
DOCKER_HUB = Program(
    '#!/bin/bash\ntouch ran-by-mistake\ndocker build --build-arg X=$SOURCE_COMMIT -t "$IMAGE_NAME" .\n'
)
LEAVES_A_MARK = Program("#!/bin/sh\necho $GITDEPLOY_STAGE >>marks\n")


def app(tmp_path: Path, first: Tree, *more: Tree, settings: str = PLAIN) -> Sample:
    sample = Sample(tmp_path, venv=False)
    for number, tree in enumerate((first, *more), 1):
        sample.release(f"v{number}.0.0", {".gitignore": "/deploy.yaml\n/marks\n", "VERSION": str(number), **tree})
    sample.install("v1.0.0")
    (sample.app / "deploy.yaml").write_text(settings)
    return sample


def marks(sample: Sample) -> list[str]:
    file = sample.app / "marks"
    return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize(
    "brought",
    [
        {"hooks/build": DOCKER_HUB, "hooks/post_push": DOCKER_HUB},
        {"hooks/__init__.py": "", "hooks/build/__init__.py": "", "hooks/migrate.py": ""},
        {"hooks/migrate.d/README.md": "words"},
        {"hooks.py": "def build(): ...\n"},
        {"hooks": Program("#!/bin/sh\ntouch ran-by-mistake\n")},
        {"scripts/build": DOCKER_HUB, "hooks": Link("scripts")},
    ],
)
def test_what_an_app_has_for_itself_in_hooks_is_not_run(tmp_path: Path, brought: Tree) -> None:
    sample = app(tmp_path, brought, {**brought, "hooks-new": ""})
    sample.gitdeploy("upgrade", "v2.0.0")
    sample.gitdeploy("rollback", "--yes")
    assert not (sample.app / "ran-by-mistake").exists()
    assert "No hooks." in sample.gitdeploy("hooks").out


def test_hooks_that_nobody_asked_for_are_named_with_both_ways_out(tmp_path: Path) -> None:
    sample = app(tmp_path, {}, {"hooks/build": DOCKER_HUB})
    note = next(line for line in sample.gitdeploy("plan").out.splitlines() if line.startswith("  Note:"))
    assert "hooks/build isn't run: deploy.yaml doesn't name the folder hooks." in note
    sample.gitdeploy("upgrade", "v2.0.0")
    found = [
        each for each in json.loads(sample.gitdeploy("--json", "doctor", code=None).out) if each["about"] == "hooks"
    ]
    assert [each["level"] for each in found] == ["warning"]
    yes, no = re.findall(r"hooks: \{dir: \w+\}", found[0]["hint"])
    (sample.app / "deploy.yaml").write_text(PLAIN + no + "\n")
    assert "hooks/build" not in sample.gitdeploy("plan").out
    assert "hooks/build" not in sample.gitdeploy("doctor", code=None).out
    (sample.app / "deploy.yaml").write_text(PLAIN + yes + "\n")
    assert "build  hooks/build" in re.sub(" +", "  ", sample.gitdeploy("hooks").out)


def ran_in_its_time(sample: Sample) -> None:
    """One deployment of a gitdeploy that took `hooks` for its own by itself: its log is the same as of one that was told."""
    (sample.app / "deploy.yaml").write_text(NAMED)
    sample.gitdeploy("upgrade", "v2.0.0")
    (sample.app / "deploy.yaml").write_text(PLAIN)


def test_an_old_set_up_never_loses_its_hooks_without_a_word(tmp_path: Path) -> None:
    hooks: Tree = {"hooks/migrate": LEAVES_A_MARK, "hooks/post-restore": LEAVES_A_MARK}
    sample = app(tmp_path, hooks, hooks, hooks)
    ran_in_its_time(sample)
    assert marks(sample) == ["migrate"]
    refused = sample.gitdeploy("upgrade", "--yes", code=7)
    assert "Earlier deployments here ran such hooks." in refused.err
    assert "doesn't name the folder" in sample.gitdeploy("doctor", code=None).out
    sample.gitdeploy("upgrade", "v3.0.0", "--no-hooks")
    sample.gitdeploy("rollback", "--yes")  # the way back isn't closed
    assert marks(sample) == ["migrate"]
    way = re.search(r"hooks: \{dir: hooks\}", refused.err)
    assert way
    (sample.app / "deploy.yaml").write_text(PLAIN + way[0] + "\n")
    sample.gitdeploy("upgrade", "v3.0.0")
    assert marks(sample) == ["migrate", "migrate"]


def test_a_tracked_deploy_yaml_names_the_folder_from_its_release_on(tmp_path: Path) -> None:
    sample = Sample(tmp_path, venv=False)
    hooks: Tree = {".gitignore": "/marks\n", "hooks/build": LEAVES_A_MARK}
    sample.release("v1.0.0", {"deploy.yaml": PLAIN, **hooks})
    sample.release("v2.0.0", {"deploy.yaml": NAMED, **hooks})
    sample.install("v1.0.0")
    sample.gitdeploy("upgrade", "v2.0.0")
    assert marks(sample) == ["build"]


@pytest.mark.parametrize(
    ("found", "folder"),
    [
        ({}, "hooks"),
        ({"hooks/build": DOCKER_HUB}, "deploy/hooks"),
        ({"hooks/__init__.py": ""}, "deploy/hooks"),
        ({"hooks/build": DOCKER_HUB, "deploy/hooks/x": ""}, ".gitdeploy-hooks"),
        ({"hooks/migrate": LEAVES_A_MARK}, "hooks"),
        ({"hooks/build": LEAVES_A_MARK}, "hooks"),
        ({"hooks/build.d/10-assets": Program("#!/bin/sh\n")}, "hooks"),
    ],
)
def test_init_names_a_folder_that_is_nobody_elses(tmp_path: Path, found: Tree, folder: str) -> None:
    sample = app(tmp_path, found)
    (sample.app / "deploy.yaml").unlink()
    sample.gitdeploy("init")
    assert configuration.load(sample.app).hooks.dir == folder
    assert "which isn't there" not in sample.gitdeploy("plan", code=None).text, "init's own proposal is no mistake"
    sample.gitdeploy("hooks", "install", "smoke-test")
    assert f"{folder}/post-deploy.d/20-smoke-test" in sample.gitdeploy("hooks").out


def test_hooks_behind_a_link_are_marked_in_the_plan(tmp_path: Path) -> None:
    first: Tree = {"ops/build": LEAVES_A_MARK, "ops/pre-deploy": LEAVES_A_MARK, "hooks": Link("ops")}
    second: Tree = {"ops/build": Program("#!/bin/sh\n"), "ops/migrate.d/20-x": LEAVES_A_MARK, "hooks": Link("ops"),
                    "ops/migrate.d/__pycache__/x.pyc": ""}  # fmt: skip
    sample = app(tmp_path, first, second, settings=NAMED)
    shown = sample.gitdeploy("plan").out
    assert "hooks/build (changed)" in shown
    assert "hooks/migrate.d/20-x (new)" in shown
    assert "hooks deleted   hooks/pre-deploy" in shown
    assert "hooks/migrate.d/__pycache__" not in shown
    sample.gitdeploy("upgrade", "v2.0.0")
    assert marks(sample) == ["pre-deploy", "migrate"]


def test_hooks_in_a_submodule_are_marked_in_the_plan_and_run(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = Sample(tmp_path / "inner", venv=False)
    inner.release("one", {"build": Program("#!/bin/sh\n")})
    sample = Sample(tmp_path, venv=False)
    sample.release("v0.1.0", {".gitignore": "/marks\n", "deploy.yaml": NAMED})
    sample.git("submodule", "add", "-q", str(inner.remote), "hooks", cwd=sample.remote)
    for number in (1, 2):
        sample.git("commit", "-q", "-a", "-m", f"Release {number}", cwd=sample.remote)
        sample.git("tag", "-a", f"v{number}.0.0", "-m", f"Release {number}", cwd=sample.remote)
        inner.release(f"two-{number}", {"build": LEAVES_A_MARK, "post-deploy": LEAVES_A_MARK})
        sample.git("pull", "-q", "origin", "main", cwd=sample.remote / "hooks")
    sample.install("v1.0.0")
    sample.git("submodule", "update", "-q", "--init")
    shown = sample.gitdeploy("plan").out
    assert "hooks/build (changed)" in shown
    assert "hooks/post-deploy (new)" in shown
    sample.gitdeploy("upgrade", "v2.0.0")
    assert marks(sample) == ["build", "post-deploy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
@pytest.mark.parametrize("place", ["hooks/build", "hooks"])
def test_a_hook_that_another_user_can_change_is_not_run(tmp_path: Path, place: str) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/build").write_text("#!/bin/sh\n")
    (tmp_path / "hooks/build").chmod(0o755)
    os.chown(tmp_path / place, 65534, 65534)
    (hook,) = find_hooks(tmp_path, HooksConfig(dir="hooks"), "build")
    assert hook.problem == f"{place} belongs to nobody, and root would run it: chown root {place}"
    os.chown(tmp_path / place, 0, 0)
    assert find_hooks(tmp_path, HooksConfig(dir="hooks"), "build")[0].problem is None


def test_a_deploy_yaml_of_another_program_is_called_that_and_another_file_settles_it(tmp_path: Path) -> None:
    sample = Sample(tmp_path, venv=False)
    manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n"
    for number in (1, 2):
        sample.release(f"v{number}.0.0", {"VERSION": str(number), **({"deploy.yaml": manifest} if number == 2 else {})})
    sample.install("v1.0.0")
    refused = sample.gitdeploy("upgrade", "v2.0.0", code=2)
    assert "is another program's" in refused.err
    assert "gitdeploy --config FILE" in refused.err
    own = tmp_path / "own.yaml"
    own.write_text(PLAIN)
    sample.gitdeploy("--config", str(own), "upgrade", "v2.0.0")
    assert "v2.0.0" in sample.gitdeploy("--config", str(own), "status").out
