"""Partial clones: objects that were left out are fetched in one go before they are needed one by one."""

from __future__ import annotations

from collections.abc import Collection

from gitdeploy.checkout.facts import unreadable
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import LONG
from gitdeploy.checkout.remote import fetch_objects
from gitdeploy.checkout.remote_access import Credentials
from gitdeploy.messages import tr


def bring(
    repository: Repository,
    tree: str,
    remote: str,
    credentials: Credentials | None,
    wanted: Collection[str] | None = None,
) -> int:
    """Fetch those of WANTED (ids; None: all) that TREE has and that are missing here; how many. Nothing in a whole clone.

    Raises `SourceError` where the remote can't be reached, `ObjectsUnreadable` where git can't tell what is missing.
    """
    if not repository.is_partial() or (wanted is not None and not wanted):
        return 0
    done = repository.run("rev-list", "--objects", "--no-walk", "--missing=print", tree, timeout=LONG)
    if not done.ok:
        raise unreadable(tr("What is missing of {tree} can't be told", tree=tree[:12]), done.error_text)
    gone = [line[1:].decode() for line in done.stdout.split(b"\n") if line.startswith(b"?")]
    missing = [oid for oid in gone if wanted is None or oid in wanted]
    fetch_objects(repository, remote, credentials, missing)
    return len(missing)
