"""The time of day in which automatic upgrades may run."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Any

from msgspec import Struct

from gitdeploy.config.document import Node, Scalar
from gitdeploy.config.kinds import Json, Wrong, wrong
from gitdeploy.messages import tr
from gitdeploy.text import clean

_FORM = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])(?: ([A-Za-z][A-Za-z0-9_+/-]{1,60}))?"
)


class Window(Struct, frozen=True):
    """From `start` to `end` (minutes since midnight, `end` not included; it may be the next day's) in `zone` (an IANA
    name; None: the machine's)."""

    start: int
    end: int
    zone: str | None = None

    def contains(self, moment: datetime) -> bool:
        """Whether MOMENT (with a time zone) lies in the window."""
        local = self._local(moment)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def opens(self, moment: datetime) -> datetime:
        """When the window is open next: MOMENT itself, or the first start after it."""
        if self.contains(moment):
            return moment
        local = self._local(moment)
        start = local.replace(hour=self.start // 60, minute=self.start % 60, second=0, microsecond=0)
        return start if start > local else start + timedelta(days=1)

    def opened(self, moment: datetime) -> datetime:
        """When the window that MOMENT lies in opened."""
        local = self._local(moment)
        start = local.replace(hour=self.start // 60, minute=self.start % 60, second=0, microsecond=0)
        return start if start <= local else start - timedelta(days=1)

    def _local(self, moment: datetime) -> datetime:
        if self.zone is None:
            return moment.astimezone()
        return moment.astimezone(_zone(self.zone))

    def __str__(self) -> str:
        clock = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))
        return f"{clock} {self.zone}" if self.zone else clock


class WindowKind:
    """HH:MM-HH:MM, across midnight where the end is the smaller, with an optional time zone behind a space."""

    expected = tr("a time of day such as 02:00-05:00 or 22:00-04:00 Asia/Shanghai")

    def read(self, node: Node) -> Window:
        found = _FORM.fullmatch(node.text) if isinstance(node, Scalar) else None
        if not found:
            raise wrong(node, self.expected)
        start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if start == end:
            raise wrong(node, self.expected, tr(", which is not a time at all"))
        if found[5] and not _zone_known(found[5]):
            raise Wrong.at(
                node, tr("names the time zone `{found}`, which this machine does not know.", found=clean(found[5]))
            )
        return Window(start, end, found[5])

    def schema(self) -> Json:
        return {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]( [A-Za-z0-9_+/-]+)?$"}

    def show(self, value: Any) -> Any:
        return None if value is None else str(value)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # only for a window that names one

    return ZoneInfo(name)


def _zone_known(name: str) -> bool:
    try:
        _zone(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder's name ("Asia") an OSError
        return False
    except KeyError:
        return False
    return True
