"""How much room backups take, and how much of it deleting them would free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitdeploy import venvs
from gitdeploy.backups.store import Backup
from gitdeploy.site.site import Site
from gitdeploy.upkeep.prune import held_generations


def backup_sizes(site: Site, found: Sequence[Backup]) -> dict[str, venvs.Usage]:
    """Backup id -> bytes on disk: of its folder, and of its generation where no other needs that. Copies that backups
    share are in `whole` of each, and in `freed` of none."""
    return {backup.id: venvs.disk_usage(_places(site, [backup])) for backup in found}


def all_backups(site: Site, found: Sequence[Backup]) -> venvs.Usage:
    """Bytes on disk of all of FOUND together."""
    return venvs.disk_usage(_places(site, found))


def _places(site: Site, found: Sequence[Backup]) -> list[Path]:
    held = held_generations(site, {backup.id for backup in found})
    generations = {backup.generation for backup in found if backup.generation and backup.generation not in held}
    return [
        *(site.state.backups / backup.id for backup in found),
        *(site.state.venvs / name for name in sorted(generations)),
    ]
