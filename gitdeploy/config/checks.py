"""What single values of deploy.yaml may be. Each check returns None, or what is wrong as the rest of a sentence that
begins with the key ("`git.keep` ...")."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from gitdeploy.messages import tr
from gitdeploy.text import MASK, clean, redact, register_secret

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LOOKS_LIKE_TOKEN = re.compile(r"(?:gh[pousr]_|github_pat_|glpat-|pt-|gto_).+|(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9_-]{24,}")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_SEGMENT = re.compile(r"[A-Za-z0-9_.+~-]+")
_REMOTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SCP_URL = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/?:)[^:].*")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,254}")
_PROGRAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_DATABASE_SCHEME = re.compile(r"(?:sqlite|postgres|postgresql|mysql|mariadb)(?:\+[a-z0-9_]+)?")
_SECRET_HEADER = re.compile(r"(?i)authorization|cookie|token|key|secret|password")
GLOB = frozenset("*?[")


def variable_name(text: str) -> str | None:
    if _VARIABLE.fullmatch(text) and not _LOOKS_LIKE_TOKEN.fullmatch(text):
        return None
    if _LOOKS_LIKE_TOKEN.fullmatch(text):
        register_secret(text)
        return tr(
            "must be the name of an environment variable; this looks like a token itself. "
            "Put the token into .env or the environment, change it where it was made if this file was committed, "
            "and write the variable's name here."
        )
    return tr(
        "must be the name of an environment variable (letters, digits, _); found `{text}`.", text=clean(text, limit=20)
    )


def _url(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _password(text: str) -> str | None:
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:([^/@\s]+)@", text)
    return found[1] if found else None


def web_url(text: str) -> str | None:
    if secret := _password(text):
        register_secret(secret)
        return tr("must not hold a password: this file is often committed. Put it into .env or the environment.")
    parts = _url(text)
    if parts is None or parts.scheme not in ("http", "https") or any(ord(c) <= 32 or ord(c) > 126 for c in text):
        return tr(
            "must be a URL that begins with http:// or https://; found `{text}`.", text=clean(redact(text), limit=60)
        )
    return None


def base_url(text: str) -> str | None:
    if problem := web_url(text):
        return problem
    return tr("must be an address without ? or #.") if "?" in text or "#" in text else None


def repository(text: str) -> str | None:
    if "://" in text or text.startswith("git@"):
        return tr(
            "must be the repository as its host names it, such as `scaleflower/otrs-web`, not a URL; found `{text}`.",
            text=clean(redact(text), limit=80),
        )
    parts = text.split("/")
    if len(text) > 300 or any(not _SEGMENT.fullmatch(part) or part in (".", "..") for part in parts):
        return tr(
            "must be the repository as its host names it, such as `owner/name`; found `{text}`.",
            text=clean(text, limit=80),
        )
    return None


def remote(text: str) -> str | None:
    """A remote's name, or a URL that git can fetch from: https, http, ssh, git, file, host:path or an absolute path."""
    if secret := _password(text):
        register_secret(secret)
        return tr("must not hold a password: git writes it down. Name the variable that holds it in `git.token_env`.")
    if text.startswith("-") or "::" in text or any(ord(c) <= 32 or ord(c) == 127 for c in text):
        return tr("must be a git remote's name or a URL; found `{text}`.", text=clean(text, limit=80))
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme not in ("https", "http", "ssh", "git", "file") or not rest or rest.startswith("-"):
            return tr(
                "must be a URL with https, ssh, http, git or file; found `{text}`.", text=clean(redact(text), limit=80)
            )
        return None
    if text.startswith("/") or _SCP_URL.fullmatch(text) or (_REMOTE_NAME.fullmatch(text) and ".." not in text):
        return None
    return tr("must be a git remote's name or a URL; found `{text}`.", text=clean(text, limit=80))


def glob(text: str) -> str | None:
    if not text or len(text) > 200 or not text.isprintable():
        return tr("must be a pattern of tag names such as `v*`.")
    if text.startswith("-") or " " in text or ".." in text:
        return tr("must be a pattern that a tag can match, such as `v*`; found `{text}`.", text=clean(text, limit=60))
    return (
        None if _brackets_closed(text) else tr("has a `[` that is never closed: `{text}`.", text=clean(text, limit=60))
    )


def _brackets_closed(pattern: str) -> bool:
    place = pattern.find("[")
    while place >= 0:
        end = pattern.find("]", place + 2)  # a ] right after [ stands for itself (glob(7))
        if end < 0:
            return False
        place = pattern.find("[", end)
    return True


def tag_prefix(text: str) -> str | None:
    if text.startswith(("-", "/", ".")) or ".." in text or not all(c.isalnum() or c in "._/@+-" for c in text):
        return tr(
            "must be what stands before the version in a tag, such as `release/`; found `{text}`.",
            text=clean(text, limit=60),
        )
    return None


