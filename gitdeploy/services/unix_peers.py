"""Which named sockets connections by UNIX sockets lead to: the kernel tells by its socket diagnosis (sock_diag(7)), which
needs no right; /proc shows the server's end only."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import closing

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLMSG_ERROR, _NLMSG_DONE = 20, 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_SHOW_NAME, _SHOW_PEER = 0x1, 0x4
_NAME, _PEER = 0, 2  # attributes of an answer
_ALL_STATES = 0xFFFFFFFF
_HEADER, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BBBBIII")


def peers(inodes: Collection[str]) -> list[str]:
    """Paths of the sockets at the other end of the sockets INODES. Empty where the kernel doesn't tell."""
    try:
        with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)) as kernel:
            kernel.settimeout(2)
            body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _SHOW_NAME | _SHOW_PEER, 0, 0)
            head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0)
            kernel.send(head + body)
            names: dict[int, str] = {}
            others: dict[int, int] = {}
            for inode, attributes in _answers(kernel):
                if name := attributes.get(_NAME, b"").rstrip(b"\0"):
                    names[inode] = name.decode("utf-8", "surrogateescape")
                if len(peer := attributes.get(_PEER, b"")) == 4:
                    others[inode] = struct.unpack("=I", peer)[0]
    except (OSError, struct.error):
        return []
    wanted = {int(inode) for inode in inodes}
    return sorted({names[others[inode]] for inode in wanted if others.get(inode) in names})


def _answers(kernel: socket.socket) -> Iterator[tuple[int, dict[int, bytes]]]:
    """(inode, attributes) of each UNIX socket."""
    while True:
        data = kernel.recv(1 << 16)
        at = 0
        while at + _HEADER.size <= len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            if kind in (_NLMSG_DONE, _NLMSG_ERROR) or size < _HEADER.size:
                return
            place = at + _HEADER.size
            inode = _MESSAGE.unpack_from(data, place)[4]
            yield inode, _attributes(data[place + _MESSAGE.size : at + size])
            at += (size + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[kind] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found
