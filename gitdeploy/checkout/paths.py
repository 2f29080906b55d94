"""One plan over all paths of the checkout, its submodules' included.

The checkout's own tree and each submodule's lay claim to paths: whose a path is now, whose it will be. A path has one
owner and one planned content; a second claim is an error while planning, never something that the switch finds out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.checkout.changes import LINK, FileChange, Target
from gitdeploy.checkout.git import Repository
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text


class Owner(Struct, frozen=True):
    """A repository that has paths below `prefix` (b"": the checkout itself), and the folder that they are in.

    `target`: what of it is to be live; None where its files go.
    """

    prefix: bytes
    repository: Repository
    place: Path
    target: Target | None

    def inside(self, path: bytes) -> bytes:
        """PATH as this repository calls it."""
        return path[len(self.prefix) + 1 :] if self.prefix else path

    def outside(self, path: bytes) -> bytes:
        """A path of this repository as the checkout calls it."""
        return self.prefix + b"/" + path if self.prefix else path


class Side(Struct, frozen=True):
    """What a path is on one side of the switch: whose, and which blob with which mode. `exact`: the blob has the bytes of
    the disk (of a backup), not those that git's filters make of it."""

    owner: Owner
    mode: int
    oid: str
    exact: bool


class Entry(Struct, frozen=True):
    """A path that differs between the two sides, in its blob or only in whose it is; None: it has none there."""

    old: Side | None
    new: Side | None

    @property
    def changes(self) -> bool:
        """Whether another blob, or none, is to stand there."""
        return self.old is None or self.new is None or (self.old.mode, self.old.oid) != (self.new.mode, self.new.oid)

    @property
    def old_mode(self) -> int:
        return self.old.mode if self.old else 0

    @property
    def new_mode(self) -> int:
        return self.new.mode if self.new else 0


class Paths(Struct):
    """The claims, as they come in."""

    old: dict[bytes, Side] = field(default_factory=dict)
    new: dict[bytes, Side] = field(default_factory=dict)

    def was(self, owner: Owner, path: bytes, mode: int, oid: str) -> None:
        """PATH (as its repository calls it) is OWNER's now."""
        self._claim(self.old, owner, path, mode, oid)

    def will_be(self, owner: Owner, path: bytes, mode: int, oid: str) -> None:
        """PATH is to be OWNER's, with that blob."""
        self._claim(self.new, owner, path, mode, oid)

    @staticmethod
    def _claim(side: dict[bytes, Side], owner: Owner, path: bytes, mode: int, oid: str) -> None:
        whole = owner.outside(path)
        if (other := side.get(whole)) is not None:
            raise two_owners(whole, _named(other.owner.prefix), _named(owner.prefix))
        side[whole] = Side(owner, mode, oid, owner.target is not None and path in owner.target.exact)

    def entries(self) -> dict[bytes, Entry]:
        """What differs, by path."""
        found = {}
        for path in self.old.keys() | self.new.keys():
            entry = Entry(self.old.get(path), self.new.get(path))
            if entry.changes or (entry.old and entry.new and entry.old.owner.repository != entry.new.owner.repository):
                found[path] = entry
        return found


def settled(changes: Iterable[FileChange]) -> tuple[FileChange, ...]:
    """CHANGES in the order of their paths. Raises `DeploymentFailed` where two plan one path, or one plans a file where
    another needs a folder."""
    found: dict[bytes, FileChange] = {}
    for change in changes:
        if change.path in found:
            raise two_owners(change.path, tr("one part of the plan"), "another")
        found[change.path] = change
    files = {path for path, change in found.items() if change.kind != "deleted"}
    for path in files:
        folder = os.path.dirname(path)
        while folder:
            if folder in files:
                raise two_owners(folder, f"a {'link' if found[folder].mode == LINK else 'file'}", tr("a folder"))
            folder = os.path.dirname(folder)
    return tuple(found[path] for path in sorted(found))


def owner_of(owners: Mapping[bytes, Owner], path: bytes) -> Owner:
    """Whose PATH is: the owner with the longest prefix above it."""
    folder = os.path.dirname(path)
    while folder:
        if folder in owners:
            return owners[folder]
        folder = os.path.dirname(folder)
    return owners[b""]


def two_owners(path: bytes, one: str, other: str) -> DeploymentFailed:
    return DeploymentFailed(
        tr("{path} has two owners in this plan: {one} and {other}.", path=path_text(path), one=one, other=other),
        tr("Nothing was touched. It is a fault of gitdeploy: please report it with `gitdeploy plan --json`."),
    )


def _named(prefix: bytes) -> str:
    return tr("submodule {prefix}", prefix=path_text(prefix)) if prefix else tr("the checkout")
