"""Root on another user's checkout: gitdeploy becomes that user, for good, before it reads anything there.

deploy.yaml, the repository, the venv and the hooks are that user's own, and no set of options makes them safe for root.
What is left to root is done by a small second process (`gitdeploy.services.privileged`).
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from gitdeploy.called import CALLED_IN
from gitdeploy.deployment import outside
from gitdeploy.errors import DeploymentFailed, UsageError
from gitdeploy.site.caller import performer
from gitdeploy.site.site import find_root
from gitdeploy.state import NAME
from gitdeploy.system import owner as owners
from gitdeploy.system.ourselves import again, user_word
from gitdeploy.text import path_text, shell_word

_INSTALL = (
    "Install one for root: python3 -m venv /opt/gitdeploy && /opt/gitdeploy/bin/pip install WHEEL-OR-FOLDER-OF-ROOTS"
)
_PARTS = (".git", NAME, "deploy.yaml", "hooks")  # what root would follow, were the checkout root's own


def become_owner(folder: Path, config_file: Path | None = None) -> bool:
    """Where root runs us on somebody else's checkout (the one that FOLDER is in), be its owner from now on. True then.

    Raises `DeploymentFailed` where that can't be done safely, in a sentence.
    """
    if os.geteuid() != 0:
        return False
    _trust_where_we_are_called()
    root = find_root(folder)
    found = root.stat()
    if found.st_uid == 0:
        _all_roots(root, found)
        return False
    from gitdeploy.services import root_side

    user = owners.user_name(found.st_uid)
    _trust_path(root, found.st_uid)
    _trust_ourselves(found.st_uid, user)
    if "GITDEPLOY_PERFORMER" not in os.environ:
        os.environ["GITDEPLOY_PERFORMER"] = f"{performer()} (as {user})"
    root_side.split(root, found.st_uid, outside.launch.root_launcher(root, config_file))
    owners.become(found.st_uid, found.st_gid)
    if not _readable():
        raise DeploymentFailed(
            f"This gitdeploy is installed where {user} can't read it ({path_text(_ourselves()[0])}), and the checkout "
            f"{path_text(str(root))} is {user}'s.",
            f"{_INSTALL}. Or run it as {user}.",
        )
    return True


def _trust_where_we_are_called() -> None:
    """With `python -m` Python has looked for modules in the working directory first, before any code of ours ran."""
    if CALLED_IN is None:
        return
    for each in (Path(CALLED_IN), *Path(CALLED_IN).parents):
        found = each.stat()
        others = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0)
        if found.st_mode & stat.S_ISVTX and str(each) != CALLED_IN:
            others = False
        if found.st_uid != 0 or others:
            raise UsageError(
                f"Root does not run `python -m gitdeploy` in {path_text(CALLED_IN)}: Python imports modules from there, and "
                f"others than root can write to {path_text(str(each))}.",
                f"Call the program itself, {path_text(os.path.join(os.path.dirname(sys.executable), 'gitdeploy'))}, or go "
                "elsewhere first: cd /",
            )


def _all_roots(root: Path, found: os.stat_result) -> None:
    """A checkout of root's own must be root's in all that root would follow."""
    if found.st_mode & stat.S_IWOTH:
        raise DeploymentFailed(
            f"Everybody may write into the checkout {path_text(str(root))}, so root does not work in it.",
            f"chmod o-w {shell_word(str(root))}",
        )
    for name in _PARTS:
        try:
            part = os.lstat(root / name)
        except OSError:
            continue
        if part.st_uid != 0:
            user = owners.user_name(part.st_uid)
            raise DeploymentFailed(
                f"The checkout {path_text(str(root))} is root's, but its {name} is {user}'s: root follows nothing that "
                f"{user} can change.",
                f"Give all of it to one of them: chown -R {user_word(part.st_uid)} {shell_word(str(root))}",
            )


def _trust_path(root: Path, uid: int) -> None:
    """A link on the way that a user made may lead only to what is that very user's."""
    place = Path("/")
    for part in root.parts[1:]:
        place /= part
        entry = os.lstat(place)
        if stat.S_ISLNK(entry.st_mode) and entry.st_uid not in (0, uid):
            raise DeploymentFailed(
                f"{path_text(str(place))} is a link of {owners.user_name(entry.st_uid)}'s that leads to a checkout of "
                f"{owners.user_name(uid)}'s, so root does not follow it.",
                f"Name the checkout itself: gitdeploy -C {shell_word(os.path.realpath(root))}",
            )


def _ourselves() -> list[str]:
    """Our package, the interpreter, and wherever else this process imports from."""
    package = str(Path(__file__).resolve().parents[2])
    return [
        package,
        os.path.realpath(sys.executable),
        sys.prefix,
        *filter(os.path.isdir, map(os.path.abspath, sys.path)),
    ]


def _trust_ourselves(uid: int, user: str) -> None:
    """Root must not run what the app's user could have written; a gitdeploy in the app's own venv is just that."""
    for place in _ourselves():
        for each in (Path(place), *Path(place).parents):
            found = each.stat()
            if found.st_uid == uid or (found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX):
                raise UsageError(
                    f"Root does not run a gitdeploy that {user} can change ({path_text(str(each))}).",
                    f"Run it as {user}: {again(uid=uid)}\n{_INSTALL}",
                )


def _readable() -> bool:
    package, program, *_ = _ourselves()
    return os.access(f"{package}/__init__.py", os.R_OK) and os.access(program, os.X_OK)
