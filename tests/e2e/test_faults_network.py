"""The line breaks in the middle: of a fetch, of an install."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from e2e.conftest import Shop, tree
from support.sample import differences

pytestmark = pytest.mark.xdist_group("faults")


@contextmanager
def git_server(shop: Shop, cut_after: int) -> Iterator[str]:
    """The remote by git's own protocol, its answers cut off after so many bytes; the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection:
                        _answer(connection)

        def _answer(connection: socket.socket) -> None:
            connection.settimeout(20)
            ours, theirs = socket.socketpair()
            argv = ["git", "daemon", "--inetd", "--export-all", f"--base-path={shop.folder}"]
            with ours, subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as daemon:
                theirs.close()
                up = threading.Thread(target=_pump, args=(connection, ours, 1 << 30))
                up.start()
                _pump(ours, connection, cut_after)
                _pump_ends(connection)
                up.join()
                daemon.kill()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"git://127.0.0.1:{server.getsockname()[1]}/remote"
        finally:
            stop.set()
            thread.join()


def _pump(origin: socket.socket, place: socket.socket, most: int) -> None:
    with suppress(OSError):
        while most > 0 and (data := origin.recv(min(4096, most))):
            place.sendall(data)
            most -= len(data)
    _pump_ends(place)


def _pump_ends(place: socket.socket) -> None:
    with suppress(OSError):
        place.shutdown(socket.SHUT_RDWR)


def test_the_line_breaks_in_the_middle_of_a_fetch(shop: Shop) -> None:
    noise = os.urandom(200_000).hex()
    shop.release("v8.0.0", tree("8.0.0", "1.0", noise=noise))
    before = shop.state()
    with git_server(shop, 60_000) as url:
        shop.git("remote", "set-url", "origin", url)
        done = shop.gitdeploy("upgrade", "v8.0.0", code=6)
    assert "127.0.0.1" in done.err
    assert differences(before, shop.state()) == []
    with git_server(shop, 1 << 30) as url:
        shop.git("remote", "set-url", "origin", url)
        shop.gitdeploy("upgrade", "v8.0.0")
    assert (shop.app / "noise").read_text() == noise


def test_the_line_breaks_in_the_middle_of_an_install(shop: Shop) -> None:
    wheel = next(shop.wheels.glob("greeting-2.0-*.whl"))

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            whole = wheel.read_bytes()
            page = f'<a href="{wheel.name}">{wheel.name}</a>'.encode()
            body = whole if self.path.endswith(".whl") else page
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if body is page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if body is whole else body)

        def log_message(self, *words: object) -> None:
            pass

    before = shop.state()
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            place = {"PIP_FIND_LINKS": f"http://127.0.0.1:{server.server_port}/"}
            done = shop.gitdeploy("upgrade", "v2.0.0", code=1, env=place)
        finally:
            server.shutdown()
            thread.join()
    assert "greeting" in done.err
    assert differences(before, shop.state()) == []
    shop.gitdeploy("upgrade", "v2.0.0")
    assert "greeting==2.0" in shop.packages()
