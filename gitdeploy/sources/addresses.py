"""What a git remote's URL tells: the host, and where it is a host of releases, its kind and the repository's name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec import Struct

_SCP = re.compile(r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?!//)(?P<path>.+)")
_PATH = re.compile(r"[A-Za-z0-9_.~+-]+(?:/[A-Za-z0-9_.~+-]+)+")
_PUBLIC = {
    "github.com": "github",
    "ssh.github.com": "github",
    "gitlab.com": "gitlab",
    "altssh.gitlab.com": "gitlab",
    "gitee.com": "gitee",
    "codeup.aliyun.com": "codeup",
    "codeberg.org": "gitea",
}
_FIRST_LABELS = {"github": "github", "gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea"}
_API_PATHS = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1", "gitee": "/api/v5"}


class Address(Struct, frozen=True):
    """Where a remote is. `path` has neither a leading slash nor `.git`; `origin` is `https://host[:port]` where it is an
    HTTP address, else the same host's HTTPS one. `ssh`: the host may be an alias of the user's own."""

    host: str
    path: str
    user: str
    origin: str
    ssh: bool = False


def read_address(url: str) -> Address | None:
    """The parts of an https, http, ssh, git or `user@host:path` URL; None for a local path or anything else."""
    if "://" in url:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname:
            return None
        host, path, user = parts.hostname.rstrip("."), parts.path, parts.username or ""
        web = parts.scheme in ("https", "http")
        ssh = parts.scheme == "ssh"
        shown = f"[{host}]" if ":" in host else host
        origin = f"{parts.scheme if web else 'https'}://{shown}" + (f":{port}" if web and port else "")
    else:
        found = _SCP.fullmatch(url)
        if found is None:
            return None
        host, path, user = found["host"].lower().rstrip("."), found["path"], found["user"] or ""
        origin, ssh = f"https://{host}", True
    if not host or not host.isascii():
        return None
    return Address(host, path.strip("/").removesuffix(".git").rstrip("/"), user, origin, ssh)


def kind_of(address: Address) -> str | None:
    """The kind of host: the public ones by name, private ones where the name begins with it (`gitlab.example.com`).

    The second is a guess: it proposes whom to ask, and never whom a token is given to.
    """
    if (public := _PUBLIC.get(address.host)) is not None:
        return public
    return _FIRST_LABELS.get(address.host.partition(".")[0]) if may_be_a_domain(address.host) else None


def may_be_a_domain(host: str) -> bool:
    """Whether HOST can be a name of the Internet's: an alias of ssh's (`github`, `github.com-work`) can't."""
    first, _, last = host.rpartition(".")
    return bool(first) and ("-" not in last or last.startswith("xn--"))


def may_carry_a_token(url: str) -> bool:
    """Whether a token may be sent to URL: over https, or to this very machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = (parts.hostname or "").rstrip(".")
    loopback = host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    return parts.scheme == "https" or (parts.scheme == "http" and loopback)


def is_public(address: Address) -> bool:
    return address.host in _PUBLIC


def repository_of(address: Address) -> str | None:
    """The repository as its host names it (`owner/name`, `group/sub/name`); None where the path can be none."""
    plain = _PATH.fullmatch(address.path) and all(part not in (".", "..") for part in address.path.split("/"))
    return address.path if plain else None


def api_of(address: Address, kind: str) -> str | None:
    """The API's base address of a private host of KIND; None for the public ones, whose sources know their own."""
    if address.host == "codeberg.org":
        return "https://codeberg.org/api/v1"
    if is_public(address) or kind not in _API_PATHS:
        return None
    return address.origin + _API_PATHS[kind]
