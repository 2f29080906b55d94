"""Which servers a rehearsal reaches, and what is said where the kernel can't keep it from everything else."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gitdeploy.databases import Database
from gitdeploy.databases.scratch import Scratch
from gitdeploy.messages import tr
from gitdeploy.system.isolation import Isolation, Reached
from gitdeploy.text import listing


def live_name(live: Database) -> str:
    """The name of LIVE at its server."""
    return live.identity.rpartition(" ")[2]


def is_read_along(scratch: Scratch) -> bool:
    """Whether what is asked of its server goes through gitdeploy and can be read: on another machine it may be in TLS."""
    return scratch.server is None or scratch.server.on_loopback


def servers_of(pairs: Sequence[tuple[Database, Scratch]]) -> list[Reached]:
    """The servers of the live databases and of their scratch ones, and which databases there."""
    found: dict[int | str, Reached] = {}
    for live, scratch in pairs:
        kind = scratch.database.kind
        ways = [Reached(path=path, wire=kind) for path in scratch.sockets()]
        if (server := scratch.server) is not None:
            host = server.host.split(",")[0]
            ways.append(Reached(host, int(server.port.split(",")[0]), wire=kind if is_read_along(scratch) else ""))
        for way in ways:
            key = way.path or way.port
            before = found.get(key, way)
            found[key] = replace(way, only=(*before.only, scratch.bare), live=(*before.live, live_name(live)))
    return list(found.values())


def what_is_open(isolation: Isolation) -> str | None:
    """What the kernel doesn't let us close, in a sentence; None where all of it is closed."""
    if isolation.network and isolation.mounts:
        return None
    what = tr("the live files") if isolation.network else tr("the network and the live files")
    return tr(
        "This kernel doesn't let gitdeploy close {what} to the rehearsal ({why}): only its environment is another.",
        what=what,
        why=isolation.why,
    )


def what_is_unread(pairs: Sequence[tuple[Database, Scratch]]) -> str | None:
    """Whose server is on another machine, in a sentence; None where none is."""
    names = [live.name for live, scratch in pairs if not is_read_along(scratch)]
    if not names:
        return None
    return tr(
        "What is asked of {names} on another machine is passed on unread: only the environment leads to the scratch database.",
        names=listing(names, 3),
    )
