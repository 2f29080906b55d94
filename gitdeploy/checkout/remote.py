"""The remote: which tags it has, and the objects of one of them.

A tag is fetched alone into `refs/gitdeploy/incoming/`, never over an existing one; whoever asked compares its commit
with what the source said and with what was seen before, and only then does it become a local tag.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from gitdeploy.checkout import ref_names
from gitdeploy.checkout.git import INCOMING_REFS, NO_ACCESS, Access, Repository, is_object_id
from gitdeploy.checkout.login import LOGIN_SETTINGS, login_hint, own_login
from gitdeploy.checkout.ownership import foreign, in_words
from gitdeploy.checkout.settings import FETCHING
from gitdeploy.errors import DeploymentFailed, GitDeployError, NotFound, PolicyError, SourceError
from gitdeploy.system import process
from gitdeploy.system.process import Completed
from gitdeploy.text import clean, path_text, redact, register_secret
from gitdeploy.versions import valid_tag

FETCH_LIMIT = 1800.0  # seconds for the objects of one tag
LOOK_LIMIT = 60.0  # seconds for the list of tags
GLANCE_LIMIT = 10.0  # seconds for one tag that is known already: whether it is what it was
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_URL = re.compile(r"(?:https?|ssh|git|file)://[^\s\0-\x1f]+|/[^\0-\x1f]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\0-\x1f]+")
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
_ASKED_OF = rf"^(core\.sshcommand|{LOGIN_SETTINGS})$"
_FAULT = re.compile(r"(?:remote: )?warning: object ([0-9a-f]{40,64}): (\w+)")
_DUBIOUS = re.compile(r"dubious ownership in repository at '([^'\n]*)'")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_MOVED = "Set the address it leads to, often the same one with .git at its end: git remote set-url NAME URL"


class NoTags(SourceError):
    """The remote shows no tag at all."""


class Credentials(Struct, frozen=True):
    """User and password for git at one host; given to git by its environment only."""

    user: str
    password: str
    host: str


def access_by(credentials: Credentials | None) -> Access:
    """Only for that host, only for `get`: a helper of the user's would store the token."""
    if credentials is None:
        return NO_ACCESS
    register_secret(credentials.password)
    helper = (
        "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' "
        '"$GITDEPLOY_GIT_USER" "$GITDEPLOY_GIT_PASSWORD"; }; f'
    )
    return Access(
        ("credential.helper=", f"credential.{credentials.host}.helper={helper}"),
        {"GITDEPLOY_GIT_USER": credentials.user, "GITDEPLOY_GIT_PASSWORD": credentials.password},
    )


class RemoteTag(Struct, frozen=True):
    """A tag of the remote: the object that it names, and the commit behind it."""

    object_id: str
    commit: str


def remote_url(repository: Repository, name: str) -> str | None:
    """The URL of a configured remote, NAME itself where it is a URL (the user's `insteadOf` applied); None if unknown.
    Raises `SourceError` where git can't tell."""
    named = _NAME.fullmatch(name) and "://" not in name
    if not named and not _URL.fullmatch(name):
        return None
    words = ("remote", "get-url", "--", name) if named else ("ls-remote", "--get-url", "--", name)
    done = _network(repository, words, None, LOOK_LIMIT)
    if done.ok:
        return done.text or None
    if named and "no such remote" in done.error_text.lower():
        return None
    raise SourceError(
        f"git can't tell the URL of the remote {shown_remote(name)} ({done.ending}): {redact(done.error_text)}",
        "See: git remote -v",
    )


def url_setting(repository: Repository, name: str, url: str) -> str | None:
    """What git has set for URL (`http.proxy`, `http.<url>.proxy`), of this checkout, the user and the system; None where
    nothing is. Raises `SourceError` where git can't tell."""
    done = _network(repository, ("config", "--get-urlmatch", name, url), None, LOOK_LIMIT)
    if done.returncode not in (0, 1):
        raise SourceError(f"git's setting {name} can't be read: {redact(done.error_text)}", "See: git config --list")
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
    done = _network(repository, words, credentials, limit or (LOOK_LIMIT if only is None else GLANCE_LIMIT))
    if not done.ok:
        raise _unreachable(repository, remote, done)
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
    done = _network(repository, words, credentials, GLANCE_LIMIT)
    if not done.ok:
        raise _unreachable(repository, remote, done)
    return bool(done.text)


