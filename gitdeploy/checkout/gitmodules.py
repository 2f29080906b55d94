"""What is said of submodules: by a release (`.gitmodules`) and by this server (`.git/config`), and whose word counts.

Where objects come from is decided by this server, never widened by a release: the URL in the submodule's own repository
and in the checkout's configuration (git-submodule(1), `init`), else one at the host that the app itself comes from.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from gitdeploy.checkout.git import Repository

_NAME = re.compile(r"[^-\x00-\x1f\x7f/\\][^\x00-\x1f\x7f\\]*")
_SCP = re.compile(r"(?:[^/:@]+@)?(\[[0-9A-Fa-f:]+\]|[^/:@]+):(?!//)")
_NO = ("false", "no", "off", "0")


class Described(Struct, frozen=True):
    """A submodule as `.gitmodules` describes it."""

    name: str
    path: bytes
    url: str
    update: str = ""

    @property
    def acceptable(self) -> bool:
        """Whether git takes the name: it becomes the name of a folder."""
        return _NAME.fullmatch(self.name) is not None and not any(
            part in ("", ".", "..") or part.lower() == ".git" for part in self.name.split("/")
        )


def described(repository: Repository, tree: str) -> dict[bytes, Described]:
    """Path -> what `.gitmodules` of TREE says of it."""
    text = repository.read_many(tree, [".gitmodules"]).get(".gitmodules", b"")
    return parse(repository, text) if text else {}


def parse(repository: Repository, text: bytes) -> dict[bytes, Described]:
    """The same of a text. What git can't read describes nothing."""
    done = repository.run("config", "-z", "--file", "-", "--get-regexp", r"^submodule\.", stdin=text)
    facts: dict[str, dict[str, str]] = {}
    for entry in done.stdout.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = entry.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        if name:
            facts.setdefault(name, {})[what] = value
    return {
        os.fsencode(values["path"].rstrip("/")): Described(
            name, os.fsencode(values["path"].rstrip("/")), values.get("url", ""), values.get("update", "")
        )
        for name, values in facts.items()
        if values.get("path")
    }


class Settings(Struct, frozen=True):
    """What a repository's own configuration says of its submodules."""

    values: Mapping[str, str]  # `NAME.url`, `NAME.active`, `NAME.update` -> value
    active: tuple[str, ...]  # `submodule.active`: patterns of paths

    @classmethod
    def read(cls, repository: Repository) -> Settings:
        found = repository.config(r"^submodule\.")
        values = {key.removeprefix("submodule."): told[-1] for key, told in found.items() if key.count(".") > 1}
        return cls(values, tuple(found.get("submodule.active", ())))

    def url(self, name: str) -> str | None:
        return self.values.get(f"{name}.url") or None

    def update(self, part: Described) -> str:
        """How this server wants PART updated: its own word, else that of the release."""
        return self.values.get(f"{part.name}.update", part.update)

    def left_alone(self, part: Described) -> bool:
        """Whether git is told here not to check PART out: `update = none`, `active = false`, another `submodule.active`."""
        if self.update(part) == "none":
            return True
        told = self.values.get(f"{part.name}.active")
        if told is not None:
            return told.lower() in _NO
        if not self.active:
            return False
        path = os.fsdecode(part.path)
        named = [pattern for pattern in self.active if not pattern.startswith((":!", ":^", ":(exclude)"))]
        but = [pattern.partition(")")[2] or pattern[2:] for pattern in self.active if pattern not in named]
        return any(_matches(path, pattern) for pattern in but) or not any(_matches(path, pattern) for pattern in named)


def _matches(path: str, pattern: str) -> bool:
    """As a pathspec of git's is matched with a folder's name (gitglossary(7), pathspec), without its rarer magic."""
    plain = pattern.rstrip("/")
    return plain in ("", ".") or path == plain or path.startswith(plain + "/") or fnmatch.fnmatchcase(path, plain)


# ---- URLs ----


def resolved(base: str, url: str) -> str:
    """URL of a `.gitmodules`, where it is relative (`./`, `../`) as git resolves it against BASE, the superproject's own
    remote: a `../` takes the last component of BASE away, whatever that is, the host too (git-submodule(1), `add`)."""
    if not url.startswith(("./", "../")) or not base:
        return url
    base = base.removesuffix("/")
    here = not (base.startswith("/") or is_remote(base))
    if here and not base.startswith(("./", "../")):
        base = f"./{base}"
    colon = False
    while url.startswith(("./", "../")):
        if url.startswith("./"):
            url = url[2:]
            continue
        url = url[3:]
        if (at := base.rfind("/")) >= 0:
            base = base[:at]
        elif (at := base.rfind(":")) >= 0:
            base, colon = base[:at], True
        else:
            return ""  # git: "cannot strip one component off url"
    joined = f"{base}{':' if colon else '/'}{url}"
    return joined.rstrip("/").removeprefix("./") if url.endswith("/") else joined.removeprefix("./")


def is_remote(url: str) -> bool:
    """Whether git takes URL for one with a host or a scheme, not for a folder."""
    return "://" in url or _SCP.match(url) is not None


class _Place(Struct, frozen=True):
    scheme: str
    host: str
    port: int | None


def _place(url: str) -> _Place | None:
    """Where a URL leads: its scheme, host and port; a folder's is `file` and no host. None for what can't be told."""
    if "://" in url:
        try:
            parts = urlsplit(url)
            return _Place(parts.scheme.lower(), parts.hostname or "", parts.port)
        except ValueError:
            return None
    if found := _SCP.match(url):
        return _Place("ssh", found[1].strip("[]").lower(), None)
    return _Place("file", "", None) if url.startswith("/") else None


def admitted(url: str, trusted: list[str]) -> bool:
    """Whether a URL that a release brings leads to where one of the TRUSTED leads: same host and same scheme, or that
    host by a scheme which is as safe (https, ssh)."""
    place = _place(url)
    if place is None or place.scheme not in ("https", "http", "ssh", "git", "file"):
        return False
    for other in (_place(known) for known in trusted):
        if other is None or other.host != place.host:
            continue
        if place.scheme == other.scheme and place.port == other.port:
            return True
        if place.host and place.scheme in ("https", "ssh") and place.port is None:
            return True
    return False
