"""Child processes that go on while this one does other things: those that outlive it, and those that serve for a while.

Everything else that starts a child is in `process.py`.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from msgspec import Struct

from gitdeploy.errors import CommandFailed
from gitdeploy.system import faultpoints, markers, process
from gitdeploy.system.groups import end_group
from gitdeploy.system.markers import MARKER
from gitdeploy.system.memory import limit_memory
from gitdeploy.system.proc import Identity, boot_id, start_ticks

_TAIL = 256 * 1024  # bytes of what a served child prints that are kept


def detach(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    output: str | os.PathLike[str],
) -> Identity:
    """Start a process that outlives this one: a session of its own, nothing on its input, what it prints in the file
    OUTPUT (made, mode 0600). It is reaped when it ends before us. Raises `CommandFailed` when it cannot be started.
    """
    words = [os.fspath(word) for word in argv]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(output, flags, 0o600)
    except OSError as error:
        raise CommandFailed(process.cannot_start(words[0], cwd, error)) from error
    try:
        child = process.start(words, cwd, env, subprocess.DEVNULL, descriptor, errors=subprocess.STDOUT)
    finally:
        os.close(descriptor)
    threading.Thread(target=child.wait, daemon=True, name=f"reap-{child.pid}").start()
    return Identity(child.pid, start_ticks(child.pid) or 0, boot_id())


class Served(Struct):
    """A child that serves while a block runs; the end of what it prints is kept."""

    child: subprocess.Popen[bytes]
    tail: bytearray

    def ended(self) -> int | None:
        """Its exit code (negative: the signal that killed it); None while it runs."""
        return self.child.poll()

    def lines(self) -> list[str]:
        """The end of what it has printed until now."""
        return bytes(self.tail).decode("utf-8", "replace").splitlines()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe, suppress(OSError, ValueError):
            while data := os.read(pipe.fileno(), 1 << 16):
                self.tail += data
                if len(self.tail) > 2 * _TAIL:
                    del self.tail[:-_TAIL]


@contextmanager
def serving(
    argv: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str], memory: int = 0
) -> Iterator[Served]:
    """Run a child while the block does: a session of its own, marked, nothing on its input. It is ended with all that it
    started when the block ends.

    memory: bytes that it may have mapped (0: no limit). Raises `CommandFailed` when it cannot be started.
    """
    words = list(argv)
    mark = process.Mark(words)
    faultpoints.point("child serving")
    try:
        child = process.start(
            words, cwd, {**env, MARKER: mark.marker}, subprocess.DEVNULL, subprocess.PIPE, errors=subprocess.STDOUT
        )
    except CommandFailed:
        mark.ended()
        raise
    served = Served(child, bytearray())
    try:
        limit_memory(child.pid, memory)
        mark.started(child.pid)
        assert child.stdout is not None
        threading.Thread(target=served._read, args=(child.stdout,), daemon=True, name=f"read-{child.pid}").start()
        yield served
    finally:
        end_group(child)
        markers.end_marked([mark.marker])  # what left its session
        mark.ended()
