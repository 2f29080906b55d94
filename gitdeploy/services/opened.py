"""What the app's processes have open, read from /proc (proc(5)): database files, and connections to database servers.

Nothing is started and nothing changed. Of processes of another user nothing can be told, which is said, not guessed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services.base import Service
from gitdeploy.services.pidfile import PidFile
from gitdeploy.services.units import ancestors, is_gitdeploy, only_starts
from gitdeploy.services.unix_peers import peers
from gitdeploy.system import proc

_MAGIC = b"SQLite format 3\0"
_ENDINGS = (".db", ".db3", ".sqlite", ".sqlite3")
_BESIDE = re.compile(r"(.+)-(?:wal|shm|journal)")
_DELETED = " (deleted)"
_PORTS = {5432: "PostgreSQL", 3306: "MySQL"}
_SOCKETS = (
    (re.compile(r".*/\.s\.PGSQL\.\d+"), "PostgreSQL"),
    (re.compile(r".*/(?:mysqld?|mariadb)[^/]*\.sock"), "MySQL"),
)
_ESTABLISHED = "01"


class OpenFile(Struct, frozen=True):
    """A SQLite file that a process has open: its path (as it was, where it is deleted), what tells it from every other."""

    path: Path
    device: int
    inode: int
    deleted: bool
    pid: int


class Opened(Struct, frozen=True):
    """`files`: each once; `servers`: `PostgreSQL at 127.0.0.1:5432`; `seen`: processes that could be looked into;
    `closed`: pids of those that could not."""

    files: tuple[OpenFile, ...] = ()
    servers: tuple[str, ...] = ()
    seen: tuple[int, ...] = field(default_factory=tuple)
    closed: tuple[int, ...] = field(default_factory=tuple)


def opened_by(services: Sequence[Service], root: Path, venv: Path | None) -> Opened:
    """What the processes of SERVICES have open; where they are not known by their service, those that run from ROOT."""
    files: dict[tuple[int, int], OpenFile] = {}
    servers: dict[str, None] = {}
    seen, closed = [], []
    for pid in app_processes(services, root, venv):
        try:
            links = os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            closed.append(pid)
            continue
        except OSError:
            continue
        seen.append(pid)
        for file in _files(pid, links):
            files.setdefault((file.device, file.inode), file)
        servers.update(dict.fromkeys(_servers(pid, links)))
    return Opened(tuple(files.values()), tuple(sorted(servers)), tuple(seen), tuple(closed))


def app_processes(services: Sequence[Service], root: Path, venv: Path | None) -> list[int]:
    """Pids of the app's processes, gitdeploy's own and shells left out."""
    found: dict[int, None] = {}
    for service in services:
        with suppress(GitDeployError, OSError):
            for each in service.processes():
                found[each.pid] = None
            if isinstance(service, PidFile):  # after HUP its processes are its workers alone
                found[service.main().pid] = None
    if not found:
        places = [root] if venv is None else [root, venv]
        found = {pid: None for pid in proc.running() if any(proc.runs_from(pid, place) for place in places)}
    ours = ancestors()
    return [pid for pid in found if pid > 1 and pid not in ours and not is_gitdeploy(pid) and not only_starts(pid)]


def _files(pid: int, links: Iterable[str]) -> Iterator[OpenFile]:
    for name in links:
        with suppress(OSError):
            place = f"/proc/{pid}/fd/{name}"
            target = os.readlink(place)
            if target.startswith("/") and stat.S_ISREG((found := os.stat(place)).st_mode):
                path = target.removesuffix(_DELETED)
                if _is_sqlite(place, path, found.st_size):
                    gone = found.st_nlink == 0 or target.endswith(_DELETED)
                    yield OpenFile(Path(path), found.st_dev, found.st_ino, gone, pid)
    yield from _mapped(pid)


def _is_sqlite(place: str, path: str, size: int) -> bool:
    if size == 0:
        return path.endswith(_ENDINGS)
    if _BESIDE.fullmatch(path):
        return False
    with open(place, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _mapped(pid: int) -> Iterator[OpenFile]:
    """The index of a write-ahead log stays mapped as long as its database is open."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text("utf-8", "surrogateescape").splitlines():
            path = line[73:].strip() if len(line) > 73 else ""
            if path.removesuffix(_DELETED).endswith("-shm") and not path.endswith(_DELETED):
                base = Path(path[: -len("-shm")])
                with suppress(OSError):
                    found = base.stat()
                    if _is_sqlite(str(base), str(base), found.st_size):
                        yield OpenFile(base, found.st_dev, found.st_ino, deleted=False, pid=pid)


# ---- servers ----


def _servers(pid: int, links: Iterable[str]) -> Iterator[str]:
    """Database servers that the process has a connection to."""
    inodes = set()
    for name in links:
        with suppress(OSError):
            if (found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))) is not None:
                inodes.add(found[1])
    if not inodes:
        return
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                port = int(words[2].rpartition(":")[2], 16)
                if words[3] == _ESTABLISHED and words[9] in inodes and port in _PORTS:
                    yield tr("{ports} at port {port}", ports=_PORTS[port], port=port)
    for path in peers(inodes):
        for pattern, kind in _SOCKETS:
            if pattern.fullmatch(path):
                yield tr("{kind} at {path}", kind=kind, path=path)
