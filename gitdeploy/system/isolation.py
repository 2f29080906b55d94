"""How far a command can be kept apart from everything else on this machine, and the words that do it (see `apart.py`)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from gitdeploy.messages import tr
from gitdeploy.system import apart, process
from gitdeploy.system.environment import clean_environment

# By these sockets whatever runs as the same user could restart the app, or do what a login session may.
_MANAGERS = (
    "/run/systemd", "/run/dbus", "/run/user", "/run/docker.sock", "/run/containerd", "/run/supervisor.sock",
    "/var/run/supervisor.sock", "/run/supervisor",
)  # fmt: skip
EMPTY, SOCKETS = "empty", "sockets"
_LIMIT = 20.0  # seconds in which the kernel says whether it allows it


class Reached(Struct, frozen=True, omit_defaults=True):
    """A server that is reached from inside, by TCP (`host` and `port`, at 127.0.0.1:`port` there) or by its socket `path`, absolute
    and without links. `wire`: the kind of database server that it is, of which only the databases `only` may be used, and nothing in
    those of `live`; empty: whatever is wanted there is passed on."""

    host: str = ""
    port: int = 0
    path: str = ""
    wire: str = ""
    only: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


class Isolation(Struct, frozen=True):
    """`network`, `mounts`: what is kept apart; `why`: what the kernel said against the rest. `closed`: a folder that is not to be
    written to, but for `place` in it, which has the folders `EMPTY` and `SOCKETS`; `files`: elsewhere, that are not, either."""

    closed: str
    place: str
    reach: tuple[Reached, ...] = ()
    files: tuple[str, ...] = ()
    network: bool = False
    mounts: bool = False
    why: str = ""

    def words(self, argv: Sequence[str], *, serve: int | None = None) -> list[str]:
        """What is typed to run ARGV so. SERVE: the port of loopback at which it is reached, inside and outside."""
        facts = {
            "network": self.network,
            "mounts": self.mounts,
            "serve": serve,
            "reach": [to_builtins(each) for each in self.reach],
            "closed": [self.closed],
            "files": self.files,
            "open": [self.place],
            "hidden": _MANAGERS,
            "empty": f"{self.place}/{EMPTY}",
            "own": f"{self.place}/{SOCKETS}",
        }
        return [sys.executable, "-I", apart.__file__, json.dumps(facts), *argv]


def found_out(closed: Path, place: Path, reach: Sequence[Reached], files: Iterable[Path] = ()) -> Isolation:
    """As much as the kernel allows, found out by doing it. Arguments as of `Isolation`."""
    for name in (EMPTY, SOCKETS):
        (place / name).mkdir(mode=0o700, exist_ok=True)
    top = os.path.realpath(closed)
    outside = {os.path.realpath(file) for file in files if file.exists()}
    apart_from = tuple(sorted(file for file in outside if not file.startswith(f"{top}/")))
    made = Isolation(top, os.path.realpath(place), tuple(reach), apart_from)
    said = ""
    for network, mounts in ((True, True), (True, False)):
        wanted = replace(made, network=network, mounts=mounts, why=said)
        done = process.run(wanted.words(["/bin/true"]), cwd=place, env=clean_environment(), timeout=_LIMIT, tied=True)
        if done.ok:
            return wanted
        said = said or done.error_text.strip() or tr("exit code {returncode}", returncode=done.returncode)
    return replace(made, why=said)
