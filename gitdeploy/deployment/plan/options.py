"""What the caller of a deployment asks for besides the release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from gitdeploy.checkout.changes import Policy


class Options(Struct, frozen=True):
    """What the caller asked for besides the release."""

    allow_downgrade: bool = False
    local_changes: Policy | None = None
    rebuild_venv: bool = False
    restart: bool = True
    hooks: bool = True
    roll_back: bool = True
    accept_moved_tag: bool = False
    with_data: bool = False
    unhealthy: bool = False  # go on though what is live is not healthy
    skip_stops: bool = False  # go past releases that may not be skipped
    skip_contract: bool = False  # go on without the second half of the live release's migrations
    accept_config: tuple[str, ...] = ()  # pinned settings that the release may change
    identity: Path | None = None  # what an encrypted backup's data are decrypted with; None: backup.identity
    migrate: bool = True  # False: another host dumps and migrates the databases that both share
    half: bool = False  # the second half of the migrations waits, whatever deploy.yaml says: other hosts follow first
