"""What git ignores."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitdeploy.checkout.paths import Owner


def ignored_paths(owner: Owner, here: Sequence[bytes]) -> set[bytes]:
    """Those of HERE that the .gitignore files of OWNER's target name."""
    folders = {b""}
    for path in here:
        while (path := os.path.dirname(path)) and path not in folders:
            folders.add(path)
    assert owner.target is not None
    names = [os.fsdecode(os.path.join(folder, b".gitignore")) for folder in sorted(folders)]
    rules = owner.repository.read_many(owner.target.tree, names)
    with owner.repository.scratch() as scratch:
        for name, content in rules.items():
            file = scratch / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        done = owner.repository.run(
            "check-ignore", "--no-index", "-z", "--stdin", stdin=b"\0".join(here) + b"\0", work_tree=scratch
        )
    return {path for path in done.stdout.split(b"\0") if path}
