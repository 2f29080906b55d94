"""The remote: which tags it has, and the objects of one of them.

A tag is fetched alone into `refs/gitdeploy/incoming/`, never over an existing one; whoever asked compares its commit
with what the source said and with what was seen before, and only then does it become a local tag.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from gitdeploy.checkout import ref_names
from gitdeploy.checkout.facts import is_object_id, unreadable
from gitdeploy.checkout.fetched import fetching
from gitdeploy.checkout.git import INCOMING_REFS, Repository
from gitdeploy.checkout.ownership import foreign, in_words
from gitdeploy.checkout.remote_access import LOOK_LIMIT, Credentials, ask_remote
from gitdeploy.checkout.remote_names import GLANCE_LIMIT, REMOTE_NAME, REMOTE_URL, named_remote, shown_remote
from gitdeploy.checkout.unreachable import why_unreachable
from gitdeploy.errors import DeploymentFailed, GitDeployError, NotFound, PolicyError, SourceError
from gitdeploy.messages import joined, tr
from gitdeploy.system import interruption, proc
from gitdeploy.system.completed import Completed
from gitdeploy.text import clean, nearest, path_text, redact
from gitdeploy.versions import valid_tag

FETCH_LIMIT = 1800.0  # seconds for the objects of one tag
_DAMAGED = re.compile(
    r"object file .* is empty|loose object [0-9a-f]+ .* is corrupt|bad object |did not send all necessary objects"
)
_OWN_FAULT = (
    "cannot lock ref",
    "unable to update local ref",
    "unable to create",
    "unable to write",
    "read-only file system",
    "insufficient permission",
)
# --refmap= with nothing: whatever remote.NAME.fetch says, no other ref is written.
_FETCH = ("fetch", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
_AT_ONCE = 2000  # object ids in one command line
_FAULT = re.compile(r"(?:remote: )?warning: object ([0-9a-f]{40,64}): (\w+)")


class NoTags(SourceError):
    """The remote shows no tag at all."""


class RemoteTag(Struct, frozen=True):
    """A tag of the remote: the object that it names, and the commit behind it."""

    object_id: str
    commit: str


def url_setting(repository: Repository, name: str, url: str) -> str | None:
    """What git has set for URL (`http.proxy`, `http.<url>.proxy`), of this checkout, the user and the system; None where
    nothing is. Raises `SourceError` where git can't tell."""
    done = ask_remote(repository, ("config", "--get-urlmatch", name, url), None, LOOK_LIMIT)
    if done.returncode not in (0, 1):
        raise SourceError(
            tr("git's setting {name} can't be read: {error_text}", name=name, error_text=redact(done.error_text)),
            tr("Correct the file and line that it names."),
        )
    return done.text if done.ok and done.text else None


def ls_remote_tags(
    repository: Repository,
    remote: str,
    credentials: Credentials | None = None,
    *,
    only: str | None = None,
    limit: float | None = None,
) -> dict[str, RemoteTag]:
    """All tags of REMOTE by one request, or the tag ONLY, for which it is not waited as long. LIMIT: seconds to wait. Raises
    `SourceError`."""
    names = (f"refs/tags/{only}", f"refs/tags/{only}^{{}}") if only is not None else ()
    words = ("ls-remote", "--tags", "--quiet", "--", _checked(remote), *names)
    done = ask_remote(repository, words, credentials, limit or (LOOK_LIMIT if only is None else GLANCE_LIMIT))
    if not done.ok:
        raise why_unreachable(repository, remote, done)
    found: dict[str, RemoteTag] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        oid, _, name = line.partition("\t")
        if not is_object_id(oid) or not name.startswith("refs/tags/"):
            continue
        tag = name.removeprefix("refs/tags/")
        if tag.endswith("^{}"):
            found[tag[:-3]] = RemoteTag(found[tag[:-3]].object_id if tag[:-3] in found else oid, oid)
        else:
            found[tag] = RemoteTag(oid, oid)
    return found


def has_branch(repository: Repository, remote: str, name: str, credentials: Credentials | None = None) -> bool:
    """Whether REMOTE has a branch NAME. Raises `SourceError`."""
    words = ("ls-remote", "--heads", "--quiet", "--", _checked(remote), f"refs/heads/{name}")
    done = ask_remote(repository, words, credentials, GLANCE_LIMIT)
    if not done.ok:
        raise why_unreachable(repository, remote, done)
    return bool(done.text)


