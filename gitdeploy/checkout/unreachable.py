"""Why a remote could not be asked, in a sentence with a way out."""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.login import login_hint
from gitdeploy.checkout.remote_names import named_remote, remote_url
from gitdeploy.errors import SourceError
from gitdeploy.messages import tr
from gitdeploy.system.completed import Completed
from gitdeploy.text import redact

_DUBIOUS = re.compile(r"dubious ownership in repository at '([^'\n]*)'")
_MOVED = tr("Set the address it leads to, often the same one with .git at its end: git remote set-url NAME URL")


def _host_hint(url: str, why: str) -> str:
    """What makes git's login at URL work, where the usual WHY isn't it."""
    host = urlsplit(url).hostname or ""
    if url.startswith("http://") and host not in ("127.0.0.1", "localhost"):
        return tr(
            "No token is sent over plain http: give the remote an address with https or SSH (git remote set-url)."
        )
    if host == "codeup.aliyun.com":
        return tr(
            "Codeup's git wants the HTTPS clone account, or your user name, beside the password or token: set git.username and "
            "git.token_env, or put the name into the remote's URL (https://NAME@codeup.aliyun.com/…)."
        )
    return why


def why_unreachable(repository: Repository, remote: str, done: Completed) -> SourceError:
    said = redact(done.error_text)
    where = named_remote(repository, remote)
    low = said.lower()
    if found := _DUBIOUS.search(said):
        return SourceError(
            tr(
                "The remote {where} belongs to another user, and git reads such a folder only where it was told to.",
                where=where,
            ),
            tr("If you trust it: git config --global --add safe.directory {found}", found=shlex.quote(found[1])),
        )
    if done.timed_out:
        return SourceError(
            tr("The remote {where} gave no answer for {duration} s.", where=where, duration=f"{done.duration:.0f}"),
            tr("Check the network, then try again."),
        )
    for mark, why, hint in (
        ("authentication failed", tr("refused the password or token"), tr("Set the token (see `gitdeploy config show`), or use SSH.")),
        ("could not read username", tr("wants a user and password"), tr("Set a token in .env (source.token_env), or use an SSH remote.")),
        ("could not read password", tr("wants a password"), tr("Set a token in .env (source.token_env), or use an SSH remote.")),
        ("permission denied (publickey", tr("refused the SSH key"), tr("Give this server's key access: ssh-add, or a deploy key.")),
        ("host key verification failed", tr("showed a host key that isn't known here"), tr("Connect once by hand with ssh and check the key.")),
        ("identification has changed", tr("showed another host key than before"), tr("Find out why before you go on (ssh-keygen -R).")),
        ("could not resolve host", tr("can't be found (DNS)"), tr("Check the network and the remote's URL.")),
        ("does not appear to be a git repository", tr("is not a git repository"), tr("Check the remote's URL: git remote -v")),
        ("repository not found", tr("has no such repository, or hides it from you"), tr("Check the URL; a private one needs a token.")),
        ("not found", tr("has no such repository, or hides it from you"), tr("Check the URL; a private one needs a token.")),
        ("error: 301", tr("answers with a redirect, which is not followed"), _MOVED),
        ("error: 302", tr("answers with a redirect, which is not followed"), _MOVED),
        ("error: 307", tr("answers with a redirect, which is not followed"), _MOVED),
        ("error: 308", tr("answers with a redirect, which is not followed"), _MOVED),
        ("ssl", tr("failed the TLS check"), tr("Check the clock and the CA certificates.")),
        ("certificate", tr("failed the TLS check"), tr("Check the clock and the CA certificates.")),
        ("connection refused", tr("refuses connections"), tr("Check the URL and the network.")),
        ("timed out", tr("gave no answer"), tr("Check the network, then try again.")),
    ):  # fmt: skip
        if mark in low:
            if "password" in why and (named := login_hint(repository, remote)):
                return SourceError(
                    tr("The remote {where} {why}: {named}.", where=where, why=why, named=named[0]),
                    named[1],
                    details=(said,) if said else (),
                )
            if "user" in mark or "password" in mark or "authentication" in mark:
                hint = _host_hint(remote_url(repository, remote) or "", hint)
            return SourceError(
                tr("The remote {where} {why}.", where=where, why=why), hint, details=(said,) if said else ()
            )
    return SourceError(
        tr("The remote {where} can't be read ({ending}): {said}", where=where, ending=done.ending, said=said),
        tr("Check the network and the remote's URL."),
    )
