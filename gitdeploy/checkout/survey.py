"""One walk over the checkout's tree and those of its submodules, at any depth.

It finds which submodules have files here now, which are to have some then, and whose each path is on either side
(`paths.py`). A submodule is known by its git folder: one that moves keeps it, one that is renamed gets another, and one
that was never initialised here stays so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from gitdeploy.checkout.changes import SUBMODULE, FileChange, Problem, Target, list_tree, look
from gitdeploy.checkout.found import Found, at
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.gitmodules import Described
from gitdeploy.checkout.holders import Holder, Link
from gitdeploy.checkout.local import Local
from gitdeploy.checkout.madeinside import keeps_commit
from gitdeploy.checkout.modules import Recorded, branch_of, default_url, refuse_place
from gitdeploy.checkout.origins import url_changed
from gitdeploy.checkout.paths import Owner
from gitdeploy.checkout.submodules import Rules, SubmodulePlan, Survey
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.text import path_text, shell_word


def survey(repository: Repository, local: Local, goal: Target, rules: Rules) -> Survey:
    """Walk the checkout's tree and those of its submodules. What is missing of them is fetched, to where git's own files
    are not touched; whatever speaks against it is among the problems."""
    return _Walk(rules, repository).walk(local, goal)


class _Walk(Found):
    def walk(self, local: Local, goal: Target) -> Survey:
        root = self.top.root
        holder = Holder(
            Owner(b"", self.top, root, goal),
            Owner(b"", self.top, root, goal),
            self.top.git_dir,
            default_url(self.top, local.branch),
            created=False,
            local=local,
            old_tree=self.top.tree_of(local.head),
        )
        self._look_into(holder)
        while self.coming:
            above, link = self.coming.pop(0)
            self._guarded(above, link, self._bring)
        self._look_at_moved()
        gone = [path for path in self.emptied if path not in self.folders]
        return Survey(
            self.paths,
            self.finished(),
            self.now,
            self.then,
            self.local,
            tuple(self.gitfiles.values()),
            tuple(self.gitlinks),
            tuple(sorted(set(self.folders))),
            tuple(sorted(set(gone))),
            tuple(self.alone),
            tuple(holder.gained),
            tuple(self.problems),
            tuple(self.warnings),
        )

    # ---- one repository ----

    def _look_into(self, holder: Holder) -> None:
        """Lay claim to the files of HOLDER, and go on with each of its submodules that differs."""
        if holder.now is not None:
            self.now[holder.now.prefix] = holder.now
        if holder.then is not None:
            self.then[holder.then.prefix] = holder.then
        links, modules_differ = holder.claim_files(self.paths)
        for change in holder.local.changes if holder.local is not None else ():
            if not change.submodule:
                whole = holder.owner.outside(change.path)
                self.local[whole] = replace(change, path=whole)
            elif change.path in links:
                links[change.path] = replace(links[change.path], change=change)
            else:
                old = (
                    change.head_id if change.head_mode == SUBMODULE else change.index_id if not change.head_mode else ""
                )
                new = old if holder.then is not None and change.head_mode == SUBMODULE else ""
                links[change.path] = Link(change.path, old, new, change)
        if not links and not modules_differ and not self._looks_everywhere():
            return
        holder.read_descriptions()
        if holder.new_tree and (modules_differ or self._looks_everywhere()):
            for path, (mode, oid) in list_tree(holder.owner.repository, holder.new_tree).items():
                if mode == SUBMODULE and path not in links and self._matters(holder, path):
                    links[path] = Link(path, oid, oid, None)
        for link in links.values():
            if link.new:
                self.gitlinks.append(holder.owner.outside(link.path))
            self._guarded(holder, link, self._one)

    def _looks_everywhere(self) -> bool:
        return self.rules.mode == "always" or self.rules.recorded is not None

    def _matters(self, holder: Holder, path: bytes) -> bool:
        one, other = holder.old.get(path), holder.new.get(path)
        return self._looks_everywhere() or (one.name if one else "") != (other.name if other else "")

    # ---- one submodule ----

    def _guarded(self, holder: Holder, link: Link, do: Callable[[Holder, Link], None]) -> None:
        try:
            do(holder, link)
        except GitDeployError as error:
            whole = path_text(holder.owner.outside(link.path))
            self.problems.append(
                Problem(tr("Submodule {whole}: {message}", whole=whole, message=error.message), error.hint)
            )

    def _one(self, holder: Holder, link: Link) -> None:
        """A submodule that HEAD has, or the target, or both."""
        whole = holder.owner.outside(link.path)
        place = self.top.root / os.fsdecode(whole)
        old, new = holder.old.get(link.path), holder.new.get(link.path)
        here = os.path.lexists(place / ".git") and (
            bool(link.old)
            or (new is not None and Repository.open(place).git_dir == holder.source / "modules" / new.name)
        )
        if here and not link.new and link.change is not None and not link.change.head_mode:
            self._only_staged(holder, link)
            return
        if self._is_left_alone(holder, whole, old, new, here):
            if here:
                self.alone.append(whole)
            elif link.new:
                self.folders.append(whole)
            else:
                self.emptied.append(whole)
            return
        if not here:
            if link.old:
                self._never_initialised(holder, link, old)
            if link.new:
                self.coming.append((holder, link))
            return
        inner = Repository.open(place, self.top.lfs)
        self.known[inner.git_dir] = True
        if link.new and self._stays(holder, inner, place, old, new):
            self._switch(holder, link, inner, whole)
            return
        self._take_away(holder, link, inner, whole)
        if link.new:
            self.coming.append((holder, link))

    def _only_staged(self, holder: Holder, link: Link) -> None:
        """One that was added here and not committed: its files stay, untracked, as git leaves them too."""
        whole = holder.owner.outside(link.path)
        self.alone.append(whole)
        if self.rules.policy == "refuse":
            self.problems.append(
                Problem(
                    tr("Submodule {whole} was added here, and no commit has it.", whole=path_text(whole)),
                    tr(
                        "Take it out of the index: git {at}reset -q -- {link}; or go on, its files stay: "
                        "--discard-local-changes",
                        at=at(holder),
                        link=shell_word(link.path),
                    ),
                    refused=True,
                    ways=("merge", "discard"),
                )
            )

    def _is_left_alone(
        self, holder: Holder, whole: bytes, old: Described | None, new: Described | None, here: bool
    ) -> bool:
        """Whether git, this server's settings or a keep path say that gitdeploy has no business there."""
        if self.rules.mode == "never" or self.rules.keep.match(whole):
            return True
        told = new or old
        if told is None:
            return here  # git finds no name for it: a repository that was added as if it were a folder
        return holder.settings.left_alone(told)

    def _never_initialised(self, holder: Holder, link: Link, old: Described | None) -> None:
        whole = holder.owner.outside(link.path)
        self.emptied.append(whole)
        if old is None:
            return
        source = holder.source / "modules" / old.name
        removed = link.change is not None and link.change.disk_mode == 0 and source.is_dir()
        self.known[source] = removed and self.rules.policy == "discard"
        if removed and self.rules.policy != "discard":
            self.problems.append(
                Problem(
                    tr("Submodule {whole} was deleted here.", whole=path_text(whole)),
                    tr(
                        "Bring it back: git {at}submodule update {link}; or go on without, which brings the "
                        "release's: --discard-local-changes",
                        at=at(holder),
                        link=shell_word(link.path),
                    ),
                    refused=True,
                    ways=("discard",),
                )
            )

    def _stays(
        self, holder: Holder, inner: Repository, place: Path, old: Described | None, new: Described | None
    ) -> bool:
        """Whether what has files at PLACE is what the target has there; not so where the release gives it another name,
        and with it another repository."""
        if inner.git_dir == place / ".git" or new is None or old is None or old.name == new.name:
            return True
        return inner.git_dir == holder.source / "modules" / new.name

    def _switch(self, holder: Holder, link: Link, inner: Repository, whole: bytes) -> None:
        """One that stays where it is."""
        local, head = self.read(inner, whole)
        goal = self.goal_of(whole, inner, link.new)
        if goal is None:
            self._take_away(holder, link, inner, whole)
            self.folders.append(whole)
            return
        if link.old and keeps_commit(self.rules.policy, inner, local, link.old, link.new):
            goal = replace(
                goal, commit=local.head, tree=inner.tree_of(local.head), index_tree=inner.tree_of(local.head)
            )
        elif inner.resolve(goal.commit) is None:
            self.fetch(holder, link, inner, goal.commit)
        goal = self.whole(inner, goal)
        if goal.commit == local.head and goal.branch is None and self.rules.recorded is None:
            goal = replace(goal, branch=local.branch)  # as git leaves it where there is nothing to check out
        owner = Owner(whole, inner, inner.root, goal)
        below = Holder(
            owner, owner, inner.git_dir, default_url(inner, local.branch) or holder.url, False, local, inner.tree_of(local.head)
        )  # fmt: skip
        part = SubmodulePlan(whole, inner.git_dir, inner, goal, owner, local, head)
        if link.old:
            self.check_commit(holder, link, inner, local, link.new, stays=True)
            own = default_url(inner, local.branch)
            said = url_changed(holder.old.get(link.path), holder.new.get(link.path), own, holder.url, path_text(whole))
            self.warnings += [said] if said else []
        self.take_part(part, below)
        self._look_into(below)
        as_is = (local.head, local.branch, inner.tree_of(local.head))
        if (goal.commit, goal.branch, goal.tree) == as_is and goal.index_tree == goal.tree and not local.changes:
            self.idle.add(inner.git_dir)

    def _take_away(self, holder: Holder, link: Link, inner: Repository, whole: bytes) -> None:
        """Its tracked files and its `.git` file go; its repository stays below .git/modules."""
        if inner.git_dir == inner.root / ".git":
            raise DeploymentFailed(
                tr("the release removes, moves or renames it, and its repository is inside it."),
                tr(
                    "Move it below .git/modules first: git {at}submodule absorbgitdirs {link}",
                    at=at(holder),
                    link=shell_word(link.path),
                ),
            )
        local, head = self.read(inner, whole)
        owner = Owner(whole, inner, inner.root, None)
        part = SubmodulePlan(whole, inner.git_dir, inner, None, owner, local, head)
        below = Holder(owner, None, inner.git_dir, "", False, local, inner.tree_of(local.head))
        self.take_part(part, below)
        self._look_into(below)
        gitfile = os.fsencode(inner.root) + b"/.git"
        self.gitfiles[whole + b"/.git"] = FileChange(whole + b"/.git", "deleted", seen=look(gitfile))
        if local.head != link.old:
            self.moved.append((holder, link, part))

    # ---- one that comes ----

    def _bring(self, holder: Holder, link: Link) -> None:
        """A submodule without files at its place: it gets some, or stays as empty as it was."""
        whole = holder.owner.outside(link.path)
        place = self.top.root / os.fsdecode(whole)
        part = holder.new.get(link.path)
        recorded = (self.rules.recorded or {}).get(whole)
        if part is None:
            self.folders.append(whole)
            self.warnings.append(
                tr(
                    "The release has {whole} as a submodule that its .gitmodules doesn't describe: its "
                    "folder stays empty, as git leaves it.",
                    whole=path_text(whole),
                )
            )
            return
        if not part.acceptable:
            raise DeploymentFailed(tr("its name `{part}` is not one that git accepts.", part=path_text(part.name)))
        source = (
            (self.top.git_dir / recorded.source)
            if recorded and recorded.source
            else holder.source / "modules" / part.name
        )
        if not self._is_wanted(holder, part, source, recorded):
            self.folders.append(whole)
            return
        if not link.old and os.path.lexists(place / ".git") and whole + b"/.git" not in self.gitfiles:
            raise DeploymentFailed(
                tr("a git repository of yours stands where the release has it."),
                tr("Move it away first: mv {whole} ELSEWHERE", whole=shell_word(whole)),
            )
        taken = self.parts.get(source)
        if taken is not None and taken.goal is not None:
            raise DeploymentFailed(tr("submodule {taken} has its name already.", taken=path_text(taken.path)))
        refuse_place(source, [other for other, one in self.parts.items() if one.created])
        goal = self.goal_of(whole, None, link.new)
        assert goal is not None
        created = not source.is_dir()
        if created:
            above = None if holder.created else holder.owner.prefix
            objects, url = self.rules.origins.new(
                self.top.git_dir, part, goal.commit, holder.settings, holder.url, above, self.top.lfs
            )
        else:
            objects = Repository(source, source, source, self.top.lfs)
            url = default_url(objects, branch_of(source)) or holder.url
            if objects.resolve(goal.commit) is None:
                self.fetch(holder, link, objects, goal.commit)
            if recorded is not None:
                goal = self.goal_of(whole, objects, link.new) or goal
        goal = self.whole(objects, goal)
        self._come(holder, part, whole, source, objects, goal, created, url)

    def _come(
        self,
        holder: Holder,
        part: Described,
        whole: bytes,
        source: Path,
        objects: Repository,
        goal: Target,
        created: bool,
        url: str,
    ) -> None:
        place = self.top.root / os.fsdecode(whole)
        owner = Owner(whole, objects, place, goal)
        below = Holder(None, owner, source, url, created)
        gone = self.parts.get(source)
        head = "" if created else (source / "HEAD").read_text()
        then = os.path.join(os.path.realpath(self.top.root), os.fsdecode(whole))  # a link may stand on the way now
        worktree = os.path.relpath(then, os.path.realpath(source))
        known = {} if created else objects.config(r"^core\.worktree$")
        settings = (("core.worktree", worktree),) if known.get("core.worktree", [""])[-1] != worktree else ()
        brought = SubmodulePlan(
            whole, source, objects, goal, gone.held if gone else None, gone.local if gone else None, head, created, settings
        )  # fmt: skip
        self.parts.pop(source, None)  # after those that it lies inside of
        self.take_part(brought, below)
        self._look_into(below)
        path = whole + b"/.git"
        content = f"gitdir: {os.path.relpath(source, place)}\n".encode("utf-8", "surrogateescape")
        before = self.gitfiles.pop(path, None)
        self.gitfiles[path] = FileChange(
            path,
            "changed" if before else "added",
            0o100644,
            content=content,
            seen=before.seen if before else None,
            owner=whole,
        )
        if holder.settings.url(part.name) is None:
            holder.gained += [(f"submodule.{part.name}.active", "true"), (f"submodule.{part.name}.url", url)]

    def _is_wanted(self, holder: Holder, part: Described, source: Path, recorded: Recorded | None) -> bool:
        """Whether it gets files here: as it was recorded; as it was before; else as all others have some or not."""
        if self.rules.recorded is not None and (recorded is not None or self.rules.complete):
            return recorded is not None
        if self.rules.mode == "always":
            return True
        known = self.known.get(source)
        return known if known is not None else not holder.unused

    # ---- commits made inside ----

    def _look_at_moved(self) -> None:
        for holder, link, part in self.moved:
            assert part.local is not None
            then = self.parts[part.source].goal
            self.check_commit(holder, link, part.objects, part.local, then.commit if then else "", stays=False)
