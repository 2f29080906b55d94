"""Which servers a rehearsal reaches, and what is said where the kernel can't keep it from everything else."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gitdeploy.databases.scratch import Scratch
from gitdeploy.messages import tr
from gitdeploy.system.isolation import Isolation, Reached

_LOOPBACKS = ("localhost", "127.0.0.1", "::1")


def servers_of(scratches: Sequence[Scratch]) -> list[Reached]:
    """The servers of the databases, and which databases there. What is asked of another machine may be in TLS, which can't be
    read along."""
    found: dict[int | str, Reached] = {}
    for scratch in scratches:
        kind = scratch.database.kind
        ways = [Reached(path=path, wire=kind) for path in scratch.sockets()]
        if (server := scratch.server) is not None:
            host = server.host.split(",")[0]
            ways.append(Reached(host, int(server.port.split(",")[0]), wire=kind if host in _LOOPBACKS else ""))
        for way in ways:
            key = way.path or way.port
            before = found.get(key, way).only
            found[key] = replace(way, only=(*before, scratch.bare))
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
