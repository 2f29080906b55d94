"""Whose fault a failure is: the release's, which is then not installed again by itself, or the server's, which says
nothing about the release. The one place where that is decided.

A good release remembered as bad is never installed automatically again, a bad one that isn't remembered fails once more
and is rolled back: so what can't be told apart counts as the server's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gitdeploy.errors import Fault, GitDeployError, Interrupted
from gitdeploy.messages import joined

# What a program says that could not do its work for a fault of the machine, whoever wrote the program.
_SERVER_SAYS = re.compile(
    r"no space left|disk quota exceeded|disk is full|read-only file system|input/output error|too many open files"
    r"|cannot allocate memory|out of memory|lack of memory|lack of resources|killed by signal 9\b|SIGKILL"
    r"|permission denied|operation not permitted|address already in use|a password is required"
    r"|name resolution|name or service not known|could not resolve|network is unreachable|no route to host"
    r"|connection refused|connection timed out|access denied for user|password authentication failed"
    r"|no pg_hba\.conf entry|insecure transport are prohibited"  # a server that wants TLS
    r"|too many connections|database is locked|command not found|: not found\b"
    r"|cannot connect to the docker daemon|exit code 12[5-7]\b|exit code 2[0-4]\d\b",
    re.IGNORECASE,
)
# Of a health check only what a service said itself: "connection refused" is what a release that doesn't start looks like.
_CHECK_SAYS = re.compile(
    r"permission denied|exit code 12[5-7]\b|the host's name is not known|can't be asked|no unit\b|knows no program",
    re.IGNORECASE,
)
# What an installer says of requirements that nobody could install, whatever the index, the compiler and the disk.
_CONTRADICTION = re.compile(r"unsatisfiable|conflicting dependencies|ResolutionImpossible", re.IGNORECASE)
_PERHAPS_THE_INDEX = re.compile(
    r"no versions? of|not found in|could not find|no matching distribution|no wheels|offline|cache|fetch|index",
    re.IGNORECASE,
)


def fault_of(step: str, cause: GitDeployError, *, of_release: bool) -> Fault:
    """Whose fault it is that CAUSE failed STEP (`requirements`: the new venv could not be made of them). OF_RELEASE: something
    of the release runs in it; all other steps only move files and talk to this server."""
    if isinstance(cause, Interrupted):
        return "nobody"
    if not of_release or cause.fault != "release":
        return cause.fault if cause.fault == "nobody" else "server"
    said = joined("\n", (cause.message, *cause.details))
    if step == "requirements":
        certain = _CONTRADICTION.search(said) and not _PERHAPS_THE_INDEX.search(said)
        return "release" if certain else "server"
    if cause.kind == "health":
        of_server = _CHECK_SAYS.search(cause.message) or _SERVER_SAYS.search("\n".join(cause.details))
    else:
        of_server = _SERVER_SAYS.search(said)
    return "server" if of_server else "release"


def same_failure(one: str, other: str) -> bool:
    """Whether two failures say the same, but for numbers: times, pids, ports."""
    return _digitless(one) == _digitless(other)


def absolved(
    step: str, cause: str, began: Iterable[str], afterwards: Iterable[tuple[str, str]], before: str | None = None
) -> bool:
    """Whether it was not the new release that CAUSE failed STEP: the app had the same BEFORE anything began, or the old release
    failed STEP in the same way AFTERWARDS [(part, message)], unless the new one had begun to migrate data (BEGAN: the steps
    that had begun)."""
    if before and _digitless(cause).startswith(_digitless(before)):  # further words: for how long, what a log said
        return True
    if "migrate" in set(began):
        return False
    return any(part == step and same_failure(cause, message) for part, message in afterwards)


def _digitless(said: str) -> str:
    return re.sub(r"[0-9.]+", "", said)
