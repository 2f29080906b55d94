"""Folders for a moment beside git's own files, and what a killed process left of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from gitdeploy.system import proc

SCRATCH = "gitdeploy-scratch-"


def sweep_scratch(git_dir: Path) -> None:
    """Delete the folders of `Repository.scratch` whose process is gone."""
    for entry in git_dir.glob(f"{SCRATCH}*"):
        pid, _, rest = entry.name.removeprefix(SCRATCH).partition("-")
        started = rest.partition("-")[0]
        if not pid.isdecimal() or str(proc.start_ticks(int(pid))) != started:
            shutil.rmtree(entry, ignore_errors=True)
