"""Filters of .gitattributes (git-crypt, git-lfs, the operator's own): how git is told of them, and what they make of a file."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import LONG
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system.completed import Completed
from gitdeploy.text import clean

_FAILED = re.compile(r"external filter|failed to encode|(?:smudge|clean) filter .* failed")


def filter_options(repository: Repository) -> tuple[str, ...]:
    """`-c` values of a git whose work tree isn't the checkout: filters are started in the checkout all the same, where a
    relative path in them leads, and Git LFS by its whole path."""
    there = f"cd {shlex.quote(str(repository.root)).replace('%', '%%')} && "
    commands = repository.config(r"^filter\..*\.(clean|smudge|process)$")
    own = [f"{name}={there}{values[-1]}" for name, values in commands.items() if values[-1] and not _is_lfs(name)]
    return (*own, *repository.lfs_options())


def has_filters(repository: Repository) -> bool:
    """Whether there are filters beside Git LFS."""
    return any(not _is_lfs(name) for name in repository.config(r"^filter\..*\.(smudge|process)$"))


def refuse_failed_filter(done: Completed) -> None:
    """Raise `DeploymentFailed` where a filter failed: git then goes on with the unfiltered text."""
    if _FAILED.search(done.stderr.decode("utf-8", "replace")):
        raise DeploymentFailed(
            tr("A filter of .gitattributes failed: {error_text}", error_text=clean(done.error_text, lines=True)),
            tr("The filters' commands: git config --get-regexp ^filter"),
        )


def read_filtered(repository: Repository, tree: str, paths: Sequence[str]) -> dict[str, bytes]:
    """The content of those of PATHS that TREE has, as they will stand on disk: through its .gitattributes and the filters."""
    found = repository.read_many(tree, paths)
    if not found:
        return {}
    with repository.scratch() as folder:
        index, files = folder / "index", folder / "files"
        files.mkdir()
        repository.output("read-tree", tree, index=index, work_tree=files)
        done = repository.run(
            "checkout-index", "-f", "-z", "--stdin",
            stdin=b"".join(os.fsencode(path) + b"\0" for path in found),
            index=index, work_tree=files, options=filter_options(repository), timeout=LONG,
        )  # fmt: skip
        refuse_failed_filter(done)
        done.check(tr("Reading the release's files through their filters"))
        for path in found:
            file = files / path
            if not file.is_symlink():
                found[path] = file.read_bytes()
    return found


def _is_lfs(name: str) -> bool:
    return name.startswith("filter.lfs.")
