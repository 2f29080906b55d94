"""A git command of ours with the face of a process."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import IO, Any

from gitdeploy.checkout.objects.library import git
from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system.completed import Completed


class GitFailed(CommandFailed, git.GitCommandError):
    """A git command of GitPython's failed: an error of ours, and the one that GitPython itself looks for."""

    def __init__(self, done: Completed, words: Sequence[str]) -> None:
        options = {at for at, word in enumerate(words) if word in ("-c", "-C")}
        options |= {at + 1 for at in options} | {at for at, word in enumerate(words) if word.startswith("-")}
        what = next((word for at, word in enumerate(words) if at not in options), "")
        said = done.error_text
        CommandFailed.__init__(
            self,
            tr("git {what} failed ({ending})", what=what, ending=done.ending)
            + (tr(": {said}", said=said) if said else tr(".")),
        )
        git.GitCommandError.__init__(self, list(done.argv), done.returncode or 1, done.stderr, done.stdout)

    def __str__(self) -> str:
        return self.message


class Process:
    """A command with the face of a process: by the time that its output is read it has ended. With a pipe for its input it
    is run when its output or its end is asked for, told what was written into the pipe until then."""

    def __init__(
        self,
        run: Callable[[bytes | None], Completed],
        words: Sequence[str],
        istream: int | IO[bytes] | None,
        *,
        text: bool,
    ) -> None:
        self._run, self._words, self._text = run, words, text
        self._done: Completed | None = None
        self._streams: tuple[IO[Any], IO[Any]] | None = None
        self.stdin = _Pipe() if istream == subprocess.PIPE else None
        if self.stdin is None:
            told = None if istream is None or isinstance(istream, int) else istream.read()
            self._done = run(told)

    def _completed(self) -> Completed:
        if self._done is None and self.stdin is not None:
            self._done = self._run(self.stdin.told())
        assert self._done is not None
        return self._done

    def _read(self) -> tuple[IO[Any], IO[Any]]:
        if self._streams is None:
            done = self._completed()
            # Of a list of changes GitPython takes names for UTF-8, whatever they are.
            out = done.stdout.decode("utf-8", "replace").encode() if "--raw" in self._words else done.stdout
            self._streams = (
                (io.StringIO(os.fsdecode(out)), io.StringIO(os.fsdecode(done.stderr)))
                if self._text
                else (io.BytesIO(out), io.BytesIO(done.stderr))
            )
        return self._streams

    @property
    def stdout(self) -> IO[Any]:
        return self._read()[0]

    @property
    def stderr(self) -> IO[Any]:
        return self._read()[1]

    @property
    def returncode(self) -> int | None:
        return self._done.returncode if self._done is not None else None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> int:
        """Raises `GitFailed`."""
        if not self._completed().ok:
            raise GitFailed(self._completed(), self._words)
        return 0

    def communicate(self) -> tuple[Any, Any]:
        return self.stdout.read(), self.stderr.read()

    def terminate(self) -> None:
        """It was never run: nobody asked for its output."""
        self._done = Completed((), 0, b"", b"", 0)


class _Pipe(io.BytesIO):
    _told: bytes | None = None

    def told(self) -> bytes:
        return self.getvalue() if self._told is None else self._told

    def close(self) -> None:
        if self._told is None:
            self._told = self.getvalue()
        super().close()
