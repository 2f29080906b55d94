"""What the stand-ins share: an HTTP server with a request log, ETags, access control, smart-HTTP git and a fault dial."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from support.waiting import wait_until

BACKEND = "/usr/lib/git-core/git-http-backend"


@dataclass
class Announced:
    """A release that was written for a tag."""

    name: str = ""
    body: str = ""
    draft: bool = False
    prerelease: bool = False
    published_at: str = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Tag:
    """A tag of the repository: `object_id` is the tag object's where it is annotated, else the commit's."""

    name: str
    object_id: str
    commit: str
    annotated: bool
    message: str
    date: str


@dataclass(frozen=True)
class Request:
    """What was asked, and how it was answered."""

    method: str
    path: str  # decoded, without the query
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # by lower-case names
    status: int

    @property
    def conditional(self) -> bool:
        return "if-none-match" in self.headers


@dataclass
class Reply:
    """An answer of the API; `data` is sent as JSON."""

    status: int = 200
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class StandIn:
    """One host with one repository. `requests` are those of the API, `git_requests` those of git."""

    kind: ClassVar[str]
    repo: ClassVar[str] = "acme/shop"
    repository_of_web: ClassVar[str] = ""

    def __init__(self, folder: Path, *, token: str | None = None) -> None:
        self.folder = folder  # the repository, with a work tree
        self.token = token  # None: the repository is public
        self.git_login: tuple[str | None, str] | None = (None, token) if token else None
        self.refused_login = ""  # a header that even a public repository answers with 401
        self.releases: dict[str, Announced] = {}
        self.requests: list[Request] = []
        self.answering: set[int] = set()  # threads that answer a request just now
        self.git_requests: list[Request] = []
        self.fault = ""
        self.fault_times = 1_000_000
        self.git_fault = ""
        self.files: dict[str, str] = {}
        self.without_etags = False
        self._server = _Server(("127.0.0.1", 0), self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()

    # ---- what a user configures ----

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def git_url(self) -> str:
        return f"{self.origin}/{self.repo}.git"

    @property
    def settings(self) -> str:
        """The lines of `source:` in deploy.yaml."""
        raise NotImplementedError

    @property
    def git_settings(self) -> str:
        """The lines of `git:` that this host needs for a private repository."""
        return ""

    # ---- the API ----

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The API's answer to a request for PATH, decoded segment by segment with `|` for a slash inside of one."""
        raise NotImplementedError

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        """The token that the request carries, as this host wants it."""
        raise NotImplementedError

    def unauthorized(self, given: str | None) -> Reply:
        """The answer without the right to look: hosts hide what they don't show."""
        return Reply(401 if given else 404, {"message": "Unauthorized" if given else "Not Found"})

    def stamped(self, reply: Reply, headers: Mapping[str, str], *, unchanged: bool) -> None:
        """Add the host's own headers (limits)."""

    # ---- the repository ----

    def tags(self) -> list[Tag]:
        """All tags, newest first by creation."""
        lines = self._git(
            "for-each-ref", "--sort=-refname", "--sort=-creatordate",
            "--format=%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(creatordate:iso-strict)%00%(contents)%1e",
            "refs/tags/",
        )  # fmt: skip
        found = []
        for line in lines.split("\x1e"):
            if not line.strip():
                continue
            name, oid, peeled, date, message = line.lstrip("\n").split("\0")
            text = message.strip() if peeled else ""
            found.append(Tag(name, oid, peeled or oid, bool(peeled), text, date))
        return found

    def file_at(self, ref: str, path: str) -> str | None:
        done = subprocess.run(["git", "show", f"{ref}:{path}"], cwd=self.folder, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def _git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.folder, capture_output=True, check=True)
        return done.stdout.decode("utf-8", "surrogateescape")

    # ---- counting ----

    def forget(self) -> None:
        """What was asked so far, with what is still being answered: a request is counted once its answer is out."""
        wait_until(lambda: not self.answering, seconds=10)
        self.requests.clear()
        self.git_requests.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], host: StandIn) -> None:
        self.host = host
        self.closing = threading.Event()
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        return

    def do_GET(self) -> None:
        answering = self.server.host.answering
        answering.add(threading.get_ident())
        try:
            self._counted()
        finally:
            answering.discard(threading.get_ident())

    def _counted(self) -> None:
        host = self.server.host
        parts = urlsplit(self.path)
        if re.search(r"\.git/(info|HEAD|objects|git-)", parts.path):
            self._git(parts.path, parts.query)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if host.fault and host.fault_times > 0:
            host.fault_times -= 1
            self._log(host.requests, query, headers, 0)
            with suppress(OSError):
                Fault(self, host.fault).play()
            return
        path = "/".join(unquote(part).replace("/", "|") for part in parts.path.split("/"))
        given = host.token_of(headers)
        if host.token is not None and given != host.token:
            reply = host.unauthorized(given)
        else:
            reply = host.answer(path, query, headers)
        body = json.dumps(reply.data).encode()
        etag = f'W/"{hashlib.sha256(body + (given or "").encode()).hexdigest()[:20]}"'
        unchanged = reply.status == 200 and not host.without_etags and headers.get("if-none-match") == etag
        host.stamped(reply, headers, unchanged=unchanged)
        status = 304 if unchanged else reply.status
        self._log(host.requests, query, headers, status)
        self.send_response(status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status == 200 and not host.without_etags:
            self.send_header("ETag", etag)
        if unchanged:
            self.end_headers()
            return
        if "gzip" in headers.get("accept-encoding", "") and len(body) > 300:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    do_POST = do_GET

    def _log(self, where: list[Request], query: Mapping[str, str], headers: Mapping[str, str], status: int) -> None:
        path = urlsplit(self.path).path
        where.append(Request(self.command, unquote(path), path, query, headers, status))

    # ---- git ----

    def _git(self, path: str, query: str) -> None:
        host = self.server.host
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        if host.git_fault:
            self._log(host.git_requests, {}, headers, 0)
            with suppress(OSError):
                Fault(self, host.git_fault).play()
            return
        given = headers.get("authorization", "")
        refused = bool(given) and given.lower() == host.refused_login.lower().removeprefix("authorization: ")
        if refused or (host.git_login is not None and not self._may(host.git_login, given)):
            self._log(host.git_requests, {}, headers, 401)
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        inside = path.partition(".git/")[2]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(host.folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{host.folder.name}/.git/{inside}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run([BACKEND], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n") if head else []
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        status = int(fields.pop("Status", "200").split(" ")[0])
        self._log(host.git_requests, {}, headers, status)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)

    def _may(self, login: tuple[str | None, str], given: str) -> bool:
        if not given.startswith("Basic "):
            return False
        user, _, password = base64.b64decode(given[6:]).decode().partition(":")
        return password == login[1] and login[0] in (None, user)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(headers.get("content-length") or 0))


_BOMB = gzip.compress(b" " * 50_000_000)
_TRIPLE_BOMB = gzip.compress(gzip.compress(_BOMB))


class Fault:
    """The fault dial: one way of going wrong, played on one request."""

    def __init__(self, handler: _Handler, name: str) -> None:
        self.handler, self.name = handler, name
        self.closing = handler.server.closing

    def play(self) -> None:
        name, _, value = self.name.partition(" ")
        getattr(self, "_" + name)(value)
        self.handler.close_connection = True

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self._head(status, **{"Content_Type": "application/json", "Content_Length": str(len(body)), **headers})
        self.handler.wfile.write(body)

    def _head(self, status: int, **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            if value:
                self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()

    def _pieces(self, piece: bytes, every: float, most: int = 1_000_000) -> Iterator[bytes]:
        for _ in range(most):
            if self.closing.wait(every):
                return
            yield piece

    def _silent(self, _: str) -> None:
        self.closing.wait(60)

    def _drip(self, _: str) -> None:
        self._head(200, Content_Type="application/json", Content_Length="100000")
        for piece in self._pieces(b" ", 0.05):
            self.handler.wfile.write(piece)

    def _drip_head(self, _: str) -> None:
        self.handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for piece in self._pieces(b"x", 0.05):
            self.handler.wfile.write(piece)
            self.handler.wfile.flush()

    def _cut(self, _: str) -> None:
        self._head(200, Content_Type="application/json", Content_Length="5000")
        self.handler.wfile.write(b'[{"name": "v9.9.9"')

    def _cut_unsized(self, _: str) -> None:
        self._head(200, Content_Type="application/json")
        self.handler.wfile.write(b'[{"name": "v9.9.9"')

    def _drop(self, _: str) -> None:
        self.handler.connection.close()

    def _garbage(self, _: str) -> None:
        self._send(200, bytes(range(128, 256)) * 20)

    def _status(self, value: str) -> None:
        status, _, wait = value.partition(" ")
        self._send(int(status), b'{"message": "Out of order"}', **({"Retry_After": wait} if wait else {}))

    def _html(self, _: str) -> None:
        self._send(200, b"<!doctype html><title>Sign in</title>", Content_Type="text/html; charset=utf-8")

    def _html_as_json(self, _: str) -> None:
        self._send(200, b"\n<html><title>Sign in</title></html>")

    def _login(self, value: str) -> None:
        self._send(302, b"", Location=value or "https://account.example.net/login?next=/api", Content_Type="text/html")

    def _loop(self, _: str) -> None:
        self._send(302, b"", Location=self.handler.path)

    def _json(self, value: str) -> None:
        self._send(200, value.encode())

    def _huge(self, _: str) -> None:
        self._head(200, Content_Type="application/json")
        for piece in self._pieces(b"[" + b" " * 65535, 0):
            self.handler.wfile.write(piece)

    def _endless(self, _: str) -> None:
        self._head(200, Content_Type="application/json")
        self.handler.wfile.write(b"[")
        for piece in self._pieces(b'"x",' * 2000, 0.01):
            self.handler.wfile.write(piece)

    def _bomb(self, _: str) -> None:
        self._send(200, _BOMB, Content_Encoding="gzip")

    def _triple_bomb(self, _: str) -> None:
        self._send(200, _TRIPLE_BOMB, Content_Encoding="gzip, gzip, gzip")
