"""The sources' view of the checkout: what they need of git."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gitdeploy import process
from gitdeploy.checkout.git import Repository
from gitdeploy.errors import GitDeployError
from gitdeploy.sources.changelog import unsigned

if TYPE_CHECKING:
    from gitdeploy.checkout.remote import Credentials
    from gitdeploy.state import Database

_FINGERPRINTS = "remote_urls"  # in the database: remote -> hash of its URL, as long as git's configuration is the same
MOST_OTHERS = 5  # remotes that are asked for tags where the configured one has none


class CheckoutRemote(Struct, frozen=True):
    """What the sources need of git: the remote's URL, its tags, texts of fetched tags, and how they lie to HEAD.

    `credentials` says what git proves itself by at a remote; it is called only when that remote is asked. `database`: where
    the remotes' fingerprints are remembered.
    """

    repository: Repository
    credentials: Callable[[str], Credentials | None]
    database: Database | None = None

    def remote_url(self, name: str) -> str | None:
        from gitdeploy.checkout.remote import remote_url

        return remote_url(self.repository, name)

    def ls_remote_tags(self, remote: str) -> dict[str, tuple[str, str]]:
        from gitdeploy.checkout.remote import ls_remote_tags

        found = ls_remote_tags(self.repository, remote, self.credentials(remote))
        return {tag: (entry.object_id, entry.commit) for tag, entry in found.items()}

    def url_setting(self, name: str, url: str) -> str | None:
        from gitdeploy.checkout.remote import url_setting

        return url_setting(self.repository, name, url)

    def tag_message(self, tag: str) -> str | None:
        words = ("for-each-ref", "--format=%(objecttype)%00%(contents)", f"refs/tags/{tag}")
        done = self.repository.run(*words).check(f"Reading the tag {tag}")
        kind, _, message = done.stdout.decode("utf-8", "replace").partition("\0")
        return unsigned(message.rstrip("\n")).strip() if kind == "tag" else None

    def tag_dates(self, tags: Sequence[str]) -> dict[str, str]:
        if not tags:
            return {}
        names = [f"refs/tags/{tag}" for tag in tags]
        words = ("for-each-ref", "--format=%(refname:strip=2) %(creatordate:iso-strict)", *names)
        done = self.repository.run(*words).check("Reading the dates of tags")
        lines = (line.rpartition(" ") for line in done.stdout.decode("utf-8", "replace").splitlines())
        return {tag: date for tag, _, date in lines if tag and date}

    def file_at(self, commit: str, path: str) -> bytes | None:
        try:
            return self.repository.read_blob(commit, path)
        except GitDeployError:
            return None

    # ---- where the remotes are ----

    def fingerprint(self, name: str) -> str:
        """A hash of the remote's URL: from what was remembered while git's configuration is the same."""
        facts = _configuration(self.repository)
        known = self._fingerprints() if facts is not None else {}
        if known.get("facts") == facts and isinstance(known.get(name), str):
            return str(known[name])
        found = hashlib.sha256((self.remote_url(name) or "").encode()).hexdigest()[:20]
        if facts is not None and self.database is not None:
            kept = known if known.get("facts") == facts else {"facts": facts}
            with suppress(GitDeployError):  # a database that is open for reading only remembers nothing
                self.database.meta_put(_FINGERPRINTS, json.dumps({**kept, name: found}))
        return found

    def _fingerprints(self) -> dict[str, Any]:
        text = self.database.meta_get(_FINGERPRINTS) if self.database is not None else None
        try:
            data = json.loads(text or "{}")
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}

    def ssh_host(self, host: str) -> str:
        program = process.which("ssh")
        if program is None or host.startswith("-"):
            return host
        environment = self.repository.environment()
        done = process.run([program, "-G", "--", host], cwd=self.repository.root, env=environment, timeout=10)
        lines = done.stdout.decode("utf-8", "replace").splitlines() if done.ok else []
        return next((line.partition(" ")[2].strip() for line in lines if line.startswith("hostname ")), host)

    def remotes_with_tags(self, but: str) -> dict[str, list[str]]:
        from gitdeploy.checkout.remote import GLANCE_LIMIT, ls_remote_tags

        names = [name.split(".", 1)[1].removesuffix(".url") for name in self.repository.config(r"^remote\..*\.url$")]
        found = {}
        for name in [each for each in names if each != but][:MOST_OTHERS]:
            with suppress(GitDeployError):  # one that can't be asked without a login is none to be named
                if tags := ls_remote_tags(self.repository, name, None, limit=GLANCE_LIMIT):
                    found[name] = list(tags)
        return found

    # ---- how tags lie to HEAD ----

    def commit_of(self, object_id: str) -> str | None:
        return self.repository.resolve(object_id)

    def contained(self) -> frozenset[str]:
        words = ("for-each-ref", "--merged=HEAD", "--format=%(objectname) %(*objectname)", "refs/tags/")
        done = self.repository.run(*words).check("Reading the tags that HEAD has")
        return frozenset(done.stdout.decode("ascii", "replace").split())

    def commits_after(self, commit: str) -> int | None:
        # What isn't here at all is no ancestor: of HEAD's history everything is here, or fetched before it is gone to.
        if self.repository.resolve(commit) is None or not self.repository.is_ancestor(commit, "HEAD"):
            return None
        return int(self.repository.output("rev-list", "--count", f"{commit}..HEAD", "--") or 0)


def _configuration(repository: Repository) -> list[str] | None:
    """What the remotes' URLs depend on: hashes of git's configuration files. None: they include others, so nothing that was
    remembered counts."""
    home = os.environ.get("HOME", "/nonexistent")
    user = [os.environ["GIT_CONFIG_GLOBAL"]] if os.environ.get("GIT_CONFIG_GLOBAL") else [
        os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git/config"),
        os.path.join(home, ".gitconfig"),
    ]  # fmt: skip
    system = [] if os.environ.get("GIT_CONFIG_NOSYSTEM") else ["/etc/gitconfig"]
    found: list[str] = []
    own = (repository.common_dir / "config", repository.git_dir / "config.worktree")
    for path in (*own, *map(Path, (*user, *system))):
        try:
            text = path.read_bytes()
        except OSError:
            text = b""
        if b"[include" in text.lower():
            return None
        found.append(hashlib.sha256(text).hexdigest()[:20])
    return found
