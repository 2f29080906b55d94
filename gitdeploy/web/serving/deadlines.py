"""How long a connection may take to say what it wants.

waitress ends a connection only after a time without a byte, so one byte now and then would hold it for as long as somebody
likes, and a thousand of them all that the server has.
"""

from __future__ import annotations

import time
from typing import Any

from waitress.channel import HTTPChannel

HEADER_WITHIN = 10.0  # seconds from the first byte of a request to the end of its header
BODY_WITHIN = 60.0  # seconds from there to the end of its body: at most 1 MB
IDLE_WITHIN = 30.0  # seconds to the first byte, of the first request and of each further one


class PunctualChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection that is closed where its request doesn't come in time. Where there are as many as the server takes, the
    one that is waited for longest makes way for a new one. `since`: since when, by time.monotonic()."""

    since = 0.0
    _header_there = False

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any) -> None:  # noqa: A002  # waitress gives it by this name
        self.since = time.monotonic()
        if len(map) >= adj.connection_limit - 1:
            _make_way(list(map.values()))
        super().__init__(server, sock, addr, adj, map=map)

    def received(self, data: bytes) -> bool:
        before, header_before = self.request, self._header_there
        took = bool(super().received(data))
        self._header_there = self.request is not None and bool(self.request.headers_finished)
        begun = before is None or self.request is not before  # or begun and complete at once
        another = begun and data.strip(b"\r\n")  # empty lines between requests gain no time
        if another or (self._header_there and not header_before):
            self.since = time.monotonic()
        return took

    def writable(self) -> bool:  # waitress asks it of each connection whenever one has something, and once a second
        if not self.waits:
            self.since = time.monotonic()
        elif time.monotonic() - self.since > self._within():
            self.will_close = True
        return bool(super().writable())

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do for it but to wait for the rest of a request."""
        return not (self.requests or self.total_outbufs_len or self.will_close or self.close_when_flushed)

    def _within(self) -> float:
        if self.request is None:
            return IDLE_WITHIN
        return BODY_WITHIN if self._header_there else HEADER_WITHIN


def _make_way(connections: list[Any]) -> None:
    """Close the one that is waited for longest; nothing where each has a request that is being answered."""
    waiting = [each for each in connections if isinstance(each, PunctualChannel) and each.waits]
    if waiting:
        min(waiting, key=lambda each: each.since).handle_close()
