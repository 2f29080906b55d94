"""A child that answers one line for each that it is told, for as long as there are questions (`git cat-file --batch-check`):
starting one for every question would cost a deployment more than all the answers."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gitdeploy.errors import CommandFailed
from gitdeploy.system import faultpoints, interruption
from gitdeploy.text import clean, redact

_ENDS_WITHIN = 5.0  # seconds that the child has once its input is closed


class Conversation:
    """Close it when there is nothing more to ask; it also ends when this process does, by the end of its input."""

    def __init__(self, argv: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str]) -> None:
        """Raises `CommandFailed` when the child cannot be started."""
        self._name = os.path.basename(argv[0])
        self._lock = threading.Lock()
        self.over = False  # there are no answers any more
        faultpoints.point(f"child {self._name} conversation")
        self._said = os.memfd_create("stderr", os.MFD_CLOEXEC)
        try:
            self._child = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(self._said)
            raise CommandFailed(f"{clean(self._name)} can't be executed: {error}.") from error
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._to, self._from = self._child.stdin, self._child.stdout
        for pipe in (self._to, self._from):
            os.set_blocking(pipe.fileno(), False)

    def ask(self, lines: Sequence[bytes], timeout: float) -> list[bytes]:
        """The answers to LINES, without their line feeds. Fewer where the child ended, which it does at what it can't
        read; from then on there are none.

        timeout: seconds for all of them. Raises `CommandFailed` past it, `Interrupted` when a signal came.
        """
        with self._lock:
            if self.over:
                return []
            try:
                return self._exchange(b"".join(line + b"\n" for line in lines), len(lines), time.monotonic() + timeout)
            except BaseException:
                self._end(0)
                raise

    def _exchange(self, told: bytes, answers: int, deadline: float) -> list[bytes]:
        left, heard = memoryview(told), b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._to, selectors.EVENT_WRITE)
            selector.register(self._from, selectors.EVENT_READ)
            while heard.count(b"\n") < answers and not self.over:
                if time.monotonic() > deadline:
                    raise CommandFailed(f"{clean(self._name)} gave no answer in time.")
                for key, _ in selector.select(0.5):
                    if key.fileobj is self._to:
                        left = left[self._tell(left) :]
                        if not left:
                            selector.unregister(self._to)
                    else:
                        heard += self._hear()
                interruption.check()
        found = heard.split(b"\n")
        return found[:-1] if not self.over else [line for line in found if line]

    def _tell(self, data: memoryview) -> int:
        if self.over:  # by what was heard just before
            return len(data)
        try:
            return os.write(self._to.fileno(), data[: 1 << 16])
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            return len(data)

    def _hear(self) -> bytes:
        try:
            data = os.read(self._from.fileno(), 1 << 18)
        except BlockingIOError:
            return b""
        if not data:
            self._end()
        return data

    def errors(self) -> str:
        """What the child wrote to its standard error, cleaned and redacted; its last lines."""
        said = os.pread(self._said, 4000, max(0, os.fstat(self._said).st_size - 4000))
        return redact(clean(said.decode("utf-8", "replace").strip(), lines=True))

    def close(self) -> None:
        """End it. There are no answers and no errors to be had after that."""
        with self._lock:
            self._end()
            if self._said >= 0:
                os.close(self._said)
                self._said = -1

    def _end(self, within: float = _ENDS_WITHIN) -> None:
        self.over = True
        for pipe in (self._to, self._from):
            with suppress(OSError):
                pipe.close()
        try:
            self._child.wait(within)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
