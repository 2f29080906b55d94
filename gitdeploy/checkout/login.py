"""Logins that stand in git's own settings: one of ours counts before them, and where they are refused they are named.

A CI job that cloned the checkout leaves `http.<url>.extraheader = AUTHORIZATION: basic …` in .git/config; a clone by
`https://user:token@host/…` leaves that URL. git sends both before it asks anybody, so an expired one beats the right token.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from gitdeploy.checkout.git import Repository
from gitdeploy.checkout.program import git_version, program
from gitdeploy.messages import tr
from gitdeploy.text import register_secrets

LOGIN_SETTINGS = r"http\.(.*\.)?extraheader|remote\..*\.url"
REWRITING = r"url\..*\.insteadof"
_PARAMETERS = "GIT_CONFIG_PARAMETERS"  # what `-c` becomes for git's children; secrets stand in no command line so
_PAIRS_SINCE = (2, 31)  # the form of it in which a name may hold a `=`


def own_login(found: Mapping[str, Sequence[str]], remote: str | None) -> dict[str, str]:
    """The environment by which no other login than ours is sent to REMOTE: headers with one are left out, a URL with a
    password is used without it. FOUND: the checkout's `LOGIN_SETTINGS`."""
    settings: list[tuple[str, str]] = []
    for name, values in found.items():
        if name.endswith("extraheader") and any(_is_login(value) for value in values):
            settings.append((name, ""))  # an empty value forgets those before it (git-config(1), http.extraHeader)
            settings += [(name, value) for value in values if value and not _is_login(value)]
    settings += _bare_addresses(found, remote)
    return _parameters(settings)


def without_passwords(found: Mapping[str, Sequence[str]], remote: str | None) -> dict[str, str]:
    """The environment by which REMOTE is asked without the password that stands in its URL: git starts its helpers with
    the whole URL in their command lines, which each user of the machine can read. FOUND as for `own_login`."""
    return _parameters(_bare_addresses(found, remote))


def login_of_url(found: Mapping[str, Sequence[str]], remote: str | None) -> tuple[str, str, str] | None:
    """(user, password, URL without both) that stand in the URL of REMOTE; None where there is no password in it."""
    for _, url in _addresses(found, remote):
        whole = _rewritten(url, found)
        if bare := _without_password(whole):
            parts = urlsplit(whole)
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            # A line feed would begin another line of what a helper tells git (gitcredentials(7)); git refuses such a URL.
            return (user, password, bare) if (user + password).isprintable() else None
    return None


def bare_word(remote: str) -> str:
    """REMOTE as it may stand in a command line."""
    return _without_password(remote) or remote if "://" in remote else remote


def names_with_password(repository: Repository) -> list[tuple[str, str]]:
    """(name, URL without user and password) of the checkout's remotes whose URL holds a password."""
    found = repository.config(f"^({LOGIN_SETTINGS})$")
    return [(name, bare) for name, url in _addresses(found, None) if (bare := _without_password(url))]


def _bare_addresses(found: Mapping[str, Sequence[str]], remote: str | None) -> list[tuple[str, str]]:
    """Settings by which git uses the URLs of REMOTE without their passwords, whatever else rewrites them."""
    settings = []
    for _, url in _addresses(found, remote):
        whole = _rewritten(url, found)
        if bare := _without_password(whole):
            # As a value whose name says so: a release's own URL must not have `Refused` masked everywhere.
            register_secrets([("PASSWORD", urlsplit(whole).password or "")])
            settings.append((f"url.{bare}.insteadof", url))  # the whole URL, and the longest that fits counts
    return settings


def _rewritten(url: str, found: Mapping[str, Sequence[str]]) -> str:
    """URL as the user has git rewrite it (git-config(1), url.<base>.insteadOf)."""
    fitting = [
        (value, key.removeprefix("url.").removesuffix(".insteadof"))
        for key, values in found.items()
        if key.startswith("url.")
        for value in values
        if value and url.startswith(value)
    ]
    if not fitting:
        return url
    value, base = max(fitting, key=lambda pair: len(pair[0]))
    return base + url.removeprefix(value)


def _parameters(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    if not settings:
        return {}
    if git_version(program()) >= _PAIRS_SINCE:
        words = [f"{_quoted(name)}={_quoted(value)}" for name, value in settings]
    else:
        words = [_quoted(f"{name}={value}") for name, value in settings]
    return {_PARAMETERS: " ".join(words)}


def login_hint(repository: Repository, remote: str) -> tuple[str, str] | None:
    """(the setting with a login that was refused, the command that removes it); None where there is none."""
    found = repository.run("config", "--show-origin", "-z", "--get-regexp", f"^({LOGIN_SETTINGS})$")
    fields = found.stdout.decode("utf-8", "replace").split("\0")
    addresses: dict[str, list[str]] = {}
    for origin, entry in zip(fields[0::2], fields[1::2], strict=False):
        name, _, value = entry.partition("\n")
        addresses.setdefault(name, []).append(value)
        if name.endswith("extraheader") and _is_login(value):
            file = origin.removeprefix("file:")
            own = file == str(repository.common_dir / "config")
            place = "" if own else f"--file {shlex.quote(file)} "
            return (
                f"git sends the login that stands in {name}",
                tr("If it is an old one: git config {place}--unset-all {name}", place=place, name=shlex.quote(name)),
            )
    for name, url in _addresses(addresses, remote):
        if name and (bare := _without_password(url)):
            return (
                f"git sends the password that stands in the URL of {name}",
                tr(
                    "If it is an old one: git remote set-url {name} {bare}",
                    name=shlex.quote(name),
                    bare=shlex.quote(bare),
                ),
            )
    return None


def _addresses(found: Mapping[str, Sequence[str]], remote: str | None) -> list[tuple[str, str]]:
    """(name, URL) of REMOTE, of all where none is given; a URL has no name."""
    if remote is not None and "://" in remote:
        return [("", remote)]
    names = {
        key.removeprefix("remote.").removesuffix(".url"): urls
        for key, urls in found.items()
        if key.startswith("remote.")
    }
    return [(name, url) for name, urls in names.items() if remote in (None, name) for url in urls]


def _without_password(url: str) -> str | None:
    """An HTTP URL without its user and password; None where it has no password."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.password:
        return None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_login(header: str) -> bool:
    return header.lower().startswith("authorization:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''").replace("!", "'\\!'") + "'"
