"""A few tree objects that stand for billions of paths are counted, never listed; what a release usually has passes."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from gitdeploy import App
from gitdeploy.checkout import bounds
from gitdeploy.checkout.changes import list_tree, tree_difference
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import git_memory
from gitdeploy.errors import PolicyError
from gitdeploy.system import process

SETTINGS = b"app: {name: shop}\nsource: {type: git}\nvenv: {path: }\n"


def git(folder: Path, *words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *words], cwd=folder, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def tree_of(folder: Path, entries: dict[str, str]) -> str:
    lines = [
        f"{'040000 tree' if git(folder, 'cat-file', '-t', oid) == 'tree' else '100644 blob'} {oid}\t{name}\n"
        for name, oid in entries.items()
    ]
    return git(folder, "mktree", stdin="".join(lines).encode())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A remote, and trees in it: small; wide (16^7 files in nine objects); deep (paths whose bytes are too many)."""
    folder = tmp_path_factory.mktemp("remote")
    git(folder, "init", "-q", "-b", "main")
    blob, settings = (git(folder, "hash-object", "-w", "--stdin", stdin=text) for text in (b"x", SETTINGS))
    plain = {"a": blob, "deploy.yaml": settings}
    wide = tree_of(folder, {f"f{number:02}": blob for number in range(16)})
    for _ in range(6):
        wide = tree_of(folder, {f"d{number:02}": wide for number in range(16)})
    deep = tree_of(folder, {f"f{number:05}": blob for number in range(500)})
    for _ in range(100):
        deep = tree_of(folder, {"d" * 250: deep})
    deep = tree_of(folder, {f"d{number}": deep for number in range(40)})
    trees = {"small": tree_of(folder, plain)}
    trees |= {name: tree_of(folder, {**plain, "bomb": tree}) for name, tree in (("wide", wide), ("deep", deep))}
    first = git(folder, "commit-tree", trees["small"], "-m", "one")
    second = git(folder, "commit-tree", trees["wide"], "-p", first, "-m", "two")
    for tag, commit in (("v1.0.0", first), ("v1.1.0", second)):
        git(folder, "update-ref", f"refs/tags/{tag}", commit)
    return folder, trees


@pytest.mark.parametrize(
    ("name", "says"), [("wide", r"286,331,15[35] files and folders"), ("deep", "whose paths take")]
)
def test_too_many_are_refused_in_no_time(made: tuple[Path, dict[str, str]], name: str, says: str) -> None:
    folder, trees = made
    repository = Repository.open(folder)
    begun = time.monotonic()
    for ask in (
        lambda: tree_difference(repository, trees["small"], trees[name]),
        lambda: list_tree(repository, trees[name]),
    ):
        with pytest.raises(PolicyError, match=says):
            ask()
    assert time.monotonic() - begun < 10


def test_what_the_live_release_has_too_is_not_counted(
    made: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    repository = Repository.open(folder)
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=b"y")
    inner = tree_of(folder, {f"f{number}": blob for number in range(9)})
    old = tree_of(folder, {"kept": inner, "changed": inner})
    other = tree_of(folder, {f"f{number}": blob for number in range(10)})
    new = tree_of(folder, {"kept": inner, "changed": other, "more": inner})
    monkeypatch.setattr(bounds, "MOST_ENTRIES", 12)  # changed, its f9, more and its nine
    bounds.refuse_too_many(repository, new, old)
    monkeypatch.setattr(bounds, "MOST_ENTRIES", 11)
    bounds.refuse_too_many.cache_clear()
    with pytest.raises(PolicyError, match="12 files and folders"):
        bounds.refuse_too_many(repository, new, old)


def test_plan_and_upgrade_say_it(made: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, _ = made
    git(tmp_path, "clone", "-q", "--no-checkout", f"file://{folder}", "app")
    git(tmp_path / "app", "checkout", "-q", "--detach", "v1.0.0")
    app = App.open(tmp_path / "app")
    for act in (app.plan, app.upgrade):
        with pytest.raises(PolicyError, match="lists up to 2,000,000"):
            act("v1.1.0")
    assert (tmp_path / "app/a").read_text() == "x"


def test_git_has_a_share_of_memory(made: tuple[Path, dict[str, str]]) -> None:
    share = git_memory(made[0] / ".git")
    assert share >= 2 << 30
    words = ["/bin/sh", "-c", "sleep 0.5; ulimit -v"]
    assert int(process.run(words, cwd="/", env={}, timeout=10, memory=share).text) == share // 1024
