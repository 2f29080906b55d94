"""Regular expressions that are compiled when they are first used: compiling all of them took a tenth of the time that a
command takes to start, and most commands use few."""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    """Stands for a compiled pattern until somebody asks something of it."""

    __slots__ = ("_compiled", "_flags", "_text")

    def __init__(self, text: str, flags: int) -> None:
        self._text, self._flags = text, flags
        self._compiled: re.Pattern[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if self._compiled is None:
            self._compiled = re.compile(self._text, self._flags)
        return getattr(self._compiled, name)


def regex(text: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, but later; so a mistake in TEXT shows at its first use."""
    return cast("re.Pattern[str]", _Pattern(text, flags))
