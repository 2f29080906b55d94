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
from gitdeploy.messages import said, tr
from gitdeploy.several.summary import Health, health_of
from gitdeploy.site.live_cache import live_facts
from gitdeploy.site.site import Site
from gitdeploy.site.status import Checkout
from gitdeploy.web.shared import priority

if TYPE_CHECKING:
    from gitdeploy.deployment.outside.launch import Launched
    from gitdeploy.venvs import Usage

EDITED = 2.0  # seconds until a file that was edited by hand shows
ASKED_LATELY = 10.0  # seconds that the answer of a health check is shown to all who look at the overview
AT_ONCE = 1.0  # seconds that a look waits for it; a check that takes longer is shown by a later look
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


class _Health:
    """What the health check said lately. Whoever looks waits for a moment only, however long the check takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asking = False
        self._said: tuple[float, Health] | None = None

    def get(self, ask: Callable[[], Health]) -> Health:
        with self._changed:
            if not self._fresh() and not self._asking:
                self._asking = True
                threading.Thread(target=self._ask, args=(ask,), name="gitdeploy-health", daemon=True).start()
            self._changed.wait_for(lambda: not self._asking or self._fresh(), AT_ONCE)
            return self._said[1] if self._said is not None else Health(state="asking")

    def _fresh(self) -> bool:
        return self._said is not None and monotonic() - self._said[0] < ASKED_LATELY

    def _ask(self, ask: Callable[[], Health]) -> None:
        found = Health(state="unknown", **said(tr("The health check could not be asked.")))
        try:
            found = ask()
        finally:
            with self._changed:
                self._said, self._asking = (monotonic(), found), False
                self._changed.notify_all()


class SharedApp(App):
    """An `App` for the threads of one server."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._checkout = _Kept[Checkout](EDITED)
        self._sizes: dict[str, tuple[float, Usage]] = {}  # backup id -> when it was measured, bytes
        self._measuring = threading.Lock()
        self._units = _Kept[list[str]](RARE)
        self._health = _Health()

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

    def health_lately(self) -> Health:
        """Its health as it was a moment ago, for an overview that many look at."""
        return self._health.get(lambda: health_of(self))

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
