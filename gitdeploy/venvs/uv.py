"""uv's program."""

from __future__ import annotations

import os

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment


def uv_program() -> str:
    """uv's program, as its wheel brings it. Raises `DeploymentFailed` where it is missing."""
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        found = environment.which("uv")
        if found is None:
            raise DeploymentFailed(
                "uv is not installed beside gitdeploy.", tr("Install gitdeploy again, with its dependencies.")
            ) from error
        return found