def fetch_tag(
    repository: Repository,
    remote: str,
    tag: str,
    credentials: Credentials | None = None,
    on_line: Callable[[str], None] | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> RemoteTag:
    """Fetch the objects of one tag into `refs/gitdeploy/incoming/TAG`. Raises `NotFound`, `SourceError`, `PolicyError`,
    `DeploymentFailed` where a ref that is here leaves no room for the tag's. ON_FAULT is told what git's check warns of."""
    incoming = f"{INCOMING_REFS}{tag}"
    ref_names.make_way(repository, tag)
    words = (
        *_FETCH, "--progress", "--force", "--", _checked(remote), f"+refs/tags/{tag}:{incoming}",
    )  # fmt: skip
    done = _network(repository, words, credentials, FETCH_LIMIT, on_line=on_line, tied=True)
    if not done.ok:
        said = done.error_text
        if "couldn't find remote ref" in said:
            raise no_such_tag(repository, remote, tag, list(ls_remote_tags(repository, remote, credentials)))
        if "unexpected disconnect" not in said and ("No space left" in said or "disk full" in said.lower()):
            raise DeploymentFailed(
                "The disk is full: the release's objects can't be stored.", "Make room, then try again."
            )
        if "fsck error" in said or "badTree" in said or "contains '" in said:
            raise PolicyError(
                f"Tag {clean(tag)} holds objects that git's own check refuses: {redact(said)}",
                "Ask its author. Where you know the object: its id in a file that git config fetch.fsck.skipList names.",
            )
        if any(mark in said.lower() for mark in _OWN_FAULT) and "remote:" not in said:
            if found := foreign(repository, ()):
                raise DeploymentFailed(*in_words(repository.root, found))
            raise DeploymentFailed(
                f"The release's objects can't be stored in {path_text(str(repository.common_dir))}: {redact(said)}",
                "Look for a full disk (df, df -i), wrong owners or a read-only file system.",
            )
        raise _unreachable(repository, remote, done)
    object_id, commit = repository.peel(incoming)
    for line in done.stderr.decode("utf-8", "replace").splitlines():
        if on_fault is not None and (fault := _FAULT.match(line)):
            on_fault(f"An old object has a harmless fault, {clean(fault[2])} ({fault[1][:12]}).")
    if commit is None or object_id is None:
        raise PolicyError(f"Tag {clean(tag)} leads to no commit.", "A release is a tag of a commit.")
    return RemoteTag(object_id, commit)


def no_such_tag(repository: Repository, remote: str, tag: str, tags: Sequence[str]) -> GitDeployError:
    """TAG isn't among the TAGS of REMOTE: the error that names those most like it."""
    where = _named(repository, remote)
    if not tags:  # what isn't a git server at all may look so to git
        return NoTags(
            f"The remote {where} shows no tag at all, so {clean(tag)} is not there either.",
            "Check the remote's URL: git remote -v",
        )
    from difflib import get_close_matches  # nearly never needed

    near = get_close_matches(tag, [name for name in tags if valid_tag(name) is None], 3)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return NotFound(
        f"The remote {where} has no tag {clean(tag)}.", f"{meant}They are listed by: gitdeploy releases --all"
    )


_QUIET_FETCH = (*_FETCH, "--quiet", "--")


def fetch_commit(repository: Repository, remote: str, commit: str, credentials: Credentials | None = None) -> None:
    """Fetch one commit of a submodule's repository, by its id or, where the server doesn't allow that, with all branches
    and tags; no ref is left. Raises `SourceError`."""
    words = (*_QUIET_FETCH, _checked(remote))
    done = _network(repository, (*words, commit), credentials, FETCH_LIMIT, tied=True)
    if not done.ok or repository.resolve(commit) is None:
        spec = (f"+refs/heads/*:{INCOMING_REFS}heads/*", f"+refs/tags/*:{INCOMING_REFS}tags/*")
        done = _network(repository, (*words, *spec), credentials, FETCH_LIMIT, tied=True)
        for name in repository.refs(INCOMING_REFS):
            repository.delete_ref(name)
        if not done.ok:
            raise _unreachable(repository, remote, done)
    if repository.resolve(commit) is None:
        raise lacks_commit(remote, commit)


def clone_refs(repository: Repository, remote: str, commit: str, credentials: Credentials | None = None) -> None:
    """Fetch COMMIT and all branches and tags of REMOTE to where a clone has them, its main branch too. Raises `SourceError`."""
    spec = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    done = _network(repository, (*_QUIET_FETCH, _checked(remote), *spec), credentials, FETCH_LIMIT, tied=True)
    if not done.ok:
        raise _unreachable(repository, remote, done)
    if repository.resolve(commit) is None:
        fetch_commit(repository, remote, commit, credentials)
    done = _network(repository, ("ls-remote", "--symref", "--", remote, "HEAD"), credentials, LOOK_LIMIT)
    first = done.stdout.decode("utf-8", "replace").partition("\n")[0].partition("\t")[0]
    branch = first.removeprefix("ref: refs/heads/")
    if done.ok and branch != first and (tip := repository.resolve(f"refs/remotes/origin/{branch}")):
        repository.update_ref(f"refs/heads/{branch}", tip)
        repository.output("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}", tied=True)


def lacks_commit(remote: str, commit: str) -> SourceError:
    return SourceError(f"{shown_remote(remote)} doesn't have the commit {commit[:12]}.", "Push it there first.")


def fetch_objects(repository: Repository, remote: str, credentials: Credentials | None, wanted: Sequence[str]) -> None:
    """Fetch what a partial clone has left out, by many ids at once. Raises `SourceError`."""
    options = ("fetch.negotiationAlgorithm=noop",)
    for at in range(0, len(wanted), _AT_ONCE):
        words = (*_FETCH, "--quiet", "--filter=blob:none", "--", _checked(remote), *wanted[at : at + _AT_ONCE])
        done = _network(repository, words, credentials, FETCH_LIMIT, tied=True, options=options)
        if not done.ok:
            raise _unreachable(repository, remote, done)


def take_incoming(repository: Repository, tag: str) -> None:
    """A fetched tag that is trusted becomes a tag of the checkout, in one transaction of refs."""
    incoming = f"{INCOMING_REFS}{tag}"
    words = f"update refs/tags/{tag} {incoming}\ndelete {incoming}\n"
    repository.output("update-ref", "--no-deref", "--stdin", stdin=words.encode(), tied=True)


def drop_incoming(repository: Repository, tag: str) -> None:
    """Forget a fetched tag that was not taken over; nothing where there is none."""
    repository.delete_ref(f"{INCOMING_REFS}{tag}")


def shown_remote(remote: str) -> str:
    return redact(clean(remote))


def _named(repository: Repository, remote: str) -> str:
    """The remote for a message: `origin (https://…)`; a URL as it is."""
    url = remote_url(repository, remote)
    return shown_remote(remote) if url in (None, remote) else f"{shown_remote(remote)} ({shown_remote(url or '')})"


def _checked(remote: str) -> str:
    if remote.startswith("-") or not (_NAME.fullmatch(remote) or _URL.fullmatch(remote)):
        raise SourceError(
            f"`{shown_remote(remote)}` is neither a remote's name nor a URL that gitdeploy fetches from.",
            "https://, ssh://, user@host:path, git://, file:// and a configured remote are.",
        )
    return remote


def network_access(repository: Repository, credentials: Credentials | None, remote: str | None = None) -> Access:
    """What every git command that may ask the network has beside its words; REMOTE: whom it asks."""
    environment = {}
    settings = repository.config(_ASKED_OF)
    if os.environ.get("GIT_SSL_CAINFO"):
        environment["GIT_SSL_CAINFO"] = os.environ["GIT_SSL_CAINFO"]
    own_ssh = os.environ.get("GIT_SSH_COMMAND")
    if own_ssh:
        environment["GIT_SSH_COMMAND"] = f"{own_ssh} -o BatchMode=yes"
    elif "core.sshcommand" not in settings:
        environment["GIT_SSH_COMMAND"] = _SSH
    options = [
        "http.lowSpeedLimit=200",
        "http.lowSpeedTime=60",
        "http.followRedirects=false",  # where objects come from is decided here, not by who answers
        "protocol.ext.allow=never",
        *FETCHING,
    ]
    access = access_by(credentials)
    environment |= access.environment
    if credentials is not None:
        environment |= own_login(settings, remote)
    return Access((*options, *access.options), environment)


def _network(
    repository: Repository,
    words: tuple[str, ...],
    credentials: Credentials | None,
    timeout: float,
    *,
    on_line: Callable[[str], None] | None = None,
    tied: bool = False,
    options: Sequence[str] = (),
) -> Completed:
    """A git command that may use the network."""
    asks = words[0] == "fetch" or (words[0] == "ls-remote" and "--get-url" not in words)
    remote = words[words.index("--") + 1] if asks else None
    access = network_access(repository, credentials, remote) if asks else NO_ACCESS
    return process.run(
        [
            *repository.command(repository.git_dir, repository.root),
            *(word for option in (*access.options, *options) for word in ("-c", option)),
            *words,
        ],
        cwd=repository.root,
        env={**repository.environment(), **access.environment},
        timeout=timeout,
        on_line=on_line,
        tied=tied,
        marked=tied,
    )


def _host_hint(url: str, why: str) -> str:
    """What makes git's login at URL work, where the usual WHY isn't it."""
    host = urlsplit(url).hostname or ""
    if url.startswith("http://") and host not in ("127.0.0.1", "localhost"):
        return "No token is sent over plain http: give the remote an address with https or SSH (git remote set-url)."
    if host == "codeup.aliyun.com":
        return (
            "Codeup's git wants the HTTPS clone account, or your user name, beside the password or token: set git.username and "
            "git.token_env, or put the name into the remote's URL (https://NAME@codeup.aliyun.com/…)."
        )
    return why


def _unreachable(repository: Repository, remote: str, done: Completed) -> SourceError:
    said = redact(done.error_text)
    where = _named(repository, remote)
    low = said.lower()
    if found := _DUBIOUS.search(said):
        return SourceError(
            f"The remote {where} belongs to another user, and git reads such a folder only where it was told to.",
            f"If you trust it: git config --global --add safe.directory {shlex.quote(found[1])}",
        )
    if done.timed_out:
        return SourceError(
            f"The remote {where} gave no answer for {done.duration:.0f} s.", "Check the network, then try again."
        )
    for mark, why, hint in (
        ("authentication failed", "refused the password or token", "Set the token (see `gitdeploy config show`), or use SSH."),
        ("could not read username", "wants a user and password", "Set a token in .env (source.token_env), or use an SSH remote."),
        ("could not read password", "wants a password", "Set a token in .env (source.token_env), or use an SSH remote."),
        ("permission denied (publickey", "refused the SSH key", "Give this server's key access: ssh-add, or a deploy key."),
        ("host key verification failed", "showed a host key that isn't known here", "Connect once by hand with ssh and check the key."),
        ("identification has changed", "showed another host key than before", "Find out why before you go on (ssh-keygen -R)."),
        ("could not resolve host", "can't be found (DNS)", "Check the network and the remote's URL."),
        ("does not appear to be a git repository", "is no git repository", "Check the remote's URL: git remote -v"),
        ("repository not found", "has no such repository, or hides it from you", "Check the URL; a private one needs a token."),
        ("not found", "has no such repository, or hides it from you", "Check the URL; a private one needs a token."),
        ("error: 301", "answers with a redirect, which is not followed", _MOVED),
        ("error: 302", "answers with a redirect, which is not followed", _MOVED),
        ("error: 307", "answers with a redirect, which is not followed", _MOVED),
        ("error: 308", "answers with a redirect, which is not followed", _MOVED),
        ("ssl", "failed the TLS check", "Check the clock and the CA certificates."),
        ("certificate", "failed the TLS check", "Check the clock and the CA certificates."),
        ("connection refused", "refuses connections", "Check the URL and the network."),
        ("timed out", "gave no answer", "Check the network, then try again."),
    ):  # fmt: skip
        if mark in low:
            if "password" in why and (named := login_hint(repository, remote)):
                return SourceError(f"The remote {where} {why}: {named[0]}.", named[1], details=(said,) if said else ())
            if "user" in mark or "password" in mark or "authentication" in mark:
                hint = _host_hint(remote_url(repository, remote) or "", hint)
            return SourceError(f"The remote {where} {why}.", hint, details=(said,) if said else ())
    return SourceError(
        f"The remote {where} can't be read ({done.ending}): {said}", "Check the network and the remote's URL."
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
