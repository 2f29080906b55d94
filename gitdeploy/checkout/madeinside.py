"""Commits made inside a submodule: local changes like others, which a policy keeps, discards, or refuses."""

from __future__ import annotations

from gitdeploy.checkout.changes import Policy, Problem
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.history import local_commits
from gitdeploy.checkout.local import Local, LocalChange
from gitdeploy.messages import tr
from gitdeploy.text import count, listing, path_text, shell_word


def keeps_commit(policy: Policy, inner: Repository, local: Local, old: str, new: str) -> bool:
    """Whether the commit that stands in INNER stays: `merge`, and the release goes on from OLD nowhere, or what is here
    has all of NEW."""
    if policy != "merge" or local.head in (old, new):
        return False
    return old == new or (inner.resolve(new) is not None and inner.is_ancestor(new, local.head))


def commit_problem(
    policy: Policy,
    inner: Repository,
    local: Local,
    place: tuple[bytes, bytes],
    commits: tuple[str, str],
    change: LocalChange | None = None,
    *,
    stays: bool,
) -> Problem | None:
    """What speaks against exchanging the commit that stands in INNER. PLACE: the folder of the superproject, and the
    submodule's in it; COMMITS: as HEAD and as the target have it; STAYS: whether it is the same submodule then."""
    old, new = commits
    staged = change is not None and change.staged and change.index_id != new
    if policy == "discard" or (local.head in commits and not staged):
        return None
    made = local_commits(inner, local.head, *(commit for commit in commits if commit and inner.resolve(commit)))
    if policy == "merge" and stays and (not made or keeps_commit(policy, inner, local, old, new)):
        return None
    where = path_text(b"/".join(part for part in place if part))
    if made:
        subjects = listing([f"{commit.id[:7]} {commit.subject}" for commit in made], 3)
        return Problem(
            tr(
                "{count} made on this server in submodule {where}, which the release doesn't have: {subjects}.",
                count=count(len(made), "commit"),
                where=where,
                subjects=subjects,
            ),
            tr(
                "Push them and make a release of them, or go on without: --discard-local-changes (the backup holds them)."
            ),
            refused=True,
            ways=("discard",),
        )
    above = f"-C {shell_word(place[0])} " if place[0] else ""
    name = shell_word(place[1])
    said = (
        tr("is at {head}", head=local.head[:7])
        if local.head != old
        else tr("is staged at {index_id}", index_id=change.index_id[:7] if change else "")
    )
    put_back = f"git {above}submodule update {name}"
    if local.head == old:
        put_back = f"git {above}reset -q -- {name}"
    return Problem(
        tr("Submodule {where} {said}, the live release has it at {old}.", where=where, said=said, old=old[:7]),
        tr("Put it back: {put_back}; or go on: --discard-local-changes (the backup holds it).", put_back=put_back),
        refused=True,
        ways=("discard",),
    )
