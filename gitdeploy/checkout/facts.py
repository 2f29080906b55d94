"""What is known of a repository's objects, and what asking for them takes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import shell_word

_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def is_object_id(text: str) -> bool:
    return _OBJECT_ID.fullmatch(text) is not None


class Access(Struct, frozen=True):
    """What makes a git command prove itself: `-c` values without a secret, and the environment that holds it."""

    options: tuple[str, ...]
    environment: Mapping[str, str]


NO_ACCESS = Access((), {})


class ObjectsUnreadable(DeploymentFailed):
    """Whether an object is there, or what is in it, couldn't be told."""


class ObjectFacts(Struct, frozen=True):
    """An object of a repository: its id, its kind (blob, tree, commit, tag), its size in bytes."""

    oid: str
    kind: str
    size: int


class FormatUnknown(ObjectsUnreadable):
    """This git doesn't know the repository's format (git's repository-version.txt): nothing in it is damaged."""


_NEWER = re.compile(r"unknown repository extension|[Ee]xpected git repo version|unknown (?:ref storage|hash algorithm)")


def refetch(remote: str = "origin") -> str:
    """How objects that are missing are fetched again. Into refs of its own: git refuses to fetch into refs whose objects
    are missing, and takes a tag that it has already for fetched."""
    specs = " ".join(f"'+refs/{kind}/*:refs/refetch/{kind}/*'" for kind in ("heads", "tags"))
    return tr(
        "Fetch them again, with git 2.36 or newer: git fetch --refetch --no-tags {remote} {specs}",
        remote=shell_word(remote),
        specs=specs,
    )


def unreadable(what: str, said: str = "") -> ObjectsUnreadable:
    """The error for objects of which nothing can be told: WHAT is wrong, and what git SAID."""
    if _NEWER.search(said):
        return FormatUnknown(
            tr("{what}: {said}", what=what, said=" ".join(said.split())),
            tr("A newer git made that. Install one here that knows it; nothing is damaged."),
        )
    if "promisor" in said or "could not fetch" in said:
        return ObjectsUnreadable(
            tr("{what}: this partial clone has left it out, and it can't be fetched. {said}", what=what, said=said),
            tr(
                "See that the remote can be reached, and a private one with a token (`gitdeploy check --force` asks it)."
            ),
        )
    if "bad config" in said or "bad numeric config" in said:
        return ObjectsUnreadable(
            tr("{what}: {said}", what=what, said=said), tr("Correct the file and line that it names.")
        )
    if "not a git repository" in said:
        return ObjectsUnreadable(
            tr("{what}: {said}", what=what, said=said), tr("HEAD may be damaged. To see what to type: gitdeploy doctor")
        )
    return ObjectsUnreadable(
        tr("{what}: {said}", what=what, said=said) if said else tr("{what}.", what=what),
        tr(
            "Objects are missing or damaged: git fsck names them. Delete empty ones: gitdeploy "
            "doctor --repair\n{refetch}",
            refetch=refetch(),
        ),
    )


def read_facts(answer: bytes) -> ObjectFacts | None:
    """What `git cat-file` says of an object; None where it says that there is none."""
    oid, _, rest = answer.decode("utf-8", "replace").partition(" ")
    kind, _, size = rest.partition(" ")
    return ObjectFacts(oid, kind, int(size)) if is_object_id(oid) and size.isdecimal() else None
