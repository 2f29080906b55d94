"""A database URL as SQLAlchemy, Django and libpq write it, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

from msgspec import Struct, field

from gitdeploy.errors import ConfigError
from gitdeploy.messages import tr
from gitdeploy.text import clean, redact, register_secret


class Address(Struct, frozen=True):
    """Where a database is. Empty texts are for the client's own defaults; `host` may be a folder of sockets.

    The password is registered as a secret and is in no repr.
    """

    host: str
    port: str
    user: str
    database: str
    password: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Address(host={self.host!r}, port={self.port!r}, user={self.user!r}, database={self.database!r})"

    @classmethod
    def parse(cls, url: str) -> Address:
        """`postgresql+psycopg://user:password@host:5432/name?sslmode=require`; several hosts as libpq takes them.

        Raises `ConfigError` for one without a database's name, and for control characters in any part.
        """
        rest, _, query = url.partition("://")[2].partition("#")[0].partition("?")
        server, _, path = rest.rpartition("@")[2].partition("/")
        user, _, password = rest.rpartition("@")[0].partition(":")
        options = dict(parse_qsl(query, keep_blank_values=True))
        register_secret(unquote(password))
        register_secret(options.get("password"))
        hosts, ports = [], []
        for each in server.split(","):
            host, port = _host_and_port(each)
            hosts.append(unquote(host))
            ports.append(port)
        made = cls(
            host=options.get("host") or ",".join(hosts),
            port=options.get("port") or ",".join(ports).strip(","),
            user=options.get("user") or unquote(user),
            database=options.get("dbname") or unquote(path.strip("/")),
            password=options.get("password") or unquote(password),
            options=options,
        )
        shown = redact(clean(url, limit=60)) if not password else f"{url.partition('://')[0]}://…"
        if not made.database:
            raise ConfigError(tr("The database URL {shown} names no database.", shown=shown), tr("It ends in /NAME."))
        if any(ord(c) < 32 for part in (made.host, made.port, made.user, made.database, made.password) for c in part):
            raise ConfigError(tr("The database URL {shown} holds a control character.", shown=shown))
        return made

    @property
    def on_a_socket(self) -> bool:
        """Whether the server is asked by a socket in a folder of this machine."""
        return bool(self.options.get("unix_socket")) or "/" in self.host

    def shown(self, scheme: str) -> str:
        """`postgresql://db.example.com/app`: without user and password, the name by which a dump is found again."""
        port = f":{self.port}" if self.port else ""
        host = self.host if not self.host.startswith("/") else ""
        return clean(f"{scheme}://{host}{port}/{self.database}")

    @property
    def on_loopback(self) -> bool:
        """Whether the first of its hosts is this machine."""
        return self.host.split(",")[0] in _LOOPBACK

    def identity(self, scheme: str, port: str) -> str:
        """The same for each spelling of one address; PORT is the server's usual one."""
        socket = self.options.get("unix_socket", "")
        host = "localhost" if self.host in _LOOPBACK else self.host.lower() if "/" not in self.host else self.host
        return f"{scheme} {socket or host} {self.port or port} {self.database}"


def led_to(url: str, database: str, host: str | None) -> str:
    """URL with another DATABASE, and with HOST in place of its server's, where one is given; user, password, port and options
    stay as they are written."""
    scheme, _, rest = url.partition("://")
    rest, mark, query = rest.partition("?")
    server, _, _ = rest.partition("/")
    user, at, place = server.rpartition("@")
    if host is not None:
        port = _host_and_port(place.split(",")[0])[1]
        place = f"{host}:{port}" if port else host
    kept = [
        pair
        for pair in query.split("&")
        if pair.partition("=")[0] != "dbname" and (host is None or pair.partition("=")[0] not in ("host", "hostaddr"))
    ]
    return f"{scheme}://{user}{at}{place}/{quote(database, safe='')}" + (mark + "&".join(kept) if query else "")


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):  # IPv6
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port
