"""What the commands of one page and of the page of all share."""

from __future__ import annotations

import importlib
from typing import Any

from gitdeploy.cli.screen import Screen
from gitdeploy.errors import UsageError
from gitdeploy.messages import tr


def imported(name: str) -> Any:
    """A module of gitdeploy.web. Raises `UsageError` where its extra isn't installed."""
    try:
        return importlib.import_module(f"gitdeploy.web.{name}")
    except ImportError as error:
        from gitdeploy.system.installation import Installation

        raise UsageError(
            tr("The page needs {error}, which isn't installed.", error=error.name),
            tr("Install what it needs: {extend}", extend=Installation().extend("web")),
        ) from error


def say_code(screen: Screen, link: str, code: str, add: str) -> None:
    """A link that opens one session by CODE. ADD: the command that makes a token."""
    from gitdeploy.web.access.access import CODE_LASTS

    screen.write_error(
        tr(
            "Log in (this link works once, within {minutes} minutes):\n  {link}login#{code}\nA token that lasts: {add}\n",
            minutes=round(CODE_LASTS / 60),
            link=link,
            code=code,
            add=add,
        )
    )
