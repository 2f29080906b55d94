"""How two commits lie to each other in history: which is made of which, whatever their version numbers say."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from gitdeploy.checkout.git import Repository


class Lineage(Struct, frozen=True):
    """HEAD beside a target. `lacks`: commits of HEAD that the target isn't made of; `brings`: the other way round.

    `related`: they have a common ancestor. `cut`: this is a shallow clone, so that what lies further back can't be told, and
    `older` says whether the target was committed before HEAD.
    """

    lacks: int
    brings: int
    related: bool
    cut: bool = False
    older: bool = False

    @property
    def is_behind(self) -> bool:
        """The target is an ancestor of HEAD; of a shallow clone: it was made before, and nothing tells more."""
        return self.lacks > 0 and (self.brings == 0 or (not self.related and self.cut and self.older))


def lineage(repository: Repository, head: str, target: str) -> Lineage:
    """The lineage of TARGET beside HEAD; both commits are here. Raises `CommandFailed` where history can't be read."""
    if head == target:
        return Lineage(0, 0, related=True)
    counts = repository.output("rev-list", "--left-right", "--count", f"{head}...{target}", "--").split()
    lacks, brings = int(counts[0]), int(counts[1])
    if lacks == 0 or brings == 0:
        return Lineage(lacks, brings, related=True)
    related = repository.run("merge-base", head, target).returncode == 0
    shallow = repository.common_dir / "shallow"
    if related or not shallow.is_file():
        return Lineage(lacks, brings, related=related)
    dates = repository.output("show", "-s", "--no-show-signature", "--format=%ct", head, target, "--").split()
    return Lineage(lacks, brings, related=False, cut=True, older=int(dates[1]) < int(dates[0]))


def made_of(repository: Repository, head: str, commits: Collection[str]) -> frozenset[str]:
    """Those of COMMITS that HEAD is made of. Raises `CommandFailed` where history can't be read."""
    if not commits:
        return frozenset()
    return frozenset(commits).intersection(repository.output("rev-list", head, "--").decode("ascii").split())


def pushed_commits(repository: Repository, head: str, target: str) -> int:
    """How many commits of HEAD that TARGET lacks some remote branch or tag has: made elsewhere, not on this server."""
    lacked = int(repository.output("rev-list", "--count", f"{target}..{head}", "--"))
    own = repository.output("rev-list", "--count", head, "--not", "--remotes", "--tags", target, "--")
    return lacked - int(own)
