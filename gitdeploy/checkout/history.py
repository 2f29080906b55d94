"""Which release is live, and what lies between two commits."""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.checkout.git import Repository
from gitdeploy.text import clean
from gitdeploy.versions import CodeState, matches, read_version, version_text


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


_FORMAT = ("--no-show-signature", "-z", "--format=%H%x1f%s%x1f%an%x1f%cI")


def commits_between(repository: Repository, old: str, new: str, most: int = 200) -> tuple[tuple[Commit, ...], int]:
    """Commits that NEW has and OLD doesn't, newest first, at most MOST; and how many there are in all."""
    if old == new:
        return (), 0
    listed = repository.output("log", f"--max-count={most}", *_FORMAT, f"{old}..{new}", "--")
    found, number = tuple(_commits(listed)), sum(bool(entry.strip()) for entry in listed.split(b"\0"))
    if number < most:
        return found, number
    return found, int(repository.output("rev-list", "--count", f"{old}..{new}", "--").decode() or 0)


def local_commits(repository: Repository, head: str, *released: str) -> list[Commit]:
    """Commits of HEAD that neither RELEASED commits nor any remote branch or tag have: work done on this server."""
    if any(repository.is_ancestor(head, commit) for commit in released):
        return []
    return _commits(
        repository.output("log", "--max-count=20", *_FORMAT, head, "--not", "--remotes", "--tags", *released, "--")
    )


def _commits(output: bytes) -> list[Commit]:
    found = []
    for entry in output.decode("utf-8", "replace").split("\0"):
        fields = entry.strip().split("\x1f")
        if len(fields) == 4:
            found.append(Commit(fields[0], clean(fields[1], limit=200), clean(fields[2], limit=80), fields[3]))
    return found
