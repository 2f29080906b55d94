"""What a child process may inherit, and where programs are looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a child may inherit; all else (GIT_*, PYTHON*, LD_*, VIRTUAL_ENV, tokens) stays here.
_INHERITED = frozenset(
    "HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR TERM SSH_AUTH_SOCK SSH_AGENT_PID XDG_RUNTIME_DIR XDG_CONFIG_HOME "
    "DBUS_SESSION_BUS_ADDRESS SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE "
    "http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY "
    "GITDEPLOY_FAULT_PLAN".split()
)


def clean_environment(extra: Mapping[str, str] | None = None, *, path: str = STANDARD_PATH) -> dict[str, str]:
    """An environment built from an allow-list: no `GIT_*`, `PYTHON*`, `LD_*`, no token. LC_ALL=C unless EXTRA says."""
    # By name: another thread may set or delete a variable meanwhile, and going through all of them would meet that.
    environment = {name: value for name in _INHERITED if (value := os.environ.get(name)) is not None}
    environment["PATH"] = path
    environment["LC_ALL"] = "C.UTF-8"
    environment.pop("LANGUAGE", None)
    if extra:
        environment.update(extra)
    return environment


def which(program: str, path: str = STANDARD_PATH) -> str | None:
    """The absolute path of PROGRAM in PATH (never the working directory), or None."""
    for folder in path.split(":"):
        candidate = os.path.join(folder, program)
        if folder.startswith("/") and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def refuse_gone_folder() -> None:
    """Raise `ConfigError` where the current folder was deleted, or replaced by another of its name."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise ConfigError(tr("The folder you are in is gone."), tr("Go to the app's folder anew: cd DIR")) from error
