"""A child that answers each line that it is told, for as long as there are questions (`git cat-file --batch-check`, `--batch`):
starting one for every question would cost a deployment more than all the answers."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system import bounds, faultpoints, interruption
from gitdeploy.system.memory import limit_memory
from gitdeploy.text import clean, redact

_ENDS_WITHIN = 5.0  # seconds that the child has once its input is closed
_Answer = TypeVar("_Answer")


class _Reader(Generic[_Answer]):
    """Makes answers of what a child says, however it comes in pieces."""

    def __init__(self) -> None:
        self.answers: list[_Answer] = []
        self._heard = bytearray()

    def feed(self, data: bytes) -> None:
        self._heard += data
        while self._take():
            pass

    def _take(self) -> bool:
        """Take one answer, or part of one, out of what was heard; False where it hasn't all come yet."""
        raise NotImplementedError

    def _line(self) -> bytes | None:
        end = self._heard.find(b"\n")
        return self._cut(end) if end >= 0 else None

    def _cut(self, size: int) -> bytes:
        """SIZE bytes and the line feed after them, which is left out."""
        found = bytes(self._heard[:size])
        del self._heard[: size + 1]
        return found


class _Lines(_Reader[bytes]):
    def _take(self) -> bool:
        line = self._line()
        if line is not None:
            self.answers.append(line)
        return line is not None


class _Bodies(_Reader[tuple[bytes, bytes | None]]):
    """Of lines that end in the number of bytes of what follows them; a line that doesn't has nothing after it."""

    _header: bytes | None = None

    def _take(self) -> bool:
        if self._header is None:
            self._header = self._line()
            if self._header is None:
                return False
        *_, size = self._header.split(b" ")
        body = None
        if size.isdigit():
            if len(self._heard) <= int(size):
                return False
            body = self._cut(int(size))
        self.answers.append((self._header, body))
        self._header = None
        return True


class Conversation:
    """Close it when there is nothing more to ask; it also ends when this process does, by the end of its input."""

    def __init__(
        self, argv: Sequence[str], *, cwd: str | os.PathLike[str], env: Mapping[str, str], memory: int = 0
    ) -> None:
        """MEMORY: bytes that the child may have mapped. Raises `CommandFailed` when the child cannot be started."""
        bounds.check(argv, cwd)
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
            raise CommandFailed(
                tr("{name} can't be executed: {error}.", name=clean(self._name), error=error)
            ) from error
        limit_memory(self._child.pid, memory)
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
        return self._asked(lines, _Lines(), timeout)

    def read(self, lines: Sequence[bytes], timeout: float) -> list[tuple[bytes, bytes | None]]:
        """The answers of a child that answers each line by a header, whose last word is a number of bytes, and then as many
        bytes: (header, bytes), or (header, None) where it ends in no number. As `ask` in all else."""
        return self._asked(lines, _Bodies(), timeout)

    def _asked(self, lines: Sequence[bytes], reader: _Reader[_Answer], timeout: float) -> list[_Answer]:
        with self._lock:
            if self.over:
                return []
            try:
                self._exchange(b"".join(line + b"\n" for line in lines), len(lines), reader, time.monotonic() + timeout)
            except BaseException:
                self._end(0)
                raise
            return reader.answers

    def _exchange(self, told: bytes, answers: int, reader: _Reader[_Answer], deadline: float) -> None:
        left = memoryview(told)
        with selectors.DefaultSelector() as selector:
            selector.register(self._to, selectors.EVENT_WRITE)
            selector.register(self._from, selectors.EVENT_READ)
            while len(reader.answers) < answers and not self.over:
                if time.monotonic() > deadline:
                    raise CommandFailed(tr("{name} gave no answer in time.", name=clean(self._name)))
                for key, _ in selector.select(0.5):
                    if key.fileobj is self._to:
                        left = left[self._tell(left) :]
                        if not left:
                            selector.unregister(self._to)
                    else:
                        reader.feed(self._hear())
                interruption.check()

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
        if self._said < 0:
            return ""
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
