"""How a remote is asked: with which settings, and what proves us."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from gitdeploy.checkout.facts import NO_ACCESS, Access
from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.login import LOGIN_SETTINGS, REWRITING, bare_word, login_of_url, own_login, without_passwords
from gitdeploy.checkout.program import git_memory
from gitdeploy.checkout.settings import FETCHING
from gitdeploy.system import process
from gitdeploy.system.completed import Completed
from gitdeploy.text import register_secret, register_secrets

LOOK_LIMIT = 60.0  # seconds for the list of tags
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_ASKED_OF = rf"^(core\.sshcommand|{LOGIN_SETTINGS}|{REWRITING})$"


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
    return _asked(credentials)


def _asked(credentials: Credentials) -> Access:
    helper = (
        "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' "
        '"$GITDEPLOY_GIT_USER" "$GITDEPLOY_GIT_PASSWORD"; }; f'
    )
    return Access(
        ("credential.helper=", f"credential.{credentials.host}.helper={helper}"),
        {"GITDEPLOY_GIT_USER": credentials.user, "GITDEPLOY_GIT_PASSWORD": credentials.password},
    )


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
    if credentials is not None:
        environment |= own_login(settings, remote)
    elif (found := login_of_url(settings, remote)) is not None:
        user, password, bare = found
        credentials = Credentials(user, password, "{0.scheme}://{0.netloc}".format(urlsplit(bare)))
        environment |= without_passwords(settings, remote)
        register_secrets([("PASSWORD", password)])
        access = _asked(credentials)
    environment |= access.environment
    return Access((*options, *access.options), environment)


def ask_remote(
    repository: Repository,
    words: tuple[str, ...],
    credentials: Credentials | None,
    timeout: float,
    *,
    on_line: Callable[[str], object] | None = None,
    tied: bool = False,
    options: Sequence[str] = (),
) -> Completed:
    """A git command that may use the network."""
    asks = words[0] == "fetch" or (words[0] == "ls-remote" and "--get-url" not in words)
    at = words.index("--") + 1 if "--" in words else 0
    remote = words[at] if asks else None
    access = network_access(repository, credentials, remote) if asks else NO_ACCESS
    if remote is not None:
        words = (*words[:at], bare_word(remote), *words[at + 1 :])
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
        memory=git_memory(repository.common_dir),
    )
