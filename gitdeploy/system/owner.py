"""Whose checkout it is, and how root runs a command as that user.

Root executes nothing that the app's user could have written: such a command goes through setpriv(1) of util-linux, which
sets uid, gid and groups and cannot be undone by the child. Everybody else runs commands as themselves.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from contextlib import suppress

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.system.environment import which

# What stays of root's environment when root becomes the app's user.
_KEPT = frozenset(
    "PATH LANG LANGUAGE GITDEPLOY_LANG TZ TERM COLUMNS LINES NO_COLOR PYTHONPATH LD_LIBRARY_PATH PYTHONDONTWRITEBYTECODE SSL_CERT_FILE "
    "SSL_CERT_DIR REQUESTS_CA_BUNDLE http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY "
    "NO_PROXY".split()
)


def must_drop(uid: int) -> bool:
    """Whether this process is root and UID is not: what belongs to UID must then be run as UID."""
    return os.geteuid() == 0 and uid != 0


def user_name(uid: int) -> str:
    """The login name of UID, or `user 12345` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def command_as(argv: Sequence[str], uid: int) -> list[str]:
    """ARGV, or what root types to run ARGV as UID: without root's groups, dying with us as the others do not.

    Raises `GitDeployError` where the machine has no setpriv.
    """
    if not must_drop(uid):
        return list(argv)
    setpriv = which("setpriv")
    if setpriv is None:
        raise GitDeployError(
            tr(
                "The checkout belongs to {user_name}, and without setpriv root can't run commands as {user_name}.",
                user_name=user_name(uid),
            ),
            tr("Install util-linux, or run gitdeploy as {user_name}.", user_name=user_name(uid)),
        )
    gid, groups = uid, "--clear-groups"
    with suppress(KeyError):
        gid, groups = pwd.getpwuid(uid).pw_gid, "--init-groups"
    return [setpriv, f"--reuid={uid}", f"--regid={gid}", groups, "--", *argv]


def become(uid: int, gid: int) -> None:
    """From now on this process is UID, with that user's groups, home and umask, and can't be root again.

    gid: for a user whom the machine does not know by name. Of root's environment only what says nothing secret is kept,
    and what is meant for gitdeploy (`APP_*`, `GITDEPLOY_*`): the children's environment can be read by UID.
    """
    own = variables(uid)
    if not os.path.exists(f"/run/user/{uid}"):
        own = {name: own[name] for name in ("HOME", "USER", "LOGNAME")}
    try:
        entry = pwd.getpwuid(uid)
        gid = entry.pw_gid
        os.initgroups(entry.pw_name, gid)
    except KeyError:
        os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if 0 in (*os.getresuid(), *os.getresgid()) and gid != 0:
        raise GitDeployError(tr("This process could not become {user_name}.", user_name=user_name(uid)))
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(("APP_", "GITDEPLOY_", "LC_")):
            del os.environ[name]
    os.environ.update(own)
    os.umask(0o022)
    os.chdir("/")


def variables(uid: int) -> dict[str, str]:
    """HOME, USER, LOGNAME and XDG_RUNTIME_DIR of UID, where root acts for it; nothing where it acts for itself."""
    if not must_drop(uid):
        return {}
    found = {"XDG_RUNTIME_DIR": f"/run/user/{uid}", "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{uid}/bus"}
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return {**found, "HOME": "/", "USER": str(uid), "LOGNAME": str(uid)}
    return {**found, "HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
