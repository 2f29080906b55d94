"""Sparse checkouts: what the operator's patterns leave out stays out, in the new release too.

Only git knows what its patterns mean, and none of its commands says so of a tree. `git sparse-checkout reapply` marks an
index by them; in an empty work tree, of an index without marks, it has no file to write and none to take away.
"""

from __future__ import annotations

import os

from gitdeploy.checkout.bounds import refuse_too_many
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.local import Local
from gitdeploy.checkout.program import LONG, git_version, program
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import durable

REAPPLY_SINCE = (2, 27)


def left_out(repository: Repository, local: Local, tree: str) -> tuple[bytes, ...]:
    """Paths of TREE that stay absent: left out by the patterns, or left out now, and nothing of that name is here.

    Raises `DeploymentFailed` where git can't tell.
    """
    if git_version(program()) < REAPPLY_SINCE:
        raise DeploymentFailed(
            tr("This git is too old to tell which files a sparse checkout leaves out of a release (2.27 can)."),
            tr("Upgrade git, or have all files here: git sparse-checkout disable"),
        )
    root = os.fsencode(repository.root)
    with repository.scratch() as folder:
        index, empty = folder / "index", folder / "empty"
        empty.mkdir()
        refuse_too_many(repository, tree, repository.tree_of(local.head))
        repository.output("read-tree", tree, index=index, work_tree=empty, timeout=LONG)
        done = repository.run("sparse-checkout", "reapply", index=index, work_tree=empty, timeout=LONG)
        if not done.ok:
            raise DeploymentFailed(
                tr(
                    "git can't tell which files the sparse checkout leaves out: {error_text}",
                    error_text=done.error_text,
                ),
                tr("See: git sparse-checkout list. To have all files here: git sparse-checkout disable"),
            )
        listed = repository.output("ls-files", "-t", "-z", index=index, work_tree=empty, timeout=LONG)
    absent_now = set(local.sparse)
    paths = ((entry[:1], entry[2:]) for entry in listed.split(b"\0") if entry)
    return tuple(
        path for mark, path in paths if path in absent_now or (mark == b"S" and not durable.exists(root + b"/" + path))
    )