def fetch_tag(
    repository: Repository,
    remote: str,
    tag: str,
    credentials: Credentials | None = None,
    on_line: Callable[[str], object] | None = None,
    on_fault: Callable[[str], object] | None = None,
) -> RemoteTag:
    """Fetch the objects of one tag into `refs/gitdeploy/incoming/TAG`. Raises `NotFound`, `SourceError`, `PolicyError`,
    `DeploymentFailed` where a ref that is here leaves no room for the tag's. ON_FAULT is told what git's check warns of."""
    incoming = f"{INCOMING_REFS}{tag}"
    ref_names.make_way(repository, tag)
    words = (
        *_FETCH, "--progress", "--force", "--", _checked(remote), f"+refs/tags/{tag}:{incoming}",
    )  # fmt: skip
    done = ask_remote(repository, words, credentials, FETCH_LIMIT, on_line=on_line, tied=True)
    if not done.ok:
        said = done.error_text
        if "couldn't find remote ref" in said:
            raise no_such_tag(repository, remote, tag, list(ls_remote_tags(repository, remote, credentials)))
        if "unexpected disconnect" not in said and ("No space left" in said or "disk full" in said.lower()):
            raise DeploymentFailed(
                tr("The disk is full: the release's objects can't be stored."), tr("Make room, then try again.")
            )
        if "fsck error" in said or "badTree" in said or "contains '" in said:
            raise PolicyError(
                tr("Tag {tag} holds objects that git's own check refuses: {said}", tag=clean(tag), said=redact(said)),
                tr(
                    "Ask its author. Where you know the object: its id in a file that git config fetch.fsck.skipList names."
                ),
            )
        if any(mark in said.lower() for mark in _OWN_FAULT) and "remote:" not in said:
            if found := foreign(repository, ()):
                raise DeploymentFailed(*in_words(repository.root, found))
            raise DeploymentFailed(
                tr(
                    "The release's objects can't be stored in {common_dir}: {said}",
                    common_dir=path_text(str(repository.common_dir)),
                    said=redact(said),
                ),
                tr("Look for a full disk (df, df -i), wrong owners or a read-only file system."),
            )
        if _DAMAGED.search(said) and "remote:" not in said:
            raise unreadable(tr("The release can't be fetched beside what is here"), redact(said))
        raise why_unreachable(repository, remote, done)
    object_id, commit = repository.peel(incoming)
    for line in done.stderr.decode("utf-8", "replace").splitlines():
        if on_fault is not None and (fault := _FAULT.match(line)):
            on_fault(
                tr(
                    "An old object has a harmless fault, {fault} ({object}).",
                    fault=clean(fault[2]),
                    object=fault[1][:12],
                )
            )
    if commit is None or object_id is None:
        raise PolicyError(tr("Tag {tag} leads to no commit.", tag=clean(tag)), tr("A release is a tag of a commit."))
    return RemoteTag(object_id, commit)


def fetch_unnamed(
    repository: Repository, remote: str, tags: Sequence[str], credentials: Credentials | None = None
) -> None:
    """Fetch the objects of TAGS by one request, to be read only: no ref is left of them. Raises `SourceError`."""
    refs = [f"{INCOMING_REFS}read-{os.getpid()}/{tag}" for tag in tags]  # none of a deployment's that runs meanwhile
    specs = [f"+refs/tags/{tag}:{ref}" for tag, ref in zip(tags, refs, strict=True)]
    words = (*_FETCH, "--quiet", "--force", "--", _checked(remote), *specs)
    try:
        done = ask_remote(repository, words, credentials, FETCH_LIMIT, tied=True)
        if not done.ok:
            raise why_unreachable(repository, remote, done)
    finally:
        deletes = "".join(f"delete {ref}\n" for ref in refs)
        with interruption.shield():
            repository.run("update-ref", "--no-deref", "--stdin", stdin=deletes.encode(), tied=True)


def sweep_unnamed(repository: Repository) -> None:
    """Delete the refs that killed processes left of such a fetch."""
    folder = repository.common_dir / INCOMING_REFS
    left = [place for place in folder.glob("read-*") if proc.start_ticks(_pid_of(place.name)) is None]
    for place in left:
        for ref in repository.refs(f"{INCOMING_REFS}{place.name}/"):
            repository.delete_ref(ref)


def _pid_of(name: str) -> int:
    number = name.removeprefix("read-")
    return int(number) if number.isascii() and number.isdecimal() else os.getpid()


def no_such_tag(repository: Repository, remote: str, tag: str, tags: Sequence[str]) -> GitDeployError:
    """TAG isn't among the TAGS of REMOTE: the error that names those most like it."""
    where = named_remote(repository, remote)
    if not tags:  # what isn't a git server at all may look so to git
        return NoTags(
            tr("The remote {where} shows no tag at all, so {tag} is not there either.", where=where, tag=clean(tag)),
            tr("Check the remote's URL: git remote -v"),
        )
    near = nearest(tag, [name for name in tags if valid_tag(name) is None], 3)
    meant = tr("Did you mean {near}? ", near=joined(" or ", near)) if near else ""
    return NotFound(
        tr("The remote {where} has no tag {tag}.", where=where, tag=clean(tag)),
        tr("{meant}They are listed by: gitdeploy releases --all", meant=meant),
    )


