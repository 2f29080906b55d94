"""Tags that a person or a source names."""

from __future__ import annotations

from gitdeploy.errors import UsageError
from gitdeploy.text import clean
from gitdeploy.versions import valid_tag


def check_tag(tag: str) -> None:
    """Raise `UsageError` for what can't be a release's tag."""
    problem = valid_tag(tag)
    if problem is not None:
        raise UsageError(f"`{clean(tag, limit=80)}` can't be a release: {problem}", "`gitdeploy releases` lists them.")
