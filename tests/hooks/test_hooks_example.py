"""The hook in Python that docs/hooks.md shows, as it stands there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from support.sample import PROJECT, Program, Sample, Tree

HOOK = "hooks/post-deploy.d/40-news"


def example(python: Path) -> str:
    """Its text, with PYTHON as the one that gitdeploy is installed in: one whose path has no blank, as #! wants."""
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    text = (PROJECT / "docs/hooks.md").read_text()
    found = re.search(rf"`{HOOK}`.*?```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1].replace("/opt/gitdeploy/bin/python", str(python))


def test_it_lists_the_commits_since_the_last_release(tmp_path: Path) -> None:
    sample = Sample(tmp_path)
    base: Tree = {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git}\nhooks: {dir: hooks}\n",
        ".gitignore": "/venv\n/run\n",
        "requirements.txt": "",
        HOOK: Program(example(tmp_path / "python")),
    }
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        sample.release(f"v{version}", {**base, "main.py": f"VERSION = {version!r}\n"})
    sample.install("v1.0.0")
    sample.extra_environment = {"GIT_DIR": str(tmp_path / "elsewhere"), "GIT_WORK_TREE": str(tmp_path)}
    sample.gitdeploy("upgrade", "v1.2.0")
    lines = (sample.app / "run/news.txt").read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d  ", "", line) for line in lines] == [
        "Release v1.2.0  (Test)",
        "Release v1.1.0  (Test)",
    ]
