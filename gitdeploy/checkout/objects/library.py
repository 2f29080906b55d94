"""GitPython, imported without a look for git: everything of it that is used here comes from this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["IterableList", "git"]


@contextmanager
def _without_a_look_for_git() -> Iterator[None]:
    """GitPython starts `git version` when it is imported, whichever git PATH has. Here it is told of a git that can't be
    executed, and to say nothing of it. (Modules are imported under Python's own lock.)"""
    told = {"GIT_PYTHON_GIT_EXECUTABLE": os.devnull, "GIT_PYTHON_REFRESH": "quiet"}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


with _without_a_look_for_git():
    import git
    from git.util import IterableList
