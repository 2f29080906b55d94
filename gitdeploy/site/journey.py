"""An upgrade through releases that may not be skipped: where it leads and how far it has come.

Written down before its first deployment begins and forgotten when its last has succeeded, or when something else went live.
What is left of the way is worked out anew from what is live, so that nothing here can be wrong after a kill.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gitdeploy.messages import heard, said, tr
from gitdeploy.state import Database
from gitdeploy.state.sqlite import now
from gitdeploy.text import clean, listing, shell_word

_KEY = "through"  # in the database


class Journey(Struct, frozen=True):
    """`tags`: the releases on the way, where it leads the last; `by` whom and `since` when (ISO 8601); `stopped`: why it
    went no further, as a sentence, empty while it goes on or where it was killed."""

    tags: tuple[str, ...]
    by: str
    since: str
    stopped: str = ""

    @property
    def target(self) -> str:
        return self.tags[-1]

    def left(self, live: str | None) -> tuple[str, ...]:
        """The releases that are still to come, LIVE being the tag of what is live."""
        return self.tags[self.tags.index(live) + 1 :] if live in self.tags else self.tags

    @property
    def way(self) -> str:
        """The command that goes on."""
        return f"gitdeploy upgrade --through {shell_word(self.target)}"

    def sentence(self, live: str | None) -> str:
        """`On the way to v3.0 through v2.5, begun by alice. Stopped: ...`."""
        left = [clean(tag) for tag in self.left(live)[:-1]]
        through = tr(" through {tags}", tags=listing(left, 5)) if left else ""
        stopped = tr(" It stopped: {why}", why=self.stopped) if self.stopped else ""
        return tr(
            "On the way to {target}{through}, begun by {by}.{stopped}",
            target=clean(self.target),
            through=through,
            by=clean(self.by),
            stopped=stopped,
        )

    def as_dict(self, live: str | None) -> dict[str, Any]:
        """The shape of `through` in `status --json`."""
        return {
            "target": self.target,
            "left": list(self.left(live)),
            "by": self.by,
            "since": self.since,
            **said(self.stopped, "stopped"),
            "command": self.way,
        }


def read_journey(database: Database | None) -> Journey | None:
    """The one that has not come to its end; None where there is none."""
    text = database.meta_get(_KEY) if database is not None else None
    if text is None:
        return None
    found = json.loads(text)
    return Journey(tuple(found["tags"]), found["by"], found["since"], heard(found, "stopped"))


def begin_journey(database: Database, tags: Sequence[str], by: str) -> None:
    """It is about to begin, or goes on."""
    _write(database, Journey(tuple(tags), by, now()))


def stop_journey(database: Database, why: str) -> None:
    """It goes no further for now."""
    found = read_journey(database)
    if found is not None:
        _write(database, Journey(found.tags, found.by, found.since, why))


def went_live(database: Database, action: str, tag: str | None) -> None:
    """TAG is live by ACTION: where that is no further step of the way, or its last, the journey is over."""
    found = read_journey(database)
    if found is not None and (action != "upgrade" or tag not in found.tags[:-1]):
        database.meta_put(_KEY, None)


def _write(database: Database, journey: Journey) -> None:
    stored = {"tags": journey.tags, "by": journey.by, "since": journey.since, **said(journey.stopped, "stopped")}
    database.meta_put(_KEY, json.dumps(stored))
