"""What files a backup will copy: how much of that is new, and whether it is unexpectedly much."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gitdeploy.backups.copying import Amount, amount, matching_paths, newest_copies
from gitdeploy.backups.places import INCLUDED, KEPT
from gitdeploy.backups.store import KEPT_LIMIT
from gitdeploy.config.size import size_word
from gitdeploy.messages import tr
from gitdeploy.site.keeping import database_paths
from gitdeploy.site.site import Site
from gitdeploy.text import listing, path_text, size_text

_NAMED = 3  # so many of the largest paths


class Copies(Struct, frozen=True):
    """Files of keep paths and `backup.include`: `size` bytes, `new` of them not shared with the backup before; `biggest`:
    where most of those are, of each path its bytes; `limit`: `backup.ask_above`; `setting`: the one that names most of it."""

    size: int = 0
    new: int = 0
    biggest: tuple[tuple[str, int], ...] = ()
    limit: int = 0
    setting: str = "backup.include"

    @property
    def asks(self) -> bool:
        """Whether somebody is to be asked before so much is copied."""
        return self.new > self.limit

    @property
    def warnings(self) -> list[str]:
        if not self.asks:
            return []
        biggest = [
            tr("{path} {size}", path=path_text(path), size=size_text(size)) for path, size in self.biggest[:_NAMED]
        ]
        return [
            tr(
                "The backup copies {new} that the one before it doesn't have, more than {limit} (backup.ask_above); most "
                "of it: {biggest}. Where that is meant, set backup.ask_above higher; else name less in {setting}.",
                new=size_text(self.new),
                limit=size_word(self.limit),
                biggest=listing(biggest),
                setting=self.setting,
            )
        ]

    def as_dict(self) -> dict[str, Any]:
        """The shape of `copies` in `plan --json`."""
        return {
            "size": self.size,
            "new": self.new,
            "biggest": [{"path": path_text(path), "new": size} for path, size in self.biggest],
            "asks": self.asks,
        }


def copies_ahead(site: Site) -> Copies:
    """What the next backup here copies, by one walk over it. Raises `DeploymentFailed` where a path can't be looked at."""
    leave = [site.root / path for path in database_paths(site, site.config)]  # these are dumped
    kept, included = (newest_copies(site.state.backups, kind) for kind in (KEPT, INCLUDED))
    small = Amount()
    for path in matching_paths(site.root, site.config.git.keep):
        one = amount(site.root, [path], kept, leave)
        if one.size <= KEPT_LIMIT:
            small.take(one)
    whole = amount(site.root, matching_paths(site.root, site.config.backup.include), included, leave)
    setting = "git.keep" if small.new > whole.new else "backup.include"
    whole.take(small)
    biggest = sorted(whole.parts.items(), key=lambda part: (-part[1], part[0]))
    return Copies(whole.size, whole.new, tuple(biggest[:10]), site.config.backup.ask_above, setting)
