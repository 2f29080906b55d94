"""Tags that a person or a source names."""

from __future__ import annotations

from gitdeploy.errors import UsageError
from gitdeploy.messages import tr
from gitdeploy.text import clean
from gitdeploy.versions import valid_tag


def check_tag(tag: str) -> None:
    """Raise `UsageError` for what can't be a release's tag."""
    problem = valid_tag(tag)
    if problem is not None:
        raise UsageError(
            tr("`{tag}` can't be a release: {problem}", tag=clean(tag, limit=80), problem=problem),
            tr("`gitdeploy releases` lists them."),
        )
