"""The app as many look at it at once: what takes a child process or a walk through folders is read once for all who ask.

It is read again as soon as something that it depends on changed, and after a while in any case. What a deployment is at, who
holds the lock, backups, labels and the log are never kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gitdeploy.app import App
from gitdeploy.backups.store import Backup
from gitdeploy.site.live_cache import live_facts
from gitdeploy.site.site import Site
from gitdeploy.site.status import Checkout
from gitdeploy.web.shared import priority

if TYPE_CHECKING:
    from gitdeploy.deployment.outside.launch import Launched
    from gitdeploy.venvs import Usage

EDITED = 2.0  # seconds until a file that was edited by hand shows
RARE = 30.0  # seconds for what changes rarely: the sizes of backups, the units that run from the checkout

Value = TypeVar("Value")


class _Kept(Generic[Value]):
    """One value, read by one thread while the others wait for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._read: tuple[Any, float, Value] | None = None

    def get(self, facts: object, read: Callable[[], Value]) -> Value:
        """What READ returned not long ago, where FACTS were the same."""
        with self._lock:
            if self._read is not None and self._read[0] == facts and monotonic() - self._read[1] < self._seconds:
                return self._read[2]
            begun, value = monotonic(), read()
            self._read = (facts, begun, value)
            return value


class SharedApp(App):
    """An `App` for the threads of one server."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._checkout = _Kept[Checkout](EDITED)
        self._sizes: dict[str, tuple[float, Usage]] = {}  # backup id -> when it was measured, bytes
        self._measuring = threading.Lock()
        self._units = _Kept[list[str]](RARE)

    def checkout(self) -> Checkout:
        venv = self.site.venv_link
        newest = [(row.id, row.status) for row in self.deployments(1)]
        places = [self.site.repository.git_dir / "index", *([venv] if venv is not None else [])]
        try:
            facts = (live_facts(self.site), newest, [_stamp(place) for place in places])
        except OSError:  # no HEAD: reading says what is wrong
            return super().checkout()
        return self._checkout.get(facts, super().checkout)

    def backup_sizes(self, found: Sequence[Backup]) -> dict[str, Usage]:
        with self._measuring:
            if self._sizes.keys() - {backup.id for backup in found}:
                self._sizes = {}  # what one that is gone shared with another is that one's alone now
            old = monotonic() - RARE
            self._sizes = {backup.id: self._sizes[backup.id] for backup in found if backup.id in self._sizes}
            due = [backup for backup in found if backup.id not in self._sizes or self._sizes[backup.id][0] < old]
            for name, size in super().backup_sizes(due).items():
                self._sizes[name] = monotonic(), size
            return {name: size for name, (_, size) in self._sizes.items()}

    def units_found(self) -> list[str]:
        return self._units.get(None, super().units_found)

    def launch(self, words: Sequence[str], *, performer: str, request: str) -> Launched:
        begin = super().launch
        return priority.as_usual(lambda: begin(words, performer=performer, request=request))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
