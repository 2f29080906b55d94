"""Root on another user's checkout: gitdeploy becomes that user, for good, before it reads anything there.

deploy.yaml, the repository, the venv and the hooks are that user's own, and no set of options makes them safe for root.
What is left to root is done by a small second process (`gitdeploy.services.privileged`).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitdeploy.deployment import outside
from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.site.caller import performer
from gitdeploy.site.site import find_root
from gitdeploy.state.rows import acting_for
from gitdeploy.system import owner as owners
from gitdeploy.system.ourselves import INSTALL, places
from gitdeploy.text import path_text, shell_word

ONLY = "GITDEPLOY_ONLY"  # uid:checkout, for what root's process starts: nothing else becomes of it (`become_owner`)


def become_owner(folder: Path, config_file: Path | None = None, *, boot_unit: bool = False) -> bool:
    """Where root runs us on somebody else's checkout (the one that FOLDER is in), be its owner from now on. True then.
    BOOT_UNIT: root asked for the unit for boot.

    Raises `DeploymentFailed` where that can't be done safely, in a sentence.
    """
    if os.geteuid() != 0:
        return False
    root = find_root(folder)
    found = root.stat()
    _refuse_others(root, found.st_uid)
    if found.st_uid == 0:
        return False  # it is looked at by `Site.open`
    from gitdeploy.services import root_side

    user = owners.user_name(found.st_uid)
    _trust_path(root, found.st_uid)
    if "GITDEPLOY_PERFORMER" not in os.environ:
        os.environ["GITDEPLOY_PERFORMER"] = acting_for(performer(), user)
    root_side.split(
        root, found.st_uid, outside.launch.root_launcher(root, found.st_uid, config_file), boot_unit=boot_unit
    )
    owners.become(found.st_uid, found.st_gid)
    if (hidden := _unreadable()) is not None:
        raise DeploymentFailed(
            tr(
                "This gitdeploy is installed where {user} can't read it ({places}), and the checkout "
                "{root} is {user}'s.",
                user=user,
                places=path_text(hidden),
                root=path_text(str(root)),
            ),
            tr("{install}. Or run it as {user}.", install=INSTALL, user=user),
        )
    return True


def _refuse_others(root: Path, uid: int) -> None:
    """Where root's process started us for somebody (`outside.launch.root_launcher`): that user's checkout, and no other."""
    only = os.environ.pop(ONLY, None)  # what we start is no longer root's, or says it itself
    if only is not None and only != f"{uid}:{root}":
        raise DeploymentFailed(
            tr(
                "This process was started for the checkout {only}; it does not work in {root} of {user}.",
                only=path_text(only.partition(":")[2]),
                root=path_text(str(root)),
                user=owners.user_name(uid),
            )
        )


def _trust_path(root: Path, uid: int) -> None:
    """A link on the way that a user made may lead only to what is that very user's."""
    place = Path("/")
    for part in root.parts[1:]:
        place /= part
        entry = os.lstat(place)
        if stat.S_ISLNK(entry.st_mode) and entry.st_uid not in (0, uid):
            raise DeploymentFailed(
                tr(
                    "{place} is a link of {user}'s that leads to a checkout of {owner}'s, so root does not follow it.",
                    place=path_text(str(place)),
                    user=owners.user_name(entry.st_uid),
                    owner=owners.user_name(uid),
                ),
                tr("Name the checkout itself: gitdeploy -C {realpath}", realpath=shell_word(os.path.realpath(root))),
            )


def _unreadable() -> str | None:
    """What of us this user can't read or start: the package, or the interpreter, which may be in root's own home."""
    package, program, *_ = places()
    if not os.access(f"{package}/__init__.py", os.R_OK):
        return package
    return None if os.access(program, os.X_OK) else program
