"""What `init` wrote, and what came of trying it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from gitdeploy.upkeep.drafting import Draft, Tried


class Drafted(Struct, frozen=True):
    """The file that was written, with its draft; what was tried; the keys that stand there as questions; whether the
    release has the file."""

    path: Path
    draft: Draft
    tried: tuple[Tried, ...]
    asks: tuple[str, ...]
    tracked: bool
