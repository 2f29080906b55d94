"""What the operator has set for pip and uv, read here so that it can be given to whichever of the two installs.

uv reads no pip configuration, and a project's own `uv.toml` or an inherited `UV_PROJECT_ENVIRONMENT` can send an install
elsewhere. So installers run without configuration files and with a rebuilt environment, and get from here, through that
environment (an index's address may hold a password, and argument lists are public), what only says where packages
come from.
"""

from __future__ import annotations

import configparser
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gitdeploy.text import register_secret


class VenvConfig(Protocol):
    """The `venv` section of the configuration."""

    @property
    def path(self) -> str | None: ...
    @property
    def python(self) -> str | None: ...
    @property
    def python_downloads(self) -> bool: ...
    @property
    def requirements(self) -> tuple[str, ...]: ...
    @property
    def constraints(self) -> tuple[str, ...]: ...
    @property
    def installer(self) -> str: ...
    @property
    def link_mode(self) -> str: ...
    @property
    def exact(self) -> bool: ...
    @property
    def allow_index_options(self) -> bool: ...
    @property
    def extra_args(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def extras(self) -> tuple[str, ...]: ...
    @property
    def itself(self) -> str: ...
    @property
    def allow_sources(self) -> tuple[str, ...]: ...
    @property
    def pass_env(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def path_dirs(self) -> tuple[str, ...]: ...


# What of the caller's UV_* says where packages come from or how patiently; all else could change where they go.
_UV_PASSED = frozenset(
    "UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX_STRATEGY UV_OFFLINE UV_NO_INDEX "
    "UV_KEYRING_PROVIDER UV_INSECURE_HOST UV_NATIVE_TLS UV_SYSTEM_CERTS UV_HTTP_TIMEOUT UV_HTTP_RETRIES "
    "UV_HTTP_CONNECT_TIMEOUT UV_CONCURRENT_DOWNLOADS UV_CONCURRENT_BUILDS UV_CONCURRENT_INSTALLS UV_EXCLUDE_NEWER "
    "UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_NO_BUILD UV_NO_BUILD_ISOLATION UV_TORCH_BACKEND UV_PRERELEASE".split()
)
_UV_INDEX_LOGIN = re.compile(r"UV_INDEX_\w+_(?:USERNAME|PASSWORD)")
_UV_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")

# pip's settings by their long names, and what becomes of them.
_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
}
_PIP_SWITCHES = {"no-index": "--no-index", "require-hashes": "--require-hashes"}
_PIP_LISTS = {"no-binary": "--no-binary", "only-binary": "--only-binary"}
# Only how pip looks and where it keeps its own things.
_PIP_COSMETIC = frozenset(
    "disable-pip-version-check no-input quiet verbose no-color progress-bar cache-dir no-cache-dir log root-user-action "
    "break-system-packages no-warn-script-location no-warn-conflicts require-virtualenv exists-action debug compile "
    "no-python-version-warning no-compile keyring-provider proxy".split()
)
# These would send the install somewhere else; neither installer is given them.
_PIP_ELSEWHERE = frozenset(
    "target prefix root user src ignore-installed dry-run python upgrade force-reinstall".split()
)


class InstallerSettings(Struct, frozen=True):
    """What the operator's settings mean for uv and for pip; both environments may hold secrets (registered as such).

    cannot_pass: pip's settings that uv has no counterpart for, by name.
    """

    uv_environment: Mapping[str, str]
    uv_arguments: tuple[str, ...]
    pip_environment: Mapping[str, str]
    cannot_pass: tuple[str, ...]
    uv_cache: str | None
    fingerprint: tuple[str, ...]


def read_pip_settings(venv: Path | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """pip's settings in force for VENV: long option name to value, lines of a list joined by line feeds.

    Files and their order as pip's documentation (Configuration) has them: global, user, site, PIP_CONFIG_FILE; then PIP_*.
    """
    given = environment.get("PIP_CONFIG_FILE", "")
    home = environment.get("HOME") or "/"
    files: list[Path] = []
    if given != os.devnull:
        folders = environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        files += [Path(folder) / "pip" / "pip.conf" for folder in folders]
        files += [
            Path("/etc/pip.conf"),
            Path(home) / ".pip" / "pip.conf",
            Path(environment.get("XDG_CONFIG_HOME") or Path(home) / ".config") / "pip" / "pip.conf",
        ]
        files += [venv / "pip.conf"] if venv else []
        files += [Path(given)] if given else []
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for file in files:
            found.update(_section(file, section))
    for name, value in environment.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            found[name[4:].lower().replace("_", "-")] = value
    if "default-timeout" in found:
        found.setdefault("timeout", found.pop("default-timeout"))
    return found


def _section(file: Path, section: str) -> dict[str, str]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    if not parser.has_section(section):
        return {}
    return {key.lstrip("-").lower().replace("_", "-"): value for key, value in parser.items(section)}


def read_settings(venv: Path | None, environment: Mapping[str, str] = os.environ) -> InstallerSettings:
    """The operator's settings for installs into VENV, from pip's files and from PIP_* and UV_* in ENVIRONMENT."""
    pip = read_pip_settings(venv, environment)
    home = environment.get("HOME") or "/"
    uv = {
        name: value
        for name, value in environment.items()
        if value and (name in _UV_PASSED or _UV_INDEX_LOGIN.fullmatch(name))
    }
    arguments: list[str] = []
    cannot: list[str] = []
    if not any(name in uv for name in _UV_INDEXES):
        for key in ("index-url", "extra-index-url") if not _true(pip.get("no-index")) else ():
            if key in pip:
                uv[_PIP_TO_UV[key]] = " ".join(pip[key].split())
        if len(uv.get("UV_DEFAULT_INDEX", "").split()) > 1:  # pip takes the whole line, whatever that means
            cannot.append("index-url")
        if places := [
            place for place in map(partial(_find_links, venv, home), pip.get("find-links", "").split()) if place
        ]:
            uv["UV_FIND_LINKS"] = ",".join(places)
        if "extra-index-url" in pip:
            # pip takes the best version of all indexes, uv by default the first index that has the package.
            uv.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        if _true(pip.get("no-index")):
            arguments.append("--no-index")
    if _true(uv.pop("UV_NO_INDEX", "")):
        arguments.append("--no-index")
    for key, value in pip.items():
        if key in _PIP_TO_UV and key not in ("index-url", "extra-index-url", "find-links"):
            if (converted := _converted(key, value)) is None:
                cannot.append(key)
            else:
                uv.setdefault(_PIP_TO_UV[key], converted)
        elif key == "require-hashes" and _true(value):
            arguments.append(_PIP_SWITCHES[key])
        elif key in _PIP_LISTS:
            arguments += [word for item in value.replace(",", " ").split() for word in (_PIP_LISTS[key], item)]
        elif key not in _PIP_TO_UV and key not in _PIP_SWITCHES and key not in _PIP_COSMETIC | _PIP_ELSEWHERE:
            cannot.append(key)
    if proxy := pip.get("proxy"):
        uv.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _with_scheme(proxy)))
    if "UV_OFFLINE" in uv and not _true(uv["UV_OFFLINE"]):
        del uv["UV_OFFLINE"]
    _register((*uv.values(), *pip.values()))
    pip_environment = {
        f"PIP_{key.upper().replace('-', '_')}": value
        for key, value in pip.items()
        if key not in _PIP_ELSEWHERE and key != "cache-dir"
    }
    return InstallerSettings(
        uv,
        tuple(arguments),
        pip_environment,
        tuple(sorted(cannot)),
        environment.get("UV_CACHE_DIR") or None,
        _fingerprint(pip, cannot),
    )


