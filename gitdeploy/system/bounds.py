"""Folders of another user's, in which this process starts nothing: a git filter, a venv's Python or a health command that
stands there would run with the rights of whoever only looks.

Each child of this process passes here (`gitdeploy.system.process`, `gitdeploy.system.conversation`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from gitdeploy.errors import DeploymentFailed

_closed: dict[str, tuple[str, str]] = {}  # folder, without links -> message and hint


def close(folders: Iterable[str | os.PathLike[str]], message: str, hint: str) -> None:
    """From now on no child is started in FOLDERS, from them, or with a word that names what is in them."""
    for folder in folders:
        _closed[os.path.abspath(folder)] = _closed[os.path.realpath(folder)] = (message, hint)


def reopen(folders: Iterable[str | os.PathLike[str]]) -> None:
    """FOLDERS belong to this user (again)."""
    if _closed:
        for folder in folders:
            _closed.pop(os.path.abspath(folder), None)
            _closed.pop(os.path.realpath(folder), None)


def check(words: Sequence[str], cwd: str | os.PathLike[str]) -> None:
    """Raise `DeploymentFailed` where the child WORDS, started in CWD, would touch a closed folder."""
    if not _closed:
        return
    places = [os.path.realpath(cwd), os.path.abspath(cwd), *words]
    if os.path.isabs(words[0]):
        places.append(os.path.realpath(words[0]))
    for folder, (message, hint) in list(_closed.items()):
        if any(place.endswith(folder) or f"{folder}/" in place for place in places):
            raise DeploymentFailed(message, hint)
