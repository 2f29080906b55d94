"""Connections that say nothing, or a byte now and then: they end, and make way for others."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.waiting import free_port
from web.conftest import Shop

HEADER = b"GET /upgrade/healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /upgrade/hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n"

# Serves the page with times a tenth as long, and room for twelve connections (two of waitress's own among them).
SERVER = """
import sys
from pathlib import Path
from gitdeploy.web.serving import deadlines, server
deadlines.HEADER_WITHIN, deadlines.BODY_WITHIN, deadlines.IDLE_WITHIN = 1.0, 2.0, 3.0
server.CONNECTIONS = 12
app = server.make_app(Path(sys.argv[1]), auto_check=False)
server.serve(app, sys.argv[2], int(sys.argv[3]), lambda: print("ready", flush=True))
"""


@contextmanager
def served(shop: Shop, host: str = "127.0.0.1") -> Iterator[int]:
    port = free_port()
    words = [sys.executable, "-c", SERVER, str(shop.app), host, str(port)]
    process = subprocess.Popen(words, env=shop.environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"ready"
        yield port
    finally:
        process.kill()
        process.communicate()


def opened(port: int, data: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.sendall(data)
    return made


def answered(connection: socket.socket) -> bool:
    connection.sendall(HEADER + b"\r\n")
    return whole(connection)


def whole(connection: socket.socket) -> bool:
    said = b""
    while not said.endswith(b"true}\n") and (more := connection.recv(4096)):
        said += more
    return said.startswith(b"HTTP/1.1 200")


def drip(connection: socket.socket, drop: bytes, within: float) -> float:
    """Seconds that a connection lived which sends DROP every fifth of a second; more than WITHIN where it outlived that."""
    begun = time.monotonic()
    with connection:
        connection.settimeout(0.2)
        while (lived := time.monotonic() - begun) < within:
            try:
                connection.sendall(drop)
                if connection.recv(4096) == b"":
                    return lived
            except TimeoutError:
                continue
            except OSError:
                return lived
    return within + 1


# (what is sent first, then again and again; the seconds after which it is ended)
DRIPS = {
    "nothing": (b"", b"", 3.0),
    "empty lines": (b"", b"\r\n", 1.0),
    "a header without end": (HEADER + b"X-a: ", b"a", 1.0),
    "headers without end": (HEADER, b"X-a: b\r\n", 1.0),
    "a first line without end": (b"G", b"E", 1.0),
    "a body without end": (POST + b"\r\n", b" ", 2.0),
    "empty lines before a header without end": (b"\r\n\r\nG", b"E", 1.0),
}


@pytest.fixture(scope="module")
def port(shop_once: Shop) -> Iterator[int]:
    with served(shop_once) as found:
        yield found


@pytest.mark.parametrize(("first", "drop", "within"), DRIPS.values(), ids=DRIPS)
def test_a_request_that_does_not_come_ends(port: int, first: bytes, drop: bytes, within: float) -> None:
    lived = drip(opened(port, first), drop, within + 5)
    assert within - 0.3 <= lived <= within + 4, lived


def test_connections_that_say_nothing_make_way(port: int) -> None:
    begun = time.monotonic()
    silent = [opened(port) for _ in range(40)]
    with opened(port) as other:
        assert answered(other), "among forty that say nothing"
        assert time.monotonic() - begun < 2.9, "before any of them was late"
    for each in silent:
        each.close()


def test_a_connection_is_kept_for_further_requests(port: int) -> None:
    with opened(port) as connection:
        for pause in (0.0, 0.2, 1.5, 2.0):  # longer than a header may take, shorter than it may be idle
            time.sleep(pause)
            assert answered(connection), pause
        for piece in (HEADER[:20], HEADER[20:] + b"\r\n"):
            connection.sendall(piece)
            time.sleep(0.5)
        assert whole(connection)


def test_at_each_address_of_a_name(shop: Shop) -> None:
    with served(shop, "localhost") as found:
        assert drip(opened(found, HEADER), b"a", 6) < 5
        with opened(found) as other:
            assert answered(other)
