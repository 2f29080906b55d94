"""How the app is restarted, where it answers, and which address says that it is healthy."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from gitdeploy.config import HealthConfig, HealthVersion
from gitdeploy.health.web import ask_url
from gitdeploy.messages import joined, tr
from gitdeploy.services.listening import listening
from gitdeploy.system import proc
from gitdeploy.text import clean, listing
from gitdeploy.upkeep.drafting.composed import composed, is_up
from gitdeploy.upkeep.drafting.lines import Line
from gitdeploy.upkeep.drafting.python_files import Settings
from gitdeploy.upkeep.drafting.seen import Seen, serves, text_of
from gitdeploy.upkeep.drafting.supervised import supervisor_lines

_RESTARTERS = ("restart", "restart.sh", "bin/restart", "bin/restart.sh", "scripts/restart", "scripts/restart.sh")
_PID_FOLDERS = (".", "run", "tmp", "var", "var/run")
_BINDS = ("-b", "--bind", "--listen", "--http", "--http-socket", "--insecure-bind")
_PORTS = ("-p", "--port")
_HOSTS = ("--host", "-h")
_CONFIGS = ("-c", "--config")
_ADDRESS = re.compile(r"(?:http://|tcp://)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]*):(?P<port>\d{2,5})/?")
_HEALTHY = re.compile(
    r"""["'](/?(?:[\w-]+/){0,3}(?:_?health|healthz|healthcheck|health[-_]check|livez|readyz|ping|heartbeat|alive|ht)/?)["']"""
)
_ROUTED = re.compile(r"(?:^|/)(?:urls|routes?|routing|views|app|main|api|health\w*|status|wsgi|__init__)\.py$")
_USUAL = ("/", "/login", "/login/", "/accounts/login/")
_MOST_FILES, _MOST_ASKED = 400, 12
_LIMIT = 5.0  # seconds for one answer while drafting


class Address(Struct, frozen=True):
    """Where the app accepts requests: HOST:PORT, or the path of a socket; and how that is known."""

    place: str
    why: str

    @property
    def is_socket(self) -> bool:
        return self.place.startswith("/")


# ---- the service ----


def service_lines(seen: Seen) -> Iterator[Line]:
    """What restarts the app: one kind of service."""
    if seen.units:
        names = [unit.removesuffix(".service") for unit in seen.units]
        which = (
            tr("its unit runs from here")
            if len(names) == 1
            else tr("they run from here; the one that serves comes first")
        )
        yield Line("service.systemd", names[0] if len(names) == 1 else names, which)
        return
    if lines := supervisor_lines(seen):
        yield from lines
        return
    if script := next(filter(partial(_is_program, seen.root), _RESTARTERS), None):
        yield Line(
            "service.command", f"./{script}", tr("because of {script}: it must restart the app, and end", script=script)
        )
        return
    if running := next(_pid_files(seen), None):
        file, words = running
        yield Line("service.pidfile", file, tr("because of the process in it: {words}", words=words))
        yield Line(
            "service.signal",
            "HUP",
            tr("reloads it (gunicorn, uWSGI); USR2: a second gunicorn; TERM: another starts it"),
        )
        return
    if services := composed(seen.root):
        first = services[0]
        asks = tr(
            "{file} makes this service from the checkout, but it doesn't run now: is the app started so here?",
            file=first.file,
        )
        why = tr("Docker runs it, by {file}", file=first.file)
        yield Line("service.compose", first.name, why, "" if is_up(seen.root, first.name) else asks)
        return
    nothing = tr(
        "no systemd unit, supervisor program, restart script or pid file of this checkout was found: what restarts it?"
    )
    yield Line("service.systemd", "my-app", question=nothing)
    yield Line("service.command", "./restart.sh", question=tr("or supervisor: NAME, compose: SERVICE, pidfile: FILE?"))


def _is_program(root: Path, name: str) -> bool:
    return (root / name).is_file() and os.access(root / name, os.X_OK)


def _pid_files(seen: Seen) -> Iterator[tuple[str, str]]:
    """(path, its process's command line) of each pid file whose process runs from this checkout."""
    link = seen.site.venv_link
    places = [seen.root] if link is None else [seen.root, link]
    for folder in _PID_FOLDERS:
        for path in sorted((seen.root / folder).glob("*.pid")):
            try:
                text = path.read_text() if path.is_file() and path.stat().st_size < 64 else ""
            except (OSError, UnicodeDecodeError):
                continue
            pid = int(text) if text.strip().isascii() and text.strip().isdigit() else 0
            if pid > 1 and any(proc.runs_from(pid, place) for place in places):
                yield str(path.relative_to(seen.root)), clean(joined(" ", proc.command_line(pid)), limit=60)


# ---- the address ----


def addresses(seen: Seen) -> list[Address]:
    """Where the app may be asked, the surest first: where its processes listen, what its commands and gunicorn's file say."""
    found = [Address(f"{host}:{port}", tr("its process listens there")) for host, port in listening(seen.processes)]
    for words in (words for words in seen.commands if serves(words)):
        found += _of_command(seen, words)
    found += _of_gunicorn(seen, "gunicorn.conf.py")
    if arguments := seen.environment.get("GUNICORN_CMD_ARGS"):
        found += _of_command(seen, tuple(arguments.split()))
    for service in composed(seen.root):
        found += [Address(place, tr("{file} publishes it", file=service.file)) for place in service.ports]
    if (port := seen.environment.get("PORT", "")).isdigit():
        found.append(Address(f"127.0.0.1:{port}", tr("PORT says so")))
    return list({address.place: address for address in reversed(found)}.values())[::-1]


