"""What Python's bytecode files say of the source that they were made from: their names and their headers (PEP 3147, 552).

Python takes a `.pyc` for a source's own where size and whole second of the source's time are those in its header; one
with a hash and without the flag to check it is taken always.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress

from msgspec import Struct

FOLDER = b"__pycache__"
HEADER = struct.Struct("<4sLLL")  # magic number, flags, time and size of the source
WORD = 0xFFFFFFFF  # times and sizes are kept modulo 2 ** 32
_BY_HASH, _CHECKED = 1, 2
# MODULE.TAG.pyc, with .opt-1 or a tool's own word (pytest's) behind the interpreter's tag; at the end the number of a
# half-written one.
_NAME = re.compile(rb"(.+?)\.[a-z]*py[a-z]*-?\d.*\.pyc(?:\.\d+)?")
_ANY = re.compile(rb".+\.pyc(?:\.\d+)?")


class Made(Struct, frozen=True):
    """From what a `.pyc` says that it was made. `unchecked`: Python never asks whether that is so."""

    second: int
    size: int
    by_hash: bool
    unchecked: bool


def made_from(path: bytes) -> Made | None:
    """The header of the `.pyc` at PATH; None where it has none or can't be read, so that Python doesn't use it either."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(descriptor, HEADER.size)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(data) < HEADER.size or data[2:4] != b"\r\n":
        return None
    _, flags, second, size = HEADER.unpack(data)
    return Made(second, size, bool(flags & _BY_HASH), bool(flags & _BY_HASH) and not flags & _CHECKED)


def is_bytecode(path: bytes) -> bool:
    """Whether PATH is named like bytecode in a `__pycache__`."""
    folder, _, name = path.rpartition(b"/")
    return os.path.basename(folder) == FOLDER and _ANY.fullmatch(name) is not None


class Beside:
    """The bytecode in the `__pycache__` beside a file, each such folder looked at once."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, list[bytes]]] = {}

    def __call__(self, source: bytes) -> list[bytes]:
        """The whole paths of the bytecode of the file SOURCE, and of files of its name with another ending."""
        folder, _, name = source.rpartition(b"/")
        if folder not in self._folders:
            self._folders[folder] = _listed(folder + b"/" + FOLDER)
        return self._folders[folder].get(name.rpartition(b".")[0], [])


def _listed(folder: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    with suppress(OSError):  # mostly: there is none
        for name in () if os.path.islink(folder) else os.listdir(folder):
            if said := _module(name):
                found.setdefault(said, []).append(folder + b"/" + name)
    return found


def _module(name: bytes) -> bytes:
    """The module that NAME is bytecode of (`a.b` for `a.b.cpython-311.opt-1.pyc`); empty where it is none."""
    said = _NAME.fullmatch(name)
    return said[1] if said else b""
