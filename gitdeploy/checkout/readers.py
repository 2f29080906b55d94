"""The gits that are asked about the objects of one repository, each started when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from gitdeploy.system.conversation import Conversation

Way = Literal["--batch-check", "--batch"]
"""What `git cat-file` answers a name with: the object's id, kind and size; the same and its content."""


class Readers:
    """Threads may share it: each question has its own turn."""

    def __init__(self) -> None:
        self._kept: dict[Way, Conversation] = {}
        self._lock = threading.Lock()

    def reader(self, way: Way, start: Callable[[], Conversation]) -> Conversation:
        """The one for WAY; START makes it, also where the one before has ended (at an object that it couldn't read)."""
        with self._lock:
            kept = self._kept.get(way)
            if kept is None or kept.over:
                if kept is not None:
                    kept.close()
                kept = self._kept[way] = start()
            return kept

    def close(self) -> None:
        with self._lock:
            for kept in self._kept.values():
                kept.close()
            self._kept.clear()