def _fingerprint(pip: Mapping[str, str], cannot: Sequence[str]) -> tuple[str, ...]:
    """What of pip's settings decides which packages an install gives."""
    deciding = {*_PIP_LISTS, "require-hashes", *cannot}
    return tuple(sorted(f"{key}={value}" for key, value in pip.items() if key in deciding))


def _with_scheme(proxy: str) -> str:
    """pip takes `host:port` for one that is spoken to by HTTP."""
    return proxy if "://" in proxy else f"http://{proxy}"


def _find_links(venv: Path | None, home: str, place: str) -> str | None:
    """A place of pip's `find-links` for uv; None for a folder that isn't there, which pip only warns of.

    A relative one counts from the checkout, where pip is run by hand.
    """
    if "://" in place:
        return place
    path = home + place[1:] if place == "~" or place.startswith("~/") else place
    if not path.startswith("/") and venv is not None:
        generation = venv.parent.name == "venvs" and venv.parent.parent.name == ".gitdeploy"
        path = os.path.normpath(venv.parents[2 if generation else 0] / path)
    return path if os.path.exists(path) else None


def _converted(key: str, value: str) -> str | None:
    """The value of pip's setting KEY as uv wants it; None where it has none for that."""
    value = " ".join(value.split())
    if key == "timeout":  # of seconds, which uv wants whole
        try:
            return str(max(1, math.ceil(float(value))))
        except ValueError:
            return None
    if key == "retries":
        return value if value.isdecimal() else None
    if key in ("cert", "client-cert"):
        return os.path.expanduser(value)
    return value


_FALSE = ("", "0", "no", "off", "false", "f", "n")


def _true(value: str | None) -> bool:
    return (value or "").lower() not in _FALSE


def _register(values: Iterable[str]) -> None:
    """Passwords in addresses never appear in what is shown."""
    for value in values:
        for secret in re.findall(r"://[^/@\s:]*:([^/@\s]+)@", value):
            register_secret(secret)
