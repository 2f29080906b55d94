"""An app whose upstream knows nothing of gitdeploy: deploy.yaml and the requirements are the operator's own, untracked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample import Sample, differences


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    sample = Sample(tmp_path)
    for version in ("1.0", "2.0"):
        sample.wheel("greeting", version)
        sample.wheel("server", version)
    sample.release("v1.0.0", {"app.py": "1\n", "requirements.txt": "greeting==1.0\n"})
    sample.release("v2.0.0", {"app.py": "2\n", "requirements.txt": "greeting==2.0\n"})
    sample.install("v1.0.0")
    (sample.app / "requirements-here.txt").write_text("-r requirements.txt\nserver==1.0\n")
    (sample.app / "deploy.yaml").write_text(
        "source: {type: git}\nvenv: {path: venv, requirements: [requirements-here.txt]}\n"
    )
    return sample


def test_untracked_requirements_are_installed_with_the_release_s_own(sample: Sample) -> None:
    sample.gitdeploy("upgrade", "v2.0.0")
    assert {"greeting==2.0", "server==1.0"} <= set(sample.packages())
    (sample.app / "requirements-here.txt").write_text("-r requirements.txt\nserver==2.0\n")
    before = sample.state()
    sample.gitdeploy("upgrade", "v1.0.0", "--allow-downgrade")
    assert {"greeting==1.0", "server==2.0"} <= set(sample.packages())
    sample.gitdeploy("rollback", "v2.0.0")
    assert differences(before, sample.state()) == []


def test_a_requirements_file_that_nobody_has_is_named(sample: Sample) -> None:
    (sample.app / "requirements-here.txt").unlink()
    done = sample.gitdeploy("upgrade", "v2.0.0", code=1)
    assert "requirements-here.txt, which this release doesn't have" in done.err


def test_requirements_behind_a_link_that_leaves_the_checkout_are_not_read(sample: Sample, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("server==2.0\n")
    (sample.app / "requirements-here.txt").unlink()
    (sample.app / "requirements-here.txt").symlink_to(outside)
    sample.gitdeploy("upgrade", "v2.0.0", code=1)


def test_the_line_that_a_refusal_proposes_settles_it_and_forgets_no_path_kept_before(sample: Sample) -> None:
    settings = "source: {type: git}\nvenv: {path: venv, requirements: [requirements-here.txt]}\n"
    (sample.app / "deploy.yaml").write_text(settings + "git: {keep: [.env, mine.cfg]}\n")
    (sample.app / "app.py").write_text("my own\n")
    done = sample.gitdeploy("upgrade", "v2.0.0", code=7)
    line = next(part for part in done.err.splitlines() if "git: {keep:" in part).partition("deploy.yaml:")[2].strip()
    assert line == "git: {keep: [.env, mine.cfg, app.py]}"
    (sample.app / "deploy.yaml").write_text(f"{settings}{line}\n")
    sample.gitdeploy("upgrade", "v2.0.0")
    assert (sample.app / "app.py").read_text() == "my own\n"
