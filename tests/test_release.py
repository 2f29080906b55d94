"""`make release`: what it refuses, and what it makes, on a clone of this very repository."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.sample import PROJECT, Sample

LINES = "### Development\n\n- A line.\n"


def git(clone: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This repository on `main`, with a heading for 9.8.7 in its changelog."""
    if not (PROJECT / ".git").exists():
        pytest.skip("not here: a clone with its history")
    made = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(PROJECT), str(made))
    git(made, "checkout", "--quiet", "-B", "main")
    log = made / "CHANGELOG.md"
    log.write_text(log.read_text().replace("\n## ", f"\n## 9.8.7 (unreleased)\n\n{LINES}\n## ", 1))
    git(made, "commit", "--quiet", "-a", "-m", "A heading")
    return made


def release(clone: Path, version: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`make release` with the tools of the venv that the tests run in."""
    if not (Path(sys.prefix) / ".dev").exists():
        pytest.skip("not here: a .venv that make made")
    os.utime(clone / "pyproject.toml", (0, 0))  # else make would install the clone into that venv
    return subprocess.run(
        ["make", "release", f"VERSION={version}", f"VENV={sys.prefix}", f"PYTHON={sys.executable}"],
        cwd=clone, env={**os.environ, **more}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "before", "said"),
    [
        ("", ":", "A version is x.y.z"),
        ("v9.8.7", ":", "A version is x.y.z"),
        ("9.8", ":", "A version is x.y.z"),
        ("9.8.7", "git checkout -q -b other", "A release is made of main; this is other."),
        ("9.8.7", "git checkout -q --detach", "A release is made of main; this is ."),
        ("9.8.7", "echo more >>README.md", "The tree is not clean:\n M README.md"),
        ("9.8.7", "touch new", "The tree is not clean:\n?? new"),
        ("9.8.7", "git tag v9.8.7", "The tag v9.8.7 is there already."),
        ("9.8.8", ":", 'CHANGELOG.md has no heading "## 9.8.8"'),
        ("9.8.70", ":", 'CHANGELOG.md has no heading "## 9.8.70"'),
        ("9.8.7", "echo 'x: int = \"\"' >gitdeploy/x.py; git add -A; git commit -qm x", "gitdeploy/x.py"),
    ],
)
def test_what_is_no_release_is_refused_and_leaves_the_tree_as_it_was(
    clone: Path, version: str, before: str, said: str
) -> None:
    subprocess.run(["sh", "-c", before], cwd=clone, check=True)
    was = git(clone, "status", "--porcelain")
    done = release(clone, version)
    assert done.returncode != 0
    assert said in done.stderr + done.stdout, done.stderr
    assert git(clone, "status", "--porcelain") == was
    assert not (clone / "dist").exists()


@pytest.mark.timeout(900)
def test_a_release_is_built_checked_and_described(clone: Path, tmp_path: Path) -> None:
    wheels = Sample(tmp_path, venv=False)
    needed = {Requirement(text) for text in requires("gitdeploy") or ()}
    names = {each.name for each in needed if each.marker is None or any(
        each.marker.evaluate({"extra": extra}) for extra in ("web", "notify"))}  # fmt: skip
    wheels.real_wheels(*sorted(names))
    done = release(clone, "9.8.7", PIP_FIND_LINKS=str(wheels.wheels))
    assert done.returncode == 0, done.stdout + done.stderr

    out = clone / "dist"
    wheel, sdist, bill = (
        out / f"gitdeploy-9.8.7{rest}" for rest in ("-py3-none-any.whl", ".tar.gz", ".cdx.json")
    )  # fmt: skip
    assert {file.name for file in out.iterdir()} == {wheel.name, sdist.name, bill.name, "SHA256SUMS"}
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(wheel) as archive:
        assert {"gitdeploy/py.typed", "gitdeploy/deploy.yaml.example", "gitdeploy/_hooks/smoke-test"} <= set(
            archive.namelist()
        )
        assert not [name for name in archive.namelist() if name.startswith("tests/")]
    with tarfile.open(sdist) as archive:
        log = archive.extractfile("gitdeploy-9.8.7/CHANGELOG.md")
        assert log is not None
        assert b"(unreleased)" not in log.read().partition(b"\n## ")[2].partition(b"\n")[0]

    described = json.loads(bill.read_text())
    assert described["bomFormat"] == "CycloneDX"
    assert {described["metadata"]["component"][key] for key in ("name", "version")} == {"gitdeploy", "9.8.7"}
    assert {"click", "msgspec", "Flask", "uv"} <= {each["name"] for each in described["components"]}
    assert "pytest" not in {each["name"] for each in described["components"]}

    assert git(clone, "diff", "--name-only").split() == [
        "CHANGELOG.md",
        "ansible_collections/gitdeploy/fleet/galaxy.yml",
        "gitdeploy/__init__.py",
    ]
    assert git(clone, "tag") == git(PROJECT, "tag"), "it tags nothing"
    assert "git tag -s v9.8.7 -m 'gitdeploy 9.8.7'" in done.stdout
    assert "git commit -m 'gitdeploy 9.8.7'" in done.stdout