_SAID_FETCH = (*_FETCH, "--progress", "--")


def fetch_commit(repository: Repository, remote: str, commit: str, credentials: Credentials | None = None) -> None:
    """Fetch one commit of a submodule's repository, by its id or, where the server doesn't allow that, with all branches
    and tags; no ref is left. Raises `SourceError`."""
    words = (*_SAID_FETCH, _checked(remote))
    done = _fetched(repository, remote, (*words, commit), credentials)
    if not done.ok or repository.resolve(commit) is None:
        spec = (f"+refs/heads/*:{INCOMING_REFS}heads/*", f"+refs/tags/*:{INCOMING_REFS}tags/*")
        done = _fetched(repository, remote, (*words, *spec), credentials)
        for name in repository.refs(INCOMING_REFS):
            repository.delete_ref(name)
        if not done.ok:
            raise why_unreachable(repository, remote, done)
    if repository.resolve(commit) is None:
        raise lacks_commit(remote, commit)


def clone_refs(repository: Repository, remote: str, commit: str, credentials: Credentials | None = None) -> None:
    """Fetch COMMIT and all branches and tags of REMOTE to where a clone has them, its main branch too. Raises `SourceError`."""
    spec = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    done = _fetched(repository, remote, (*_SAID_FETCH, _checked(remote), *spec), credentials)
    if not done.ok:
        raise why_unreachable(repository, remote, done)
    if repository.resolve(commit) is None:
        fetch_commit(repository, remote, commit, credentials)
    done = ask_remote(repository, ("ls-remote", "--symref", "--", remote, "HEAD"), credentials, LOOK_LIMIT)
    first = done.stdout.decode("utf-8", "replace").partition("\n")[0].partition("\t")[0]
    branch = first.removeprefix("ref: refs/heads/")
    if done.ok and branch != first and (tip := repository.resolve(f"refs/remotes/origin/{branch}")):
        repository.update_ref(f"refs/heads/{branch}", tip)
        repository.output("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}", tied=True)


def _fetched(
    repository: Repository,
    remote: str,
    words: tuple[str, ...],
    credentials: Credentials | None,
    options: Sequence[str] = (),
) -> Completed:
    with fetching(tr("fetch from {remote}", remote=shown_remote(remote))) as hear:
        return ask_remote(repository, words, credentials, FETCH_LIMIT, on_line=hear, tied=True, options=options)


def lacks_commit(remote: str, commit: str) -> SourceError:
    return SourceError(
        tr("{shown_remote} doesn't have the commit {commit}.", shown_remote=shown_remote(remote), commit=commit[:12]),
        tr("Push it there first."),
    )


def fetch_objects(repository: Repository, remote: str, credentials: Credentials | None, wanted: Sequence[str]) -> None:
    """Fetch what a partial clone has left out, by many ids at once. Raises `SourceError`."""
    options = ("fetch.negotiationAlgorithm=noop",)
    for at in range(0, len(wanted), _AT_ONCE):
        words = (*_FETCH, "--progress", "--filter=blob:none", "--", _checked(remote), *wanted[at : at + _AT_ONCE])
        done = _fetched(repository, remote, words, credentials, options)
        if not done.ok:
            raise why_unreachable(repository, remote, done)


def take_incoming(repository: Repository, tag: str) -> None:
    """A fetched tag that is trusted becomes a tag of the checkout, in one transaction of refs."""
    incoming = f"{INCOMING_REFS}{tag}"
    words = f"update refs/tags/{tag} {incoming}\ndelete {incoming}\n"
    repository.output("update-ref", "--no-deref", "--stdin", stdin=words.encode(), tied=True)


def drop_incoming(repository: Repository, tag: str) -> None:
    """Forget a fetched tag that was not taken over; nothing where there is none."""
    repository.delete_ref(f"{INCOMING_REFS}{tag}")


def _checked(remote: str) -> str:
    if remote.startswith("-") or not (REMOTE_NAME.fullmatch(remote) or REMOTE_URL.fullmatch(remote)):
        raise SourceError(
            tr(
                "`{shown_remote}` is neither a remote's name nor a URL that gitdeploy fetches from.",
                shown_remote=shown_remote(remote),
            ),
            tr("https://, ssh://, user@host:path, git://, file:// and a configured remote are."),
        )
    return remote
