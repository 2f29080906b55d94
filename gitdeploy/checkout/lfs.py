"""Git LFS: whether a release uses it, and where its large files come from.

git-lfs reads `.lfsconfig` of the release (git-lfs-config(5)). Where files come from is decided by this server, never
widened by a release: what it names must be on the host that the checkout's remote is on, unless the checkout's own
configuration names a place (`git config lfs.url`), which git-lfs then goes by.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gitdeploy.checkout.changes import FileChange, Problem
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.origins import NEVER
from gitdeploy.checkout.remote_names import remote_url
from gitdeploy.messages import tr
from gitdeploy.system import environment
from gitdeploy.system.durable import is_file
from gitdeploy.text import clean, redact, shell_word

_PLACE = re.compile(r"lfs\.url|remote\..*\.lfsurl")
_FILES = (".gitattributes", ".lfsconfig")
_SSH = re.compile(r"[A-Za-z0-9._-]+@([A-Za-z0-9.-]+):")


def uses_lfs(repository: Repository, tree: str, changes: tuple[FileChange, ...] = ()) -> bool:
    """Whether TREE keeps files in LFS, as far as its top .gitattributes says. One git process, or none where neither
    the checkout nor CHANGES has such a file."""
    return b"filter=lfs" in _read(repository, tree, changes).get(".gitattributes", b"")


def lfs_findings(
    repository: Repository, tree: str, changes: tuple[FileChange, ...], remote: str, at: str | None = ""
) -> tuple[list[Problem], list[str]]:
    """(what speaks against TREE's use of LFS, what to know of it). REMOTE: whose host its files may come from; AT: the words by
    which git works there; None where that repository is yet to be made, and nothing of it can be configured."""
    texts = _read(repository, tree, changes)
    if b"filter=lfs" not in texts.get(".gitattributes", b"") or repository.lfs == "never":
        return [], []
    if environment.which("git-lfs") is None:
        said = tr("This release keeps files in Git LFS, and git-lfs is not installed")
        if repository.lfs == "always":
            return [Problem(tr("{said}.", said=said), "apt-get install git-lfs")], []
        return [], [tr("{said}: they will be small texts that only name them (apt-get install git-lfs).", said=said)]
    if not texts.get(".lfsconfig") or repository.config(r"^lfs\.url$"):
        return [], []
    done = repository.run("config", "-z", "--file", "-", "--list", stdin=texts[".lfsconfig"])
    if not done.ok:
        return [Problem(tr("The release's .lfsconfig can't be read."), clean(done.error_text, limit=200))], []
    entries = (entry.partition("\n") for entry in done.stdout.decode("utf-8", "replace").split("\0"))
    here = remote_url(repository, remote) or ""
    foreign = [url for key, _, url in entries if _PLACE.fullmatch(key) and not _same_place(here, url)]
    return [
        Problem(
            tr(
                "The release's .lfsconfig takes its large files from {url}, which is not where this app comes from.",
                url=redact(clean(url, limit=200)),
            ),
            NEVER
            if at is None
            else tr("If you trust it: git {at}config lfs.url {url}", at=at, url=shell_word(redact(clean(url)))),
            refused=True,
        )
        for url in foreign
    ], []


def _read(repository: Repository, tree: str, changes: tuple[FileChange, ...]) -> dict[str, bytes]:
    paths = {change.path for change in changes}
    if not any(is_file(repository.root / name) or name.encode() in paths for name in _FILES):
        return {}
    return repository.read_many(tree, _FILES)


def _same_place(here: str, there: str) -> bool:
    """Whether THERE is on the host of the remote HERE, and asked no less safely."""
    one, other = urlsplit(here), urlsplit(there)
    host = one.hostname or (found[1] if (found := _SSH.match(here)) else None)
    if host is None:
        return there == here
    secure = {"https", "ssh"} if one.scheme in ("https", "ssh", "") else {"https", "ssh", "http"}
    return other.scheme in secure and other.hostname == host and (one.scheme != other.scheme or one.port == other.port)
