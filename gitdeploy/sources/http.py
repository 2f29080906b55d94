"""The one HTTP client of all sources.

GET only. Conditional requests by an ETag store of our own (in state.db, its key bound to the address and a hash of the
token, so that one token never sees another's answer). Redirects only within one origin, bodies limited after
unpacking, JSON read strictly, a time limit over everything, retries with jitter where trying again can help.
`.netrc` is not read: it would replace our token; proxies and CA bundles are taken from the environment, else from git's
own settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from msgspec import Struct

from gitdeploy.errors import SourceError, Unreachable
from gitdeploy.messages import tr
from gitdeploy.sources import refusals
from gitdeploy.sources.answers import NotJson, read_json
from gitdeploy.sources.base import Host, HttpStore
from gitdeploy.sources.sockets import Watch, WatchedAdapter
from gitdeploy.system import interruption
from gitdeploy.text import clean, redact

LARGEST = 8 * 1024 * 1024  # bytes of an answer, unpacked
WHOLE_TIME = 45.0  # seconds for everything that one command asks of one host
ONE_TIME = 20.0  # seconds for one answer
SOCKET_TIME = 10.0  # seconds to connect, and of silence
TRIES = 3
LONGEST_WAIT = 10.0  # seconds that a Retry-After may ask for; longer ones are told instead
REDIRECTS = 4
KEPT_HEADERS = ("link", "x-next-page", "x-total", "x-total-count", "x-total-pages", "total_count", "total_page")
_AGAIN = (502, 503, 504)
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE")


class Answer(Struct, frozen=True):
    """A checked answer. `missing`: its status was one of `none_for`, and `data` is None; `headers` by lower-case names,
    those of `KEPT_HEADERS` only; `url` is where it came from."""

    url: str
    data: Any
    headers: Mapping[str, str]
    missing: bool = False

    def number(self, *names: str) -> int | None:
        """The first of these headers that holds a number."""
        for name in names:
            text = self.headers.get(name, "")
            if text.isascii() and text.isdigit() and len(text) < 10:
                return int(text)
        return None

    def link(self, relation: str) -> str | None:
        """The address of a `Link` header's relation, absolute."""
        for each in requests.utils.parse_header_links(self.headers.get("link", "")):
            if each.get("rel") == relation and each.get("url"):
                return urljoin(self.url, each["url"])
        return None


