"""Which release is live, and what lies between two commits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from gitdeploy.checkout import objects
from gitdeploy.checkout.git import Repository
from gitdeploy.messages import joined
from gitdeploy.text import clean
from gitdeploy.versions import CodeState, matches, read_version, version_text

if TYPE_CHECKING:
    import git


class Commit(Struct, frozen=True):
    id: str
    subject: str
    author: str
    date: str


def live_release(repository: Repository, commit: str, *, glob: str, prefix: str, told: str | None = None) -> CodeState:
    """The release that COMMIT is: its newest version tag within GLOB, else any of its tags, else the version TOLD
    (APP_VERSION)."""
    tags = repository.tags_at(commit)
    versioned = [(version, tag) for tag in tags if (version := read_version(tag, prefix)) is not None]
    within = [pair for pair in versioned if matches(pair[1], glob)]
    if within or versioned:
        _, tag = max(within or versioned)
        return CodeState(version_text(tag, prefix), tag, commit)
    return CodeState(told, tags[0] if tags else None, commit)


class History(Struct, frozen=True, dict=True):
    """Commits, newest first: the ids of the first of them, and how many there are in all. What they say is read when somebody
    wants to see it (an id is made of that, so it can't change): a deployment needs only to know which they are."""

    repository: Repository
    ids: tuple[str, ...]
    count: int

    @cached_property
    def commits(self) -> list[Commit]:
        """Those whose ids are known. Raises `GitDeployError` where they can't be read."""
        return read_commits(self.repository, self.ids)


def commits_between(repository: Repository, old: str, new: str, most: int = 200) -> History:
    """Commits that NEW has and OLD doesn't, at most MOST by their ids."""
    if old == new:
        return History(repository, (), 0)
    ids = _ids(repository, most, f"{old}..{new}")
    number = len(ids)
    if number == most:
        number = int(repository.output("rev-list", "--count", f"{old}..{new}", "--"))
    return History(repository, tuple(ids), number)


def local_commits(repository: Repository, head: str, *released: str) -> list[Commit]:
    """Commits of HEAD that neither RELEASED commits nor any remote branch or tag have: work done on this server."""
    if any(repository.is_ancestor(head, commit) for commit in released):
        return []
    return read_commits(repository, _ids(repository, 20, head, "--not", "--remotes", "--tags", *released))


def _ids(repository: Repository, most: int, *words: str) -> list[str]:
    return repository.output("rev-list", f"--max-count={most}", *words, "--").decode().split()


def read_commits(repository: Repository, ids: Sequence[str]) -> list[Commit]:
    """What those commits say of themselves."""
    if not ids:
        return []
    if len(ids[0]) == 40:
        with closing(objects.Objects(repository)) as repo, suppress(ValueError, LookupError, OverflowError):
            return [_commit(each) for each in repo.commits(ids)]
    return _as_git_tells(repository, ids)


def _commit(found: git.Commit) -> Commit:
    subject = joined(" ", str(found.message).lstrip("\n").partition("\n\n")[0].split("\n"))
    return _cleaned(found.hexsha, subject, found.author.name or "", found.committed_datetime.isoformat())


def _as_git_tells(repository: Repository, ids: Sequence[str]) -> list[Commit]:
    """What GitPython doesn't read: SHA-256 ids, an encoding that Python hasn't, a date that is none."""
    words = ("log", "--no-walk=unsorted", "--stdin", "--no-show-signature", "-z", "--format=%H%x1f%s%x1f%an%x1f%cI")
    listed = repository.output(*words, stdin="\n".join(ids).encode()).decode("utf-8", "replace")
    return [_cleaned(*entry.strip().split("\x1f")[:4]) for entry in listed.split("\0") if entry.count("\x1f") >= 3]


def _cleaned(commit: str, subject: str, author: str, date: str) -> Commit:
    return Commit(commit, clean(subject.strip(), limit=200), clean(author, limit=80), date)
