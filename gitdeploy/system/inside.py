"""The belt of whatever deletes or writes in a copy: links never take it to what is live."""

from __future__ import annotations

import os
from pathlib import Path

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text


def require_inside(path: Path, place: Path) -> None:
    """Raises `DeploymentFailed` where the folder that PATH is in is really, through links, neither PLACE nor in it."""
    found, top = os.path.realpath(path.parent), os.path.realpath(place)
    if found != top and not found.startswith(f"{top}/"):
        raise DeploymentFailed(
            tr(
                "In the copy, {path} is {real}, which is no copy: nothing is written there.",
                path=path_text(str(path)),
                real=path_text(os.path.join(found, path.name)),
            )
        )