class _Reply(Struct, frozen=True):
    """One HTTP answer as it came; `headers` by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _TryAgain(Exception):
    """This went wrong in a way that may be over in a moment."""

    def __init__(self, error: SourceError, wait: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait


class Client:
    """Asks one host. Not for several threads at once."""

    def __init__(
        self,
        host: Host,
        base: str,
        headers: Mapping[str, str],
        token: str | None,
        store: HttpStore | None,
        *,
        git_setting: Callable[[str, str], str | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host, self.base, self.token = host, base.rstrip("/"), token
        self.headers = {"User-Agent": "gitdeploy", "Accept-Encoding": "gzip", **headers}
        self.store, self.clock, self.git_setting = store, clock, git_setting
        self.changed = False  # whether any answer of this run was a new one
        self._identity = hashlib.sha256(json.dumps(sorted(self.headers.items())).encode()).hexdigest()
        self._deadline = time.monotonic() + WHOLE_TIME
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter(max_retries=0))
        self._settings: dict[str, Any] | None = None

    def get(self, path: str, *, none_for: tuple[int, ...] = (), fresh_for: float = 0.0) -> Answer:
        """The JSON at PATH (below the base address, or a whole address of the same origin).

        none_for: statuses that are answers too, without data (404: there is none). fresh_for: seconds for which an
        answer of before counts without asking, as long as all else that this client asked was unchanged. Raises
        `SourceError`.
        """
        url = path if "://" in path else self.base + path
        if _origin(url) != _origin(self.base):
            raise SourceError(
                tr(
                    "{host} points to another host ({shown_host}), which is not asked.",
                    host=self.host.name,
                    shown_host=_shown_host(url),
                ),
                self.host.address_hint,
            )
        known = self._known(url)
        if known is not None and not self.changed and 0 <= self.clock() - known["at"] < fresh_for:
            return self._answer(known)
        reply, place = self._persist(url, known.get("etag") if known else None)
        if reply.status == 304 and known is not None:
            self._keep(url, {**known, "at": self.clock()})
            return self._answer(known)
        self.changed = True
        if reply.status in none_for:
            found: Any = None
        elif reply.status == 200:
            found = self._json(reply)
        else:
            raise refusals.refusal(self.host, reply.status, reply.headers, reply.body, self.token, self.clock())
        entry = {
            "at": self.clock(),
            "url": place,
            "etag": reply.headers.get("etag") if reply.status == 200 else None,
            "missing": reply.status != 200,
            "data": found,
            "headers": {name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers},
        }
        self._keep(url, entry)
        return self._answer(entry)

    # ---- the store ----

    def _key(self, url: str) -> str:
        return "http " + hashlib.sha256(f"{url}\0{self._identity}".encode()).hexdigest()

    def _known(self, url: str) -> dict[str, Any] | None:
        text = self.store.cache_get(self._key(url)) if self.store else None
        try:
            entry = json.loads(text) if text else None
        except ValueError:
            return None
        whole = isinstance(entry, dict) and entry.keys() >= {"at", "url", "etag", "data", "headers", "missing"}
        return entry if whole else None

    def _keep(self, url: str, entry: Mapping[str, Any]) -> None:
        if self.store:
            self.store.cache_put(self._key(url), json.dumps(entry))

    @staticmethod
    def _answer(entry: Mapping[str, Any]) -> Answer:
        return Answer(entry["url"], entry["data"], entry["headers"], entry["missing"])

    # ---- asking ----

    def _persist(self, url: str, etag: str | None) -> tuple[_Reply, str]:
        """The answer after as many tries as it takes and the time allows."""
        for number in range(1, TRIES + 1):
            try:
                reply, place = self._follow(url, etag)
                if reply.status in _AGAIN:
                    error = refusals.refusal(
                        self.host, reply.status, reply.headers, reply.body, self.token, self.clock()
                    )
                    raise _TryAgain(error, refusals.retry_after(reply.headers, self.clock()))
                if reply.status == 200:
                    self._json(reply)
                return reply, place
            except _TryAgain as again:
                wait = again.wait if again.wait is not None else 0.4 * 2**number * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
                if number == TRIES or wait > LONGEST_WAIT or time.monotonic() + wait > self._deadline:
                    raise again.error from again
                self._pause(wait)
        raise AssertionError("unreachable")

    @staticmethod
    def _pause(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            interruption.check()
            time.sleep(min(left, 0.1))

    def _follow(self, url: str, etag: str | None) -> tuple[_Reply, str]:
        place = url
        for _ in range(REDIRECTS + 1):
            reply = self._once(place, etag)
            if reply.status not in (301, 302, 303, 307, 308):
                return reply, place
            target = urljoin(place, reply.headers.get("location", ""))
            if _origin(target) != _origin(place):
                raise refusals.redirected(self.host, target)
            place = target
        raise SourceError(tr("{host} redirects without end.", host=self.host.name), self.host.address_hint)

    def _once(self, url: str, etag: str | None) -> _Reply:
        headers = {**self.headers, **({"If-None-Match": etag} if etag else {})}
        deadline = min(time.monotonic() + ONE_TIME, self._deadline)
        if self._settings is None:
            self._settings = self._connection_settings()
        with Watch(deadline) as watch:
            try:
                with self._session.get(
                    url,
                    headers=headers,
                    allow_redirects=False,
                    stream=True,
                    timeout=(SOCKET_TIME, SOCKET_TIME),
                    **self._settings,
                ) as response:
                    found = {name.lower(): value for name, value in response.headers.items()}
                    reply = _Reply(response.status_code, found, b"".join(self._body(response, found)))
                if watch.expired:  # cut by us: what came so far is not an answer
                    raise self._too_slow()
                return reply
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                interruption.check()
                if watch.expired:
                    raise self._too_slow() from error
                raise self._explained(error) from error
            finally:
                self._session.close()  # what the watch held on to must not be used again

    def _too_slow(self) -> SourceError:
        return Unreachable(
            tr("{host} gave no whole answer in {one_time} s.", host=self.host.name, one_time=f"{ONE_TIME:.0f}"),
            tr("Check the network or the proxy, then try again; source.fallback names another source."),
        )

    def _explained(self, error: Exception) -> Exception:
        said, again = refusals.connection_failure(self.host, _shown_host(self.base), error)
        return _TryAgain(said) if again else said

    def _body(self, response: requests.Response, headers: Mapping[str, str]) -> Iterator[bytes]:
        """The body, unpacked a piece at a time, never more than `LARGEST`."""
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", ""):
            raise SourceError(
                tr("{host} sends its answer packed in a way that was not asked for.", host=self.host.name),
                self.host.address_hint,
            )
        unpacker = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        size = received = 0
        for piece in response.raw.stream(65536, decode_content=False):
            received += len(piece)
            while piece:
                data = unpacker.decompress(piece, 65536) if unpacker else piece
                piece = unpacker.unconsumed_tail if unpacker else b""
                size += len(data)
                if size > LARGEST:
                    raise SourceError(
                        tr(
                            "{host}'s answer is larger than {largest} MB, which no list of releases needs.",
                            host=self.host.name,
                            largest=LARGEST // 1024 // 1024,
                        ),
                        self.host.address_hint,
                    )
                yield data
        promised = headers.get("content-length", "")
        short = promised.isdigit() and received < int(promised) and response.status_code == 200
        if short or (unpacker is not None and received and not unpacker.eof):
            raise urllib3.exceptions.ProtocolError(tr("the answer was cut short"))

    def _json(self, reply: _Reply) -> Any:
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/html" or reply.body.lstrip()[:1] == b"<":
            raise refusals.web_page(self.host, self.base)
        if kind != "application/json" and not kind.endswith("+json"):
            raise SourceError(
                tr(
                    "{host} answers with {kind}, not with JSON.",
                    host=self.host.name,
                    kind=clean(kind, limit=60) or tr("something that has no type"),
                ),
                self.host.address_hint,
            )
        try:
            return read_json(reply.body)
        except NotJson as error:
            said = SourceError(
                tr("{host}'s answer is not whole JSON: {error}.", host=self.host.name, error=error),
                tr(
                    "It may have been cut short on its way: try again. If that doesn't help, a proxy may be in between."
                ),
            )
            raise _TryAgain(said) from error

    def _connection_settings(self) -> dict[str, Any]:
        """Proxies and CA bundle: of the environment as requests and curl read it, else as git has them set."""
        proxies = requests.utils.get_environ_proxies(self.base, no_proxy=None)
        chosen = requests.utils.select_proxy(self.base, proxies)
        bypassed = requests.utils.should_bypass_proxies(self.base, no_proxy=None)
        if not chosen and not bypassed and (proxy := self.git_setting("http.proxy", self.base)):
            proxies = {"http": proxy, "https": proxy}
        # Desktops write socks:// for what speaks SOCKS 5; names are looked up behind the proxy, where they can be.
        proxies = {
            name: f"socks5h{value[5:]}" if value.lower().startswith("socks://") else value
            for name, value in proxies.items()
        }
        bundle = next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), None)
        origin = next((name for name in _CA_VARIABLES if os.environ.get(name)), "git's http.sslCAInfo")
        if bundle is None and self.base.startswith("https://"):
            bundle = self.git_setting("http.sslCAInfo", self.base)
        if bundle is not None and not os.path.exists(bundle):
            raise SourceError(
                tr(
                    "{origin} names {bundle}, which does not exist, so no certificate can be checked.",
                    origin=origin,
                    bundle=redact(clean(bundle, limit=200)),
                ),
                tr("Set {origin} right, or remove it.", origin=origin),
            )
        return {"proxies": dict(proxies), "verify": bundle or True}


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def _shown_host(url: str) -> str:
    return clean(urlsplit(url).hostname or "?", limit=100)