def _inside(text: str) -> str | None:
    """A relative path that stays in the checkout and touches neither git's nor gitdeploy's own folder."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/"):
        return tr(
            "must be a path inside the checkout, relative to it; found the absolute path `{text}`.",
            text=clean(text, limit=80),
        )
    if ".." in parts:
        return tr("must stay inside the checkout; `{text}` leaves it.", text=clean(text, limit=80))
    if text.startswith("~"):
        return tr("is not expanded: `~` has no meaning here (`{text}`).", text=clean(text, limit=80))
    if not parts:
        return tr("must name a path inside the checkout, not the checkout itself.")
    if parts[0].lower() in (".git", ".gitdeploy"):
        return tr(
            "must not name `{name}`, which belongs to {owner}.",
            name=parts[0],
            owner="git" if parts[0].lower() == ".git" else "gitdeploy",
        )
    return None


def inside(text: str) -> str | None:
    if not GLOB.isdisjoint(text):
        return tr(
            "must be a path without *, ? and [; name the folder itself instead of `{text}`.", text=clean(text, limit=80)
        )
    return _inside(text)


def keep(text: str) -> str | None:
    if text.startswith("!"):
        return tr("has no exceptions: `{text}`. Name just what is to be kept.", text=clean(text, limit=80))
    if problem := _inside(text):
        return problem
    if text.strip("/") in ("*", "**", "**/*"):
        return tr("would keep everything, so that no release could go live: `{text}`.", text=clean(text, limit=80))
    return (
        None if _brackets_closed(text) else tr("has a `[` that is never closed: `{text}`.", text=clean(text, limit=80))
    )


def inside_or_absolute(text: str) -> str | None:
    if not text.startswith("/"):
        return inside(text)
    if ".." in text.split("/") or not text.strip("/"):
        return tr("must be a path without `..`; found `{text}`.", text=clean(text, limit=80))
    return None


def interpreter(text: str) -> str | None:
    if text.startswith("/"):
        return inside_or_absolute(text)
    if re.fullmatch(r"python[0-9.]*|pypy[0-9.]*|[23](\.[0-9]{1,2}){0,2}", text):
        return None
    return tr(
        "must be a version such as 3.12, a name such as python3.12 or an absolute path; found `{text}`.",
        text=clean(text, limit=80),
    )


def package_name(text: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        return None
    return tr("must be a name as in pyproject.toml; found `{text}`.", text=clean(text, limit=60))


def absolute(text: str) -> str | None:
    if text.startswith("/") and ":" not in text:
        return None
    return tr("must be an absolute path; found `{text}`.", text=clean(text, limit=80))


def build_variable(name: str, value: str) -> str | None:
    if problem := variable_name(name):
        return problem
    if name == "PATH" or name.startswith(("PIP_", "UV_", "PYTHON", "LD_", "GIT_", "VIRTUAL_ENV")):
        return tr(
            "must not set {name}: it could send the installation elsewhere. For PATH: venv.path_dirs.",
            name=clean(name, limit=60),
        )
    if not value.isprintable():
        return tr("has a variable `{name}` with a control character.", name=name)
    return None


def passed_variable(text: str) -> str | None:
    if problem := variable_name(text):
        return problem
    if text.startswith(("APP_UPDATE_", "GITDEPLOY_")):
        return tr("must not name {text}: it is gitdeploy's own, and no release's.", text=text)
    return None


def extra_argument(text: str) -> str | None:
    if _password(text):
        return tr("must not hold a password: arguments are seen by every user of the machine. Use a pip or uv setting.")
    return None if text else tr("must not be empty.")


def database_url(text: str) -> str | None:
    if secret := _password(text):
        register_secret(secret)
        return tr(
            "must not hold a password: this file is often committed. Write `{{env: DATABASE_URL}}` and put the whole "
            "URL into .env or the environment."
        )
    scheme, mark, rest = text.partition("://")
    if mark and rest and _DATABASE_SCHEME.fullmatch(scheme):
        return None
    return tr(
        "must be a URL of sqlite, postgresql, mysql or mariadb such as "
        "`sqlite:///instance/app.db`, or `{{env: DATABASE_URL}}`; found `{text}`.",
        text=clean(redact(text), limit=60),
    )


def command(text: str) -> str | None:
    return tr("must not be empty.") if not text.strip() else None


def migration(text: str) -> str | None:
    if re.fullmatch(r"[A-Za-z_]\w{0,99}(?:\.\w{1,200})?", text, re.ASCII):
        return None
    return tr(
        "must be an app's label or a migration such as `shop.0004_drop`; found `{text}`.", text=clean(text, limit=60)
    )


def version_range(text: str) -> str | None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if len(text) <= 200 and len(SpecifierSet(text)):
            return None
    except InvalidSpecifier:
        pass
    return tr("must be a range of versions such as `>=2.5`; found `{text}`.", text=clean(text, limit=60))


def rehearse_command(text: str) -> str | None:
    return command(text) or (None if "{port}" in text else tr("must name the port that the app listens at: {{port}}."))


def rehearse_variable(name: str, value: str) -> str | None:
    if problem := passed_variable(name):
        return problem
    return None if value.isprintable() else tr("has a variable `{name}` with a control character.", name=name)


def key_fingerprint(text: str) -> str | None:
    if re.fullmatch(r"(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})", text.replace(" ", "")):
        return None
    return tr(
        "must be a whole fingerprint of 40 hex digits (gpg --fingerprint); found `{text}`.", text=clean(text, limit=80)
    )


def recipient(text: str) -> str | None:
    """Whom age or gpg encrypts for. A secret key in its place is never shown again."""
    if re.match(r"(?i)AGE-(?:SECRET-KEY|PLUGIN)-|-----BEGIN", text):
        register_secret(text)
        return tr(
            "must be a public key; this is a secret one. Keep it elsewhere, and make another one if this file was committed."
        )
    if re.fullmatch(r"age1[0-9a-z]{10,4000}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]{40,4000}={0,3}(?: [ -~]{0,200})?", text):
        return None
    if re.fullmatch(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}", text):
        return None
    return tr(
        "must be an age recipient (age1...), an SSH public key, or the whole fingerprint of an OpenPGP key; found `{text}`.",
        text=clean(text, limit=80),
    )


def unit(text: str) -> str | None:
    if _UNIT.fullmatch(text):
        return None
    return tr(
        "must be the name of a systemd unit such as otrs-web or otrs-web.service; found `{text}`.",
        text=clean(text, limit=80),
    )


def program(text: str) -> str | None:
    if _PROGRAM_NAME.fullmatch(text):
        return None
    return tr("must be a name of letters, digits, `_`, `.`, `:` and `-`; found `{text}`.", text=clean(text, limit=80))


def tcp_address(text: str) -> str | None:
    host, mark, port = text.rpartition(":")
    if mark and _HOST_NAME.fullmatch(host) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536:
        return None
    return tr("must be HOST:PORT such as 127.0.0.1:15001; found `{text}`.", text=clean(text, limit=80))


def host_name(text: str) -> str | None:
    bare = text.rpartition(":")[0] if re.fullmatch(r"[^:]+:[0-9]{1,5}|\[.*\]:[0-9]{1,5}", text) else text
    return (
        None if _HOST_NAME.fullmatch(bare) else tr("must be a host's name; found `{text}`.", text=clean(text, limit=80))
    )


def listen_address(text: str) -> str | None:
    if text == "localhost":
        return None
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return tr(
            "must be an address to listen at, such as 127.0.0.1 or ::1; found `{text}`.", text=clean(text, limit=80)
        )
    return None


def network(text: str) -> str | None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return tr("must be an address or network such as 10.0.0.0/8; found `{text}`.", text=clean(text, limit=80))
    return None


def header(name: str, value: str) -> str | None:
    if not _HEADER_NAME.fullmatch(name):
        return tr("must have names of HTTP headers; found `{name}`.", name=clean(name, limit=60))
    if not value.isprintable() or any(ord(character) > 255 for character in value):
        return tr("has a header `{name}` with a character that HTTP doesn't allow.", name=name)
    return None


def header_name(text: str) -> str | None:
    return (
        None
        if _HEADER_NAME.fullmatch(text)
        else tr("must be an HTTP header's name; found `{text}`.", text=clean(text, limit=60))
    )


def json_path(text: str) -> str | None:
    if text and all(text.split(".")):
        return None
    return tr(
        "must be a field of the JSON answer such as version or app.version; found `{text}`.", text=clean(text, limit=60)
    )


def notify_url(text: str) -> str | None:
    for name in _REFERENCE.findall(text):
        if not _VARIABLE.fullmatch(name):
            return tr("has `${{{name}}}`, which names no environment variable.", name=clean(name, limit=40))
    if re.match(r"\$\{|[A-Za-z][A-Za-z0-9+.-]*://\S", text) and " " not in text:
        return None
    return tr("must be an apprise URL such as `mailto://...`, or the variable that holds one: `${{DINGTALK_URL}}`.")


def mask_header(name: str, value: str) -> str:
    return MASK if _SECRET_HEADER.search(name) else value


def mask_notify_url(text: str) -> str:
    """Scheme and `${NAME}` stay; whatever else stands in such a URL may be a token."""
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    return f"{scheme}://" + (rest if re.fullmatch(r"(\$\{[A-Za-z0-9_]+\}[/@:?&=]*)+", rest) else MASK)
