"""The refusal of a link among the files that a release names."""

from __future__ import annotations

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text


class Linked(DeploymentFailed):
    """A file that a release names is a symbolic link in it: where that leads is not an affair of the release's."""

    def __init__(self, path: str) -> None:
        super().__init__(
            tr("{path} is a symbolic link, and no link is followed there.", path=path_text(path)),
            tr("Commit the file itself in its place."),
        )
