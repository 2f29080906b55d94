"""What was drafted, tried: hooks, databases, service, health and venv as they are."""

from __future__ import annotations

from msgspec import Struct

from gitdeploy.messages import said
from gitdeploy.site.site import Site
from gitdeploy.upkeep.doctor import examine

_ABOUT = ("venv", "hooks", "service", "health", "database")


class Tried(Struct, frozen=True):
    """One thing that was tried: what it is about, whether it holds, a sentence, and what to do."""

    about: str
    holds: bool
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        return {"about": self.about, "holds": self.holds, **said(self.message), **said(self.hint, "hint")}


def tries(site: Site) -> tuple[Tried, ...]:
    """What an upgrade would need of deploy.yaml, looked at now. Warnings (nothing is configured) hold: the draft asks there."""
    found = examine(site, only=_ABOUT)
    return tuple(
        Tried(each.about, each.level != "problem", each.message, each.hint) for each in found if each.level != "warning"
    )
