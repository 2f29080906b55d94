"""What a walk over the submodules has found so far, and what all of its parts ask."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gitdeploy.checkout.changes import FileChange, Problem, Target
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.holders import Holder, Link
from gitdeploy.checkout.local import Local, LocalChange, operation_under_way, read_local, stop_words
from gitdeploy.checkout.madeinside import commit_problem
from gitdeploy.checkout.modules import branch_of, default_url
from gitdeploy.checkout.paths import Owner, Paths
from gitdeploy.checkout.submodules import Rules, SubmodulePlan
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import shell_word


class Found(Struct):
    """The findings; paths are the checkout's, a submodule is known by its git folder."""

    rules: Rules
    top: Repository
    paths: Paths = field(default_factory=Paths)
    parts: dict[Path, SubmodulePlan] = field(default_factory=dict)
    holders: dict[Path, Holder] = field(default_factory=dict)
    idle: set[Path] = field(default_factory=set)  # git folders of those that are as they will be
    now: dict[bytes, Owner] = field(default_factory=dict)
    then: dict[bytes, Owner] = field(default_factory=dict)
    local: dict[bytes, LocalChange] = field(default_factory=dict)
    gitfiles: dict[bytes, FileChange] = field(default_factory=dict)
    gitlinks: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    emptied: list[bytes] = field(default_factory=list)
    alone: list[bytes] = field(default_factory=list)
    known: dict[Path, bool] = field(default_factory=dict)  # git folder of one of HEAD's -> whether it has files here
    coming: list[tuple[Holder, Link]] = field(default_factory=list)
    moved: list[tuple[Holder, Link, SubmodulePlan]] = field(default_factory=list)  # with another commit than HEAD has
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take_part(self, part: SubmodulePlan, holder: Holder) -> None:
        """PART is planned; what comes inside it adds to the settings of HOLDER."""
        self.parts[part.source], self.holders[part.source] = part, holder

    def finished(self) -> tuple[SubmodulePlan, ...]:
        """The parts with the settings that they get by what comes inside them; without those to which nothing happens."""
        parts = []
        for source, part in self.parts.items():
            gained = tuple(self.holders[source].gained)
            if gained or source not in self.idle:
                parts.append(replace(part, settings=(*part.settings, *gained)))
        return tuple(parts)

    def goal_of(self, whole: bytes, inner: Repository | None, commit: str) -> Target | None:
        """What the submodule at WHOLE is to be; its trees are told once it is sure that they are here."""
        recorded = (self.rules.recorded or {}).get(whole)
        if recorded is not None:
            target = recorded.target
            if target.branch is not None and (inner is None or inner.resolve(target.branch) != target.commit):
                target = replace(target, branch=None)  # the branch has moved on since; no branch is moved
            return target
        if self.rules.recorded is not None and self.rules.complete:
            return None
        return Target(commit, "", "")

    @staticmethod
    def whole(objects: Repository, goal: Target) -> Target:
        """GOAL with its trees; raises `DeploymentFailed` where those of a backup are gone."""
        if goal.tree and any(found is None for found in objects.facts([goal.tree, goal.index_tree])):
            raise DeploymentFailed(
                tr("what the backup holds of it was in its repository, and that is gone."),
                tr("Restore another backup (gitdeploy backups), or upgrade to the release that it was."),
            )
        tree = objects.tree_of(goal.commit)
        return replace(goal, tree=goal.tree or tree, index_tree=goal.index_tree or tree)

    @staticmethod
    def read(inner: Repository, whole: bytes) -> tuple[Local, str]:
        """What is in INNER, and the text of its HEAD file. Raises `DeploymentFailed` in the middle of a merge or the like."""
        if word := operation_under_way(inner):
            raise DeploymentFailed(
                f"git is in the middle of a {word} there.",
                stop_words(word, whole),
            )
        return read_local(inner), (inner.git_dir / "HEAD").read_text()

    def fetch(self, holder: Holder, link: Link, inner: Repository, commit: str) -> None:
        """Fetch COMMIT into INNER. Raises `SourceError`, `DeploymentFailed`."""
        own, part = default_url(inner, branch_of(inner.git_dir)), holder.new.get(link.path)
        prefix = holder.now.prefix if holder.now else b""
        self.rules.origins.more(inner, own, part, commit, holder.settings, holder.url, prefix)

    def check_commit(
        self, holder: Holder, link: Link, inner: Repository, local: Local, new: str, *, stays: bool
    ) -> None:
        """Note what speaks against exchanging the commit that stands in INNER."""
        place, commits = (holder.owner.prefix, link.path), (link.old, new)
        problem = commit_problem(self.rules.policy, inner, local, place, commits, link.change, stays=stays)
        self.problems += [problem] if problem is not None else []


def at(holder: Holder) -> str:
    """The words by which git works in HOLDER's folder."""
    return f"-C {shell_word(holder.owner.prefix)} " if holder.owner.prefix else ""
