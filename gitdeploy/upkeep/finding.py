"""One thing that doctor looked at."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gitdeploy.messages import said

Level = Literal["ok", "warning", "problem", "mended"]


class Finding(Struct, frozen=True):
    """One thing looked at: what it is about, how it stands, in a sentence, and what to do."""

    about: str
    level: Level
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"about": self.about, "level": self.level, **said(self.message), **said(self.hint, "hint")}
