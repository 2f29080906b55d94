"""`git.Repo` of a checkout of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn, cast

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.objects.command import Command
from gitdeploy.checkout.objects.library import IterableList, git
from gitdeploy.checkout.objects.references import Head, Index, Remote, Tag, reference, refuse
from gitdeploy.checkout.objects.settings import as_file
from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr

_LONG_IDS = re.compile(rb'(?i)objectformat\s*=\s*"?sha256')  # it may stand in no other file (git-config(1))


class Objects(git.Repo):
    """A `git.Repo` of a checkout of ours; `close` it, or use it in a `with`."""

    def __init__(self, repository: Repository) -> None:
        """Starts no process. Raises `ConfigError` for a repository with SHA-256 ids, which GitPython doesn't know."""
        if _LONG_IDS.search((repository.common_dir / "config").read_bytes()):
            raise ConfigError(
                tr("GitPython can't read a repository with SHA-256 ids."),
                tr("Run git itself: subprocess.run(['git', 'log'])"),
            )
        # Not that of git.Repo, which goes by GIT_DIR, GIT_WORK_TREE and others of this process's environment.
        self.repository = repository
        self.git_dir = os.fspath(repository.git_dir)
        self._common_dir = os.fspath(repository.common_dir)
        self._working_tree_dir = self.working_dir = os.fspath(repository.root)
        self._bare = False
        self.git = Command(repository)
        self.odb = git.GitCmdObjectDB(os.fspath(repository.common_dir / "objects"), self.git)

    def commits(self, ids: Sequence[str]) -> list[git.Commit]:
        """The commits of these ids, read by one question. Raises `ObjectsUnreadable`, `ValueError` for one that isn't here."""
        cast(Command, self.git).read_ahead(ids)
        return [git.Commit(self, bytes.fromhex(each)) for each in ids]

    def rev_parse(self, rev: str) -> Any:
        try:
            facts = cast(Command, self.git).facts(rev)
        except ValueError as error:
            raise git.BadName(rev) from error
        holder, colon, path = rev.partition(":")
        if facts.kind == "tree" and not path:
            return git.Tree(self, bytes.fromhex(facts.oid), git.Tree.tree_id << 12, "")
        if holder and colon and path:
            return self.tree(holder)[path.rstrip("/")]  # which knows its path and mode
        return git.Object.new_from_sha(self, bytes.fromhex(facts.oid))

    # ---- references: git is asked, whatever their names are made of ----

    @property
    def head(self) -> git.HEAD:
        return Head(self)

    @property
    def heads(self) -> Any:
        return self.references_in("refs/heads/")

    @property
    def tags(self) -> Any:
        return self.references_in("refs/tags/")

    @property
    def references(self) -> Any:
        return self.references_in("refs/")

    @property
    def remotes(self) -> Any:
        return Remote.list_items(self)

    def remote(self, name: str = "origin") -> git.Remote:
        """Raises `ValueError` where there is none."""
        found = Remote(self, name)
        if not found.exists():
            raise ValueError(f"There is no remote {name}.")
        return found

    def tag(self, path: os.PathLike[str] | str) -> git.TagReference:
        return Tag(self, self._to_full_tag_path(path))

    def references_in(self, prefix: str) -> Any:
        """Those below PREFIX (`refs/remotes/origin/`)."""
        found: Any = IterableList("name")
        listed: str = self.git.for_each_ref("--format=%(refname)", prefix)
        found += [reference(self, name) for name in listed.split("\n") if name]
        return found

    def create_head(self, *what: object, **how: object) -> NoReturn:
        refuse(tr("A branch"), tr("repo.git.branch(NAME, COMMIT)"))

    # ---- settings ----

    def config_reader(self, config_level: object = None) -> git.GitConfigParser:
        """What git itself says of its settings, all levels together: with GIT_CONFIG_GLOBAL, included files, config.worktree."""
        return git.GitConfigParser(as_file(self.repository.config(".")), read_only=True, repo=self)

    # ---- what would write without syncing ----

    @property
    def index(self) -> git.IndexFile:
        return Index(self, os.path.join(self.git_dir, "index"))

    def config_writer(self, config_level: object = None) -> NoReturn:
        refuse(tr("A setting"), tr("repo.git.config(NAME, VALUE)"))
