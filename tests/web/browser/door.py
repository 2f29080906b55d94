"""A door from this machine's loopback to a port inside a machine that has a network of its own."""

from __future__ import annotations

import ctypes
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

_NETWORK = 0x40000000  # CLONE_NEWNET of setns(2)


class Door:
    """Passes on what comes to `address` to PORT on the loopback of the process PID."""

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        # A socket belongs to the network that its thread was in when it was made: only this thread goes there.
        self._inside = ThreadPoolExecutor(1)
        self._inside.submit(self._enter, pid).result()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self._inside.shutdown()

    @staticmethod
    def _enter(pid: int) -> None:
        with open(f"/proc/{pid}/ns/net", "rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def _serve(self) -> None:
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return
            try:
                inner = self._inside.submit(socket.create_connection, ("127.0.0.1", self.port), 10).result()
            except (OSError, RuntimeError):
                outer.close()  # nothing listens there just now
                continue
            inner.settimeout(None)
            threading.Thread(target=self._join, args=(outer, inner), daemon=True).start()

    @staticmethod
    def _join(outer: socket.socket, inner: socket.socket) -> None:
        """Both ways, until one side ends."""
        other = {outer: inner, inner: outer}
        with outer, inner, suppress(OSError):
            while True:
                for one in select.select(list(other), [], [])[0]:
                    if not (data := one.recv(65536)):
                        return
                    other[one].sendall(data)
