"""SOCKS proxies, as git and the environment name them: the usual way out of a network without another."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hosts import ALL

from gitdeploy.errors import SourceError
from gitdeploy.sources import http as client_module
from sources.conftest import Shop, make_shop


class Socks:
    """A small SOCKS 5 server that leads every name to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.port, self.asked = port, list[str]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.silent = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(262)
            client.sendall(b"\x05\x00")
            wanted = client.recv(512)
            if wanted[3] == 3:
                self.asked.append(wanted[5 : 5 + wanted[4]].decode())
            client.sendall(b"\x05\x00\x00\x01" + struct.pack("!IH", 0, 0))
            if self.silent:
                client.recv(1 << 16)
                threading.Event().wait(30)
                return
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
                self._pump(client, server)

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def socks(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shop, Socks]]:
    """A host that only the proxy reaches."""
    shop = make_shop(template, tmp_path, ALL["github"])
    shop.configure("  type: github\n  repo: acme/shop\n  url: http://github.inside.test/api/v3\n")
    proxy = Socks(shop.host.port)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name)
        monkeypatch.delenv(name.upper())
    yield shop, proxy
    proxy.listener.close()
    shop.host.close()


@pytest.mark.parametrize("scheme", ["socks5h", "SOCKS5H", "socks"])
def test_of_the_environment(socks: tuple[Shop, Socks], scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, proxy = socks
    monkeypatch.setenv("all_proxy", f"{scheme}://{proxy.address}/")
    assert shop.check().latest_tag == "v1.2.10"
    assert set(proxy.asked) == {"github.inside.test"}, "the name is looked up behind the proxy"


def test_of_gits_own_settings(socks: tuple[Shop, Socks]) -> None:
    shop, proxy = socks
    shop.sample.git("config", "http.proxy", f"socks5h://{proxy.address}")
    assert shop.check().latest_tag == "v1.2.10"
    assert proxy.asked


def test_a_proxy_that_is_not_there_is_a_sentence(socks: tuple[Shop, Socks], monkeypatch: pytest.MonkeyPatch) -> None:
    shop, proxy = socks
    proxy.listener.close()
    monkeypatch.setenv("all_proxy", "socks5h://127.0.0.1:9")
    monkeypatch.setattr(client_module.Client, "_pause", staticmethod(lambda seconds: None))
    with pytest.raises(SourceError) as caught:
        shop.check()
    assert "0x" not in caught.value.message
    assert "refused" in caught.value.message or "refuses" in caught.value.message


def test_an_answer_that_never_ends_is_cut_short_behind_a_proxy_too(
    socks: tuple[Shop, Socks], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, proxy = socks
    monkeypatch.setattr(client_module, "ONE_TIME", 1.0)
    monkeypatch.setattr(client_module, "SOCKET_TIME", 5.0)
    shop.host.fault = "drip"
    monkeypatch.setenv("all_proxy", f"socks5h://{proxy.address}")
    with pytest.raises(SourceError, match="gave no whole answer"):
        shop.check()
