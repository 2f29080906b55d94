"""The files of the release that a plan goes to, read from git."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from gitdeploy.checkout.changes import LINK, Target
from gitdeploy.checkout.filters import filter_options, read_filtered, refuse_failed_filter
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.paths import Owner
from gitdeploy.checkout.plan import CheckoutPlan
from gitdeploy.deployment.plan.build_tree import as_checkout
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system.durable import is_file
from gitdeploy.text import path_text, size_text
from gitdeploy.venvs.linked import Linked

LARGEST_READ = 1 << 20  # bytes of a file that is read whole


class TargetFiles(Struct, frozen=True):
    """The checkout's files as they will be once the target is live, for whoever must read them before: those of the
    target's tree, and what stays on disk beside it (keep paths, untracked files such as an operator's own requirements)."""

    repository: Repository
    root: Path
    goal: Target
    checkout: CheckoutPlan
    filtered: bool = False  # filters of the operator's own make something else of what the release tracks

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where there will be none. Raises `DeploymentFailed`, `Linked` for a link."""
        name = os.fsencode(path)
        change = next((change for change in self.checkout.tree.changes if change.path == name), None)
        if change.mode == LINK if change is not None else os.path.islink(self.root / path):
            raise Linked(path)
        if change is not None and change.owner:
            return self.checkout.blob(change)
        if change is not None and change.content is not None:
            return change.content
        if change is not None:
            return None if change.kind == "deleted" else self._of_release(path)
        try:
            return self._on_disk(path) if self._stays(path) else self._of_release(path)
        except OSError as error:
            raise DeploymentFailed(
                tr("{path} can't be read: {strerror}.", path=path_text(path), strerror=error.strerror),
                tr("See who owns it and its mode (ls -l)."),
            ) from error

    def _of_release(self, path: str) -> bytes | None:
        if self.filtered:
            return read_filtered(self.repository, self.goal.tree, [path]).get(path)
        return self.repository.read_blob(self.goal.tree, path)

    def _stays(self, path: str) -> bool:
        """A regular file inside the checkout: no link of a release leads its reader out. Raises `OSError`."""
        full = self.root / path
        return is_file(full) and Path(os.path.realpath(full)) == Path(os.path.realpath(self.root)) / path

    def _on_disk(self, path: str) -> bytes | None:
        full = self.root / path
        if full.stat().st_size > LARGEST_READ:
            raise DeploymentFailed(
                tr("{path} is larger than {largest_read}.", path=path_text(path), largest_read=size_text(LARGEST_READ))
            )
        return full.read_bytes()

    def tree_id(self, path: str) -> str | None:
        """What the release's folder PATH holds (empty: all of it), as git's id; None where there is no such folder."""
        if not path:
            return self.goal.tree
        owner = self._submodule_of(os.fsencode(path))
        if owner is None or owner.target is None:
            repository, tree, inside = self.repository, self.goal.tree, path
        else:
            repository, tree, inside = owner.repository, owner.target.tree, path[len(owner.prefix) + 1 :]
        if not inside:
            return tree
        (facts,) = repository.facts([f"{tree}:{inside}"])
        return facts.oid if facts is not None else None

    def _submodule_of(self, path: bytes) -> Owner | None:
        """The innermost submodule of the release that PATH is or lies in; None where it is the checkout's own."""
        found = [prefix for prefix in self.checkout.owners if prefix and (path + b"/").startswith(prefix + b"/")]
        return self.checkout.owners[max(found, key=len)] if found else None

    def export(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Write those files (None: all, submodules' too) below FOLDER, as git checks them out."""
        _export(self.repository, self.goal, folder, paths)
        for prefix, owner in sorted(self.checkout.owners.items()) if paths is None else ():
            if prefix and owner.target is not None:
                _export(owner.repository, owner.target, folder / os.fsdecode(prefix), None)


def _export(repository: Repository, goal: Target, folder: Path, paths: Sequence[str] | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    index = folder.parent / f"{folder.name}.index"
    repository.output("read-tree", goal.tree, index=index, tied=True)
    words = ("checkout-index", "-f", "-a") if paths is None else ("checkout-index", "-f", "-z", "--stdin")
    stdin = None if paths is None else b"".join(os.fsencode(path) + b"\0" for path in paths)
    options = filter_options(repository)
    done = repository.run(*words, stdin=stdin, index=index, work_tree=folder, options=options, tied=True)
    refuse_failed_filter(done)
    done.check(tr("Writing the release's files for its packages"))
    if paths is None:
        as_checkout(repository, folder, goal.commit, index)
    else:
        index.unlink()
