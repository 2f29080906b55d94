"""A small repository with commits made from plain trees, and a checkout of one of them: without gitdeploy's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitdeploy.checkout.changes import Policy, Target, TreePlan
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.keep import KeepPaths
from gitdeploy.checkout.local import read_local
from gitdeploy.checkout.plan import CheckoutPlan, plan_checkout
from gitdeploy.checkout.submodules import Rules
from support.sample import Content, Link, Program, Tree, folder_files, write_tree


@dataclass
class Checkout:
    """`commit` makes one of a tree, `go` checks one out."""

    root: Path

    @property
    def repository(self) -> Repository:
        return Repository.open(self.root)

    def git(self, *words: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(["git", *words], cwd=self.root, input=stdin, capture_output=True)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(self, tree: Tree, *, after: str | None = None, tag: str | None = None) -> str:
        """A commit of just that tree, nothing is checked out; AFTER another commit, or the first of its own history."""
        stream = b"commit refs/trees/made\ncommitter T <t@localhost> 1700000000 +0000\ndata 1\nx\n"
        stream += (f"from {after}\n" if after else "").encode() + b"deleteall\n"
        for name, content in tree.items():
            path = name if isinstance(name, bytes) else os.fsencode(name)
            mode, data = _as_git(content)
            quoted = b"".join(b"\\%03o" % byte if byte in b'\n"\\' else bytes([byte]) for byte in path)
            stream += b'M %s inline "%s"\ndata %d\n%s\n' % (mode, quoted, len(data), data)
        self.git("fast-import", "--quiet", "--force", stdin=stream)
        made = self.git("rev-parse", "refs/trees/made")
        self.git("update-ref", "-d", "refs/trees/made")
        if tag:
            self.git("update-ref", f"refs/tags/{tag}", made)
        return made

    def go(self, commit: str) -> None:
        self.git("checkout", "-q", "-f", "--detach", commit)
        self.git("clean", "-q", "-f", "-d", "-x")

    def write(self, tree: Tree) -> None:
        """Write TREE over what is there, whatever that is."""
        for name in tree:
            place = os.path.join(os.fsencode(self.root), name if isinstance(name, bytes) else os.fsencode(name))
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            elif os.path.lexists(place):
                os.unlink(place)
        write_tree(self.root, tree)

    def target(self, commit: str) -> Target:
        tree = self.repository.tree_of(commit)
        return Target(commit, tree, tree)

    def plan(
        self, commit: str, policy: Policy = "refuse", keep: tuple[str, ...] = (), *, keep_dropped: bool = True
    ) -> TreePlan:
        """What the planner says about the files of going to COMMIT."""
        return self.whole_plan(commit, policy, keep, keep_dropped=keep_dropped).tree

    def whole_plan(
        self, commit: str, policy: Policy = "refuse", keep: tuple[str, ...] = (), *, keep_dropped: bool = True
    ) -> CheckoutPlan:
        """The same with what belongs to it."""
        repository = self.repository
        return plan_checkout(
            repository,
            read_local(repository),
            self.target(commit),
            keep=KeepPaths(keep),
            policy=policy,
            rules=_no_submodules,
            forbidden=(b".gitdeploy", b"venv"),
            keep_dropped=keep_dropped,
        )

    def files(self) -> dict[bytes, tuple[object, ...]]:
        return folder_files(self.root, skip=(b".git", b".gitdeploy"))


def _no_submodules() -> Rules:
    raise AssertionError("there are no submodules in these trees")


def _as_git(content: Content) -> tuple[bytes, bytes]:
    if isinstance(content, Link):
        return b"120000", content.to.encode()
    text = content.text if isinstance(content, Program) else content
    return b"100755" if isinstance(content, Program) else b"100644", text.encode() if isinstance(text, str) else text


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "app"
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return root


@pytest.fixture
def checkout(empty_repository: Path, tmp_path: Path) -> Checkout:
    root = tmp_path / "app"
    shutil.copytree(empty_repository, root, symlinks=True)
    return Checkout(root)
