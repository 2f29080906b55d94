"""Where processes accept TCP connections, read from /proc (proc(5)): nothing is started, nothing is connected."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"  # the kernel's TCP_LISTEN


def listening(pids: Iterable[int]) -> list[tuple[str, int]]:
    """(address, port) that processes of PIDS listen at, as a client on this machine would write it; each once, by port.
    Processes that may not be looked into have none."""
    found: dict[tuple[str, int], None] = {}
    for pid in pids:
        inodes = set()
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                if (socket := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))) is not None:
                    inodes.add(socket[1])
        for table in ("tcp", "tcp6") if inodes else ():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                    words = line.split()
                    if words[3] == _LISTENING and words[9] in inodes:
                        found[_place(words[1])] = None
    return sorted(found, key=lambda place: place[1])


def _place(text: str) -> tuple[str, int]:
    """`0100007F:1F40` is 127.0.0.1 and 8000: words of the kernel's own byte order, which is Intel's and ARM's."""
    address, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
    ip = ipaddress.ip_address(raw)
    if ip.is_unspecified:  # every address: this machine's own among them
        return "127.0.0.1", int(port, 16)
    return (f"[{ip}]" if ip.version == 6 else str(ip)), int(port, 16)
