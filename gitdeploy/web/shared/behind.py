"""One page before the pages of several apps: how a request goes on to the process of its app, and what that believes.

Each app has a process of its own, of its owner's user. It listens on a Unix socket in a folder that only the page's user may
enter, so whoever asks there is the page itself, which has checked who asks, from where and for what (`serving.routes`). What
it found goes along in a header of its own; the browser's credentials do not.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.web.access.access import COOKIE, Access
from gitdeploy.web.errors import Busy, WebError

HEADER = "Gitdeploy-Caller"
CALLER = "gitdeploy.caller"  # in the environ of the app's process
SOCKET = "{name}.sock"
MOST = 60  # requests at once of one app, event streams too
_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade".split()
)
_NOT_PASSED_ON = _HOP | frozenset(
    ("host", "authorization", "cookie", "origin", "forwarded", "content-length", "x-csrf-token", HEADER.lower())
)


class AppAway(WebError):
    """The process of an app does not answer."""

    kind = "away"
    status = 503


class Caller(Struct, frozen=True):
    """What the page knows of a request: who asks (None where nobody needs to be known), from which address, how the browser
    reached it, and the prefix that a proxy before it has."""

    access: Access | None
    address: str
    scheme: str
    prefix: str

    def written(self) -> str:
        access = self.access
        said = {
            "access": [access.name, access.read_only, access.how, access.csrf] if access is not None else None,
            "address": self.address,
            "scheme": self.scheme,
            "prefix": self.prefix,
        }
        return base64.b64encode(json.dumps(said).encode()).decode()

    @classmethod
    def read(cls, text: str) -> Caller | None:
        """None for what is none."""
        with suppress(ValueError, KeyError, TypeError, binascii.Error):
            said = json.loads(base64.b64decode(text, validate=True))
            access = None
            if said["access"] is not None:
                name, read_only, how, csrf = said["access"]
                # `app`, not `session`: the page has looked at the session, and at what a change of one must carry.
                access = Access(name, read_only is not False, "token" if how == "token" else "app", csrf)
            return cls(access, said["address"], said["scheme"], said["prefix"])
        return None


class _Punctual(socket.socket):
    """A socket from which nothing more comes after `end` (time.monotonic()), however it trickles."""

    end: float = math.inf

    def recv_into(self, *place: Any) -> int:
        if self.end < math.inf:
            if (left := self.end - time.monotonic()) <= 0:
                raise TimeoutError("it answers for too long")
            self.settimeout(left)
        return super().recv_into(*place)


class _Connection(http.client.HTTPConnection):
    """HTTP to a Unix socket. END: when all of the answer must be there."""

    def __init__(self, path: Path, timeout: float, end: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path, self._end = path, end

    def connect(self) -> None:
        self.sock = _Punctual(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.end = self._end
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Passed(Struct):
    """An answer of an app's process, whose body comes as it comes."""

    status: int
    answer: http.client.HTTPResponse
    connection: http.client.HTTPConnection
    leave: Callable[[], None] = lambda: None
    left: bool = False

    def said(self, name: str) -> str:
        """Its header NAME, the first one."""
        return (self.answer.headers.get_all(name) or [""])[0]

    def body(self) -> Iterable[bytes]:
        try:
            while piece := self.answer.read1(1 << 16):
                yield piece
        except (OSError, http.client.HTTPException):
            return  # it ended in the middle, as a stream does whose server is restarted
        finally:
            self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()
        if not self.left:
            self.left = True
            self.leave()


class Behind:
    """The processes of the apps, by their sockets in FOLDER. No app has more than MOST requests at once: each takes a thread
    of the page, and one that hangs must leave some to the others."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self.folder, self._most = folder, most
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()

    def _enter(self, name: str) -> Callable[[], None]:
        """Raises `Busy`."""
        with self._lock:
            if self._inside[name] >= self._most:
                raise Busy(
                    tr("{name} has not answered {number} requests yet.", name=name, number=self._most),
                    tr("Try again in a moment; `gitdeploy -A {name} status` says more.", name=name),
                )
            self._inside[name] += 1

        def leave() -> None:
            with self._lock:
                self._inside[name] -= 1

        return leave

    def ask(
        self,
        name: str,
        method: str,
        target: str,
        caller: Caller,
        *,
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        timeout: float,
        within: float = math.inf,
    ) -> Passed:
        """Ask the process of the app NAME for TARGET (path and query, quoted). TIMEOUT: seconds without a byte; WITHIN: for all
        of the answer, asked for ourselves. Raises `AppAway`, `Busy`."""
        leave = self._enter(name) if within == math.inf else lambda: None
        connection = _Connection(self.folder / SOCKET.format(name=name), timeout, time.monotonic() + within)
        sent = {key: value for key, value in headers.items() if key.lower() not in _NOT_PASSED_ON}
        sent |= {"Host": "localhost", HEADER: caller.written(), "Connection": "close"}
        if method == "POST":
            sent |= {"Origin": f"{caller.scheme}://localhost", "Content-Length": str(len(body))}
        try:
            connection.request(method, target, body=body or None, headers=sent)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            leave()
            raise AppAway(
                tr("The process that serves {name} does not answer now.", name=name),
                tr(
                    "It is started again by itself. Try again in a moment; `gitdeploy -A {name} status` says more.",
                    name=name,
                ),
            ) from error
        return Passed(answer.status, answer, connection, leave)


def passed_cookies(cookies: Mapping[str, str]) -> str:
    """The Cookie header for an app's process: what a reader chose (language, colours), without the session."""
    return "; ".join(f"{key}={value}" for key, value in cookies.items() if key != COOKIE and value.isalnum())


class BelieveThePage:
    """WSGI middleware of an app's process: the request as it was made to the page, and who makes it. Whoever sends no such
    header isn't the page, and gets nothing."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        caller = Caller.read(environ.pop("HTTP_GITDEPLOY_CALLER", ""))
        if caller is None:
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        environ[CALLER] = caller
        environ["REMOTE_ADDR"] = caller.address
        environ["wsgi.url_scheme"] = caller.scheme
        environ["SCRIPT_NAME"] = caller.prefix
        return self.inner(environ, start_response)  # type: ignore[no-any-return]


def refused(error: GitDeployError) -> dict[str, Any]:
    """ERROR as a process answers it whose app can't be opened."""
    return {"success": False, "error": error.as_dict()}
