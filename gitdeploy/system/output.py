"""What is kept of what a child says: one rule for all of them, hooks and installers, health commands, git and services.

Lines that somebody is told (the log of a deployment, a terminal, the page) are told as they come until they make up `HEAD`
bytes. After that only the last `TAIL` bytes are kept, and told once the child has ended, with how much is left out before
them. So a hook that prints without end costs neither the disk that state.db is on, nor memory, nor whoever reads the log.
"""

from __future__ import annotations

from collections.abc import Callable

from gitdeploy.messages import tr
from gitdeploy.text import clean, count, redact, size_text

HEAD = 512 << 10  # bytes
TAIL = 128 << 10  # twice what a pipe holds: the end of neither stream is lost behind the other
ANSWER = 64 << 20  # bytes of each stream that are kept where the output is an answer to read
LOG = 1 << 20  # where it is told line by line
_ROW = 64  # bytes that a line costs beside its text
_MOST_HELD = 8192  # lines
_LONGEST = 4000  # bytes of a line
_UNENDED = 65536  # bytes after which a line without an end is one


class Told:
    """The lines of both streams of one child, on their way to ON_LINE."""

    def __init__(self, on_line: Callable[[str], object]) -> None:
        self._on_line = on_line
        self._room = HEAD
        self._held = bytearray()  # whole lines, told once the child has ended
        self._lines_left_out = self._bytes_left_out = 0

    def take(self, block: bytes) -> None:
        """BLOCK: whole lines, without the last one's end."""
        begin = 0
        while self._room > 0 and begin <= len(block):
            end = block.find(b"\n", begin)
            end = len(block) if end < 0 else end
            self._tell(block[begin:end])
            begin = end + 1
        if begin < len(block):
            self._held += block[begin:] + b"\n"
            if len(self._held) > 2 * TAIL:
                self._leave_out(self._held.find(b"\n", len(self._held) - TAIL) + 1)

    def _leave_out(self, end: int) -> None:
        """What is held up to END is told nobody, only how much it was."""
        self._lines_left_out += self._held.count(b"\n", 0, end)
        self._bytes_left_out += end
        del self._held[:end]

    def close(self) -> None:
        """The child has ended: tell what was held back."""
        begin, lines = len(self._held), 0
        while begin > 0 and lines < _MOST_HELD and len(self._held) - begin < TAIL:
            begin = self._held.rfind(b"\n", 0, begin - 1) + 1
            lines += 1
        self._leave_out(begin)
        if self._lines_left_out:
            said, size = count(self._lines_left_out, "line"), size_text(self._bytes_left_out)
            self._on_line(tr("[{lines} left out here, {size}: more than is kept]", lines=said, size=size))
        for line in bytes(self._held).split(b"\n"):
            self._tell(line)

    def _tell(self, raw: bytes) -> None:
        if not raw.strip():
            self._room -= 1
        else:
            self._room -= min(len(raw), _LONGEST) + _ROW
            text = redact(clean(raw[:_LONGEST].decode("utf-8", "replace").rstrip()))
            self._on_line(text if len(raw) <= _LONGEST else f"{text} [...]")


class Stream:
    """One pipe of a child: keeps the end of what came, up to KEEP bytes, and hands lines on to TOLD."""

    def __init__(self, told: Told | None, keep: int) -> None:
        self.cut = 0  # bytes that were read and not kept
        self._kept = bytearray()
        self._partial = b""
        self._told = told
        self._keep = keep

    def feed(self, data: bytes) -> None:
        self._kept += data
        if (more := len(self._kept) - self._keep) > 0:
            del self._kept[:more]
            self.cut += more
        if self._told is not None:
            whole, end, self._partial = (self._partial + data).replace(b"\r", b"\n").rpartition(b"\n")
            if end:
                self._told.take(whole)
            if len(self._partial) > _UNENDED:
                self._told.take(self._partial)
                self._partial = b""

    def close(self) -> bytes:
        """What was kept; the last line, though it has no end, is told."""
        if self._told is not None and self._partial:
            self._told.take(self._partial)
            self._partial = b""
        return bytes(self._kept)
