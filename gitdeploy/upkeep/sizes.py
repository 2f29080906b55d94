"""What deleting a backup would free: files that nothing else holds, hard links counted once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gitdeploy.backups.copying import disk_size
from gitdeploy.backups.store import Backup
from gitdeploy.site.site import Site
from gitdeploy.upkeep.prune import held_generations


def backup_sizes(site: Site, found: Sequence[Backup]) -> dict[str, int]:
    """Backup id -> bytes on disk that go with it: its folder, and its generation's own files where no other needs them."""
    sizes = {backup.id: disk_size(site.state.backups / backup.id) for backup in found}
    for backup in found:
        if backup.generation and backup.generation not in held_generations(site, {backup.id}):
            sizes[backup.id] += _own_size(site.state.venvs / backup.generation)
    return sizes


def _own_size(folder: Path) -> int:
    """Bytes of files that have no second name outside FOLDER."""
    names: dict[tuple[int, int], list[int]] = {}
    for base, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                found = os.lstat(os.path.join(base, name))
                entry = names.setdefault((found.st_dev, found.st_ino), [found.st_blocks * 512, found.st_nlink, 0])
                entry[2] += 1
    return sum(size for size, links, here in names.values() if here >= links)
