"""How far a fetch has come, by what git says of it (`--progress`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitdeploy.messages import tr
from gitdeploy.system import progress

_COUNTED = re.compile(
    r"(Receiving objects|Resolving deltas): +\d+% \((\d+)/(\d+)\)(?:, ([\d.]+ \w+)(?: \| ([\d.]+ \w+/s))?)?"
)


@contextmanager
def fetching(what: str) -> Iterator[Callable[[str], bool]]:
    """While the block runs, WHAT is fetched: yields a function for each line of git's, which says whether that told how far
    it is."""
    with progress.of(what, "objects") as work:

        def hear(line: str) -> bool:
            found = _COUNTED.match(line)
            if found is None:
                return False
            phase, done, total, size, rate = found.groups()
            if phase == "Resolving deltas":
                name = tr("{what}, deltas resolved", what=what)
            else:
                name = tr("{what} ({size})", what=what, size=", ".join(filter(None, (size, rate)))) if size else what
            work.at(int(done), int(total), name)
            return True

        yield hear
