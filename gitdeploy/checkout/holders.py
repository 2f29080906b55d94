"""A repository whose tree may name submodules: the checkout's own, or a submodule's."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.checkout.changes import SUBMODULE, list_tree, tree_difference
from gitdeploy.checkout.gitmodules import Described, Settings, described
from gitdeploy.checkout.local import Local, LocalChange
from gitdeploy.checkout.paths import Owner, Paths


class Link(Struct, frozen=True):
    """A place of a submodule in a holder's tree: the commit that it has and will have ("" for none)."""

    path: bytes  # as the holder calls it
    old: str
    new: str
    change: LocalChange | None


class Holder(Struct):
    """One such repository, as it is `now`, as it is `then`, or both."""

    now: Owner | None
    then: Owner | None
    source: Path  # its git folder, in the end
    url: str  # what relative URLs of its .gitmodules are relative to
    created: bool = False
    local: Local | None = None
    old_tree: str = ""
    old: dict[bytes, Described] = field(default_factory=dict)
    new: dict[bytes, Described] = field(default_factory=dict)
    settings: Settings = Settings({}, ())
    gained: list[tuple[str, str]] = field(default_factory=list)  # settings that it gets
    unused: bool = False  # it has submodules, and none of them has files here

    @property
    def owner(self) -> Owner:
        found = self.now or self.then
        assert found is not None
        return found

    @property
    def new_tree(self) -> str:
        return self.then.target.tree if self.then is not None and self.then.target is not None else ""

    def claim_files(self, paths: Paths) -> tuple[dict[bytes, Link], bool]:
        """Lay claim to what differs of its own; returns the submodules among that, and whether `.gitmodules` is."""
        repository = self.owner.repository
        if self.old_tree and self.new_tree:
            raw = dict(tree_difference(repository, self.old_tree, self.new_tree))
        elif self.new_tree:
            raw = {path: (0, "", *entry) for path, entry in list_tree(repository, self.new_tree).items()}
        else:
            raw = {path: (*entry, 0, "") for path, entry in list_tree(repository, self.old_tree).items()}
        links: dict[bytes, Link] = {}
        for path, (old_mode, old_id, new_mode, new_id) in raw.items():
            if SUBMODULE in (old_mode, new_mode):
                old, new = old_id if old_mode == SUBMODULE else "", new_id if new_mode == SUBMODULE else ""
                links[path] = Link(path, old, new, None)
            if old_mode not in (0, SUBMODULE):
                paths.was(self.owner, path, old_mode, old_id)
            if new_mode not in (0, SUBMODULE):
                paths.will_be(self.owner, path, new_mode, new_id)
        return links, b".gitmodules" in raw

    def read_descriptions(self) -> None:
        """What `.gitmodules` of both sides and its own configuration say."""
        repository = self.owner.repository
        if self.old_tree:
            self.old = described(repository, self.old_tree)
        if self.new_tree:
            self.new = described(repository, self.new_tree)
        if not self.created:
            self.settings = Settings.read(repository)
        if self.now is not None:
            mine = [path for path, part in self.old.items() if not self.settings.left_alone(part)]
            here = [path for path in mine if os.path.lexists(self.now.place / os.fsdecode(path) / ".git")]
            self.unused = bool(mine) and not here
