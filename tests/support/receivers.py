"""Somebody who is told: a small SMTP server and a small HTTP server on loopback, which keep what they get."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`got` are the messages (JSON bodies, or mails as text); `status` is what HTTP is answered; `wait` seconds before."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.port = 0
        self.status = 200
        self.wait = 0.0
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/told"

    @property
    def mail_url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=gitdeploy@example.org&to=ops@example.org&mode=insecure"


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.closing.wait(receiver.wait)
            receiver.got.append(json.loads(body))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextmanager
def smtp_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def answer(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.answer("220 here")
            while line := self.rfile.readline():
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self.answer("354 go on")
                    mail = b""
                    while not mail.endswith(b"\r\n.\r\n"):
                        mail += self.rfile.readline()
                    receiver.got.append(mail.decode())
                self.answer("221 bye" if word == b"QUIT" else "250 ok")
                if word == b"QUIT":
                    return

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextmanager
def _serving(server: socketserver.TCPServer, receiver: Receiver) -> Iterator[None]:
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
