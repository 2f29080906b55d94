"""What a remote's annotated tags say, before anything else of them is fetched.

A git server that filters (`uploadpack.allowFilter`) hands out tag objects alone, some hundred bytes each; from one that
doesn't nothing is taken. It happens in a repository for a moment, so that the checkout's own stays as it is: a filtered
fetch would make that a partial clone, and tags become tags there only once they are trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.remote_access import Credentials, ask_remote
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr

LIMIT = 20.0  # seconds; notes are not worth more
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=")
_FILTER = ("--filter=object:type=tag",)
_UNFILTERED = "filtering not recognized by server"


class _NoFilter(Exception):
    """The server would send everything."""


def tag_texts(
    repository: Repository, remote: str, tags: Sequence[str], credentials: Credentials | None, *, whole: bool = False
) -> dict[str, str]:
    """Tag -> message, of those of TAGS that are annotated at REMOTE (a name or URL). Empty where they can't be had alone;
    WHOLE: take what is behind them along, which is little where a later release is here. Raises nothing for a remote that
    can't be asked."""
    if not tags:
        return {}
    with repository.scratch() as folder:
        beside = _beside(repository, folder)
        if whole:
            alternates = beside.git_dir / "objects/info/alternates"
            alternates.parent.mkdir()
            alternates.write_text(f"{repository.common_dir / 'objects'}\n", "utf-8", "surrogateescape")
        words = (*_FETCH, *(() if whole else _FILTER), "--", remote, *(f"+refs/tags/{t}:refs/tags/{t}" for t in tags))
        try:
            done = ask_remote(beside, words, credentials, LIMIT, on_line=None if whole else _refuse_all)
            if not done.ok:
                return {}
        except (_NoFilter, GitDeployError):
            return {}
        form = "--format=%(refname:strip=2)%00%(objecttype)%00%(contents)%00%00"
        text = beside.run("for-each-ref", form, "refs/tags/").check(tr("Reading the tags' messages")).stdout
    found = {}
    for entry in text.decode("utf-8", "replace").split("\0\0"):
        name, _, rest = entry.strip("\n").partition("\0")
        kind, _, message = rest.partition("\0")
        if kind == "tag":
            found[name] = message
    return found


def _beside(repository: Repository, folder: Path) -> Repository:
    """An empty repository in FOLDER with the settings of REPOSITORY: its remotes, proxies, ssh command."""
    git_dir = folder / "tags.git"
    for name in ("objects", "refs"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")
    own = str(repository.common_dir / "config").replace("\\", "\\\\").replace('"', '\\"')
    (git_dir / "config").write_text(
        f'[include]\n\tpath = "{own}"\n[core]\n\trepositoryformatversion = 0\n', "utf-8", "surrogateescape"
    )
    return replace(repository, git_dir=git_dir, common_dir=git_dir, lazy=None)


def _refuse_all(line: str) -> None:
    if _UNFILTERED in line:
        raise _NoFilter
