"""What a rollout says while it goes on, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from gitdeploy.fleet.journal import Member


class HostChanged(Struct, frozen=True):
    """A host stands otherwise now. `step`: what it is doing, where it is doing something."""

    member: Member
    step: str = ""


class PhaseBegan(Struct, frozen=True):
    """The rollout is at something else now; `hosts` take part in it."""

    headline: str
    hosts: Sequence[str] = ()


class Said(Struct, frozen=True):
    """A sentence about a host, or about all (`host` is empty)."""

    host: str
    text: str


Event = HostChanged | PhaseBegan | Said
Listener = Callable[[Event], object]


def ignore(_: Event) -> None:
    """Nobody listens."""
