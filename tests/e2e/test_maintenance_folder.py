"""The maintenance file's folder: made where it is missing, and gone again with a deployment that is rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample import Program, Sample, differences


@pytest.mark.parametrize("hooks", [{}, {"hooks/migrate": Program("#!/bin/sh\nexit 1\n")}], ids=["succeeds", "fails"])
def test_a_folder_made_for_it_does_not_outlive_a_rollback(tmp_path: Path, hooks: dict[str, Program]) -> None:
    sample = Sample(tmp_path, venv=False)
    base = {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\nmaintenance: {file: down/for/now}\n"
    }
    sample.release("v1.0.0", {**base, "VERSION": "1.0.0", ".gitignore": "/down/\n"})
    sample.release("v2.0.0", {**base, "VERSION": "2.0.0", ".gitignore": "/down/\n", **hooks})
    sample.install("v1.0.0")
    before = sample.state()
    sample.gitdeploy("upgrade", "v2.0.0", code=3 if hooks else 0)
    assert not (sample.app / "down/for/now").exists()
    if hooks:
        assert differences(before, sample.state()) == []
