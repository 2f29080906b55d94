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
from gitdeploy.process import which


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
            f"The checkout belongs to {user_name(uid)}, and without setpriv root can't run commands as {user_name(uid)}.",
            f"Install util-linux, or run gitdeploy as {user_name(uid)}.",
        )
    gid, groups = uid, "--clear-groups"
    with suppress(KeyError):
        gid, groups = pwd.getpwuid(uid).pw_gid, "--init-groups"
    return [setpriv, f"--reuid={uid}", f"--regid={gid}", groups, "--", *argv]


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
