"""The line breaks in the middle, or memory runs out: of a fetch, of an install."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from e2e.conftest import SETTINGS, Shop, tree
from support.sample import differences
from uv import find_uv_bin

pytestmark = pytest.mark.xdist_group(__name__)


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
            with (
                ours,
                subprocess.Popen(
                    argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
                ) as daemon,
            ):
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


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_the_kernel_kills_the_installer_since_memory_ran_out(shop: Shop, installer: str) -> None:
    settings = f"{SETTINGS}venv: {{installer: {installer}}}\n"
    shop.release("v2.2.0", tree("2.2.0", "2.0", **{"deploy.yaml": settings}))
    if installer == "pip":
        shop.real_wheels("pip")
        words = ["pip", "install", "-q", "--no-config", "--no-index", "--find-links", str(shop.wheels)]
        subprocess.run([find_uv_bin(), *words, "-p", "venv/bin/python", "pip"], cwd=shop.app, check=True)
    before = shop.state()
    with socket.create_server(("127.0.0.1", 0)) as index:  # that never answers
        index.settimeout(60)
        place = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/"}
        place |= {"PIP_FIND_LINKS": "", "UV_OFFLINE": "0"}
        running = shop.start("upgrade", "v2.2.0", env=place)
        with index.accept()[0]:
            (child,) = _installers(running.pid)
            os.kill(child, signal.SIGKILL)
            said = running.communicate(timeout=60)[0].decode()
    assert running.returncode == 1, said
    assert f"{installer} was killed (SIGKILL)" in said
    assert "ran out of memory" in said
    assert "v1.0.0 as before; nothing live was touched" in said
    assert differences(before, shop.state()) == []
    shop.gitdeploy("upgrade", "v2.2.0")
    assert "greeting==2.0" in shop.packages()


def _installers(parent: int) -> list[int]:
    """Children of a process that install."""
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                found += [int(entry)] if b"install" in words else []
    return found


def test_the_kernel_kills_a_compiler_since_memory_ran_out(shop: Shop) -> None:
    """A package that is built from its source: the installer lives on and tells it in its own words."""
    kills = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project += '[project]\nname = "library"\nversion = "1.0"\n'
    more = {"library/pyproject.toml": project, "library/backend.py": kills, "requirements.txt": "./library\n"}
    shop.release("v2.3.0", {**tree("2.3.0", "2.0"), **more})
    before = shop.state()
    done = shop.gitdeploy("upgrade", "v2.3.0", code=1)
    assert "was killed (SIGKILL)" in done.err
    assert "ran out of memory" in done.err
    assert differences(before, shop.state()) == []
