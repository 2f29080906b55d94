"""Connections that can be cut short from outside: a server that drips a byte a second never meets a socket's own limit."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.contrib import socks

from gitdeploy.system import interruption

_current = threading.local()


class Watch:
    """Ends every connection that this thread opens inside, when the time is over or a signal came."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired = False
        self._twins: list[socket.socket] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="gitdeploy-deadline", daemon=True)

    def add(self, connection: socket.socket) -> None:
        if self.expired:
            connection.close()
            raise TimeoutError("no time is left")
        # TLS takes the descriptor away from the socket object that it wraps: hold on to a second one.
        self._twins.append(connection.dup())

    def __enter__(self) -> Watch:
        _current.watch = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.watch = None
        self._done.set()
        self._thread.join()
        for twin in self._twins:
            twin.close()

    def _wait(self) -> None:
        while not self._done.wait(0.1):
            if time.monotonic() >= self.deadline or interruption.received() is not None:
                self.expired = True
                for twin in list(self._twins):
                    with suppress(OSError):
                        twin.shutdown(socket.SHUT_RDWR)


def _told(connection: socket.socket) -> socket.socket:
    watch: Watch | None = getattr(_current, "watch", None)
    if watch is not None:
        watch.add(connection)
    return connection


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _told(super()._new_conn())


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _told(super()._new_conn())


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class WatchedAdapter(HTTPAdapter):
    """requests' transport with connections that a `Watch` knows; makes no retries of its own."""

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *arguments: Any, **settings: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **settings)
        if type(manager).__name__ == "ProxyManager":
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        else:
            manager.pool_classes_by_scheme = _socks_pools()
        return manager


def _socks_pools() -> dict[str, Any]:
    """The same for a SOCKS proxy, whose connections are of classes of their own (and need a package of their own)."""

    class Http(socks.SOCKSConnection):
        def _new_conn(self) -> socket.socket:
            return _told(super()._new_conn())

    class Https(socks.SOCKSHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _told(super()._new_conn())

    class HttpPool(socks.SOCKSHTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(socks.SOCKSHTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}
