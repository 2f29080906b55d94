"""Remotes by name and by URL."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.remote_access import LOOK_LIMIT, ask_remote
from gitdeploy.errors import SourceError
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact

GLANCE_LIMIT = 10.0  # seconds for one tag that is known already: whether it is what it was
REMOTE_URL = re.compile(
    r"(?:https?|ssh|git|file)://[^\s\0-\x1f]+|/[^\0-\x1f]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\0-\x1f]+"
)
REMOTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def names_of(repository: Repository) -> list[str]:
    """The remotes that have a URL in git's configuration, in its order."""
    return [key.removeprefix("remote.").removesuffix(".url") for key in repository.config(r"^remote\..*\.url$")]


def remote_url(repository: Repository, name: str) -> str | None:
    """The URL of a configured remote, NAME itself where it is a URL (the user's `insteadOf` applied); None if unknown.
    Raises `SourceError` where git can't tell."""
    named = REMOTE_NAME.fullmatch(name) and "://" not in name
    if not named and not REMOTE_URL.fullmatch(name):
        return None
    words = ("remote", "get-url", "--", name) if named else ("ls-remote", "--get-url", "--", name)
    done = ask_remote(repository, words, None, LOOK_LIMIT)
    if done.ok:
        return done.text or None
    if named and "no such remote" in done.error_text.lower():
        return None
    raise SourceError(
        tr(
            "git can't tell the URL of the remote {shown_remote} ({ending}): {error_text}",
            shown_remote=shown_remote(name),
            ending=done.ending,
            error_text=redact(done.error_text),
        ),
        tr("Correct the file and line that it names."),
    )


def shown_remote(remote: str) -> str:
    return redact(clean(remote))


def named_remote(repository: Repository, remote: str) -> str:
    """The remote for a message: `origin (https://…)`; a URL as it is."""
    url = remote_url(repository, remote)
    return (
        shown_remote(remote)
        if url in (None, remote)
        else tr(
            "{shown_remote} ({shown_remote2})", shown_remote=shown_remote(remote), shown_remote2=shown_remote(url or "")
        )
    )


def host_of(url: str) -> str | None:
    """`https://host[:port]` of an HTTP URL; None for others (SSH asks for no password)."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{shown}" + (f":{parts.port}" if parts.port else "")


def user_of(url: str) -> str | None:
    """The user name that an HTTP URL itself has (`https://NAME@host/`); None where it has none."""
    return urlsplit(url).username or None