def _of_command(seen: Seen, words: Sequence[str]) -> Iterator[Address]:
    """What the arguments of a server's command say."""
    host, port, said = "127.0.0.1", "", tr("the command that starts it says so")
    for word, value in zip(words, (*words[1:], ""), strict=True):
        option, mark, after = word.partition("=")
        value = after if mark else value
        if option in _BINDS:
            yield from _parsed(value, said)
        elif option in _PORTS and value.isdigit():
            port = value
        elif option in _HOSTS:
            host = value
        elif option in _CONFIGS and value.endswith(".py"):
            yield from _of_gunicorn(seen, value.removeprefix("python:"))
        elif word == "runserver" and value:
            yield from _parsed(value if ":" in value else f":{value}", said)
    if port:
        yield from _parsed(f"{host}:{port}", said)


def _of_gunicorn(seen: Seen, path: str) -> Iterator[Address]:
    """`bind` of gunicorn's configuration file, which is read and not executed."""
    name = os.path.relpath(path, seen.root) if os.path.isabs(path) else path
    settings = Settings(seen.root, seen.environment)
    if not name.startswith("../") and settings.read(name):
        bind = settings.values.get("bind")
        for each in bind if isinstance(bind, list) else [bind]:
            if isinstance(each, str):
                yield from _parsed(each, tr("bind in {name}", name=name))


def _parsed(text: str, why: str) -> Iterator[Address]:
    if text.startswith("unix:"):
        yield Address("/" + text.removeprefix("unix:").lstrip("/"), why)
    elif (found := _ADDRESS.fullmatch(text)) is not None:
        host = found["host"]
        yield Address(f"{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{found['port']}", why)  # noqa: S104


# ---- health ----


def health_lines(seen: Seen, known: Sequence[str], version: str | None) -> Iterator[Line]:
    """Which address to ask, tried now. KNOWN: paths that a recipe knows. VERSION: what is live, to see whether it is said."""
    places = addresses(seen)
    asked = [place for place in places if not place.is_socket]
    likely = [*known, *_routes(seen)]
    paths = list(dict.fromkeys([*likely, *_USUAL]))[:_MOST_ASKED]
    first_path = likely[0] if likely else "/health"
    refused: list[str] = []
    for place in asked:
        if not _accepts(place.place):
            refused.append(place.place)
            continue
        for headers in _hosts(seen):
            for path in paths:
                url = f"http://{place.place}{path}"
                if ask_url(url, HealthConfig(headers=headers), None, _LIMIT).bad is None:
                    yield from _answered(url, headers, place, version)
                    return
        yield Line(
            "health.tcp", place.place, tr("{why}; none of {paths} answered 200", why=place.why, paths=listing(paths, 4))
        )
        yield Line(
            "health.url",
            f"http://{place.place}{first_path}",
            question=tr("which address answers 200 where it is healthy?"),
        )
        return
    if asked:
        place = asked[0]
        said = tr("{why}, but it doesn't answer now: does it run? Does this address answer 200 then?", why=place.why)
        yield Line("health.url", f"http://{place.place}{first_path}", question=said)
        return
    socket = next((place.place for place in places if place.is_socket), None)
    said = tr("at which address does it answer 200? Without health a release that starts and fails stays live")
    if socket is not None:
        said = tr(
            "it listens at {socket}: at which address of the web server before it does it answer 200?", socket=socket
        )
    yield Line("health.url", f"http://127.0.0.1:8000{first_path}", question=said)


def _answered(url: str, headers: dict[str, str], place: Address, version: str | None) -> Iterator[Line]:
    yield Line("health.url", url, tr("it answers 200 now; {why}", why=place.why))
    if headers:
        yield Line("health.headers", headers, tr("without it the app refuses the request (ALLOWED_HOSTS)"))
    if version is not None:
        with_version = HealthConfig(headers=headers, version=HealthVersion(json="version"))
        if ask_url(url, with_version, version, _LIMIT).bad is None:
            yield Line("health.version", {"json": "version"}, tr("the answer says the version that is live"))


def _hosts(seen: Seen) -> list[dict[str, str]]:
    """Headers to try: none, then the first name that Django's ALLOWED_HOSTS admits."""
    hosts = seen.settings.values.get("ALLOWED_HOSTS")
    names = [host for host in hosts if isinstance(host, str)] if isinstance(hosts, list) else []
    named = next((name.lstrip(".") for name in names if name not in ("*", "localhost", "127.0.0.1", "")), None)
    return [{}, {"Host": named}] if named is not None else [{}]


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _routes(seen: Seen) -> list[str]:
    """Paths in the app's own files that look like a health check's."""
    found: dict[str, None] = {}
    for name in [name for name in seen.names if _ROUTED.search(name) and "test" not in name][:_MOST_FILES]:
        for path in _HEALTHY.findall(text_of(seen.root / name)):
            found["/" + path.lstrip("/")] = None
    return sorted(found, key=lambda path: ("health" not in path, path.count("/"), path))[:6]
