"""What could be lost by a deployment that goes well as far as its data are concerned, said before it begins."""

from __future__ import annotations

from gitdeploy.config import Config
from gitdeploy.messages import tr

WITHOUT_A_PAUSE = tr(
    "A migration will run while the app accepts writes. If the upgrade fails, the database goes back to its dump, and what "
    "was written since then is only in a copy that is kept. To avoid that: service: {{stop_for_switch: true}} (down until "
    "after the migration), or maintenance: {{file: FILE}} that the app obeys (until it is healthy)."
)


def writes_at_risk(config: Config, *, migrates: bool) -> str | None:
    """A sentence where a migration is about to run, data may go back because of it, and nothing keeps writes away."""
    protected = config.service.stop_for_switch or config.maintenance.file
    goes_back = config.backup.databases and config.backup.restore_data != "never"
    return WITHOUT_A_PAUSE if migrates and goes_back and not protected else None
