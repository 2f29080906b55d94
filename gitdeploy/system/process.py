"""The place that starts child processes; those that outlive a call of it are in `background.py`.

Every child gets a session of its own (so that it and all it started can be ended together), a rebuilt environment, no
terminal on standard input and a time limit; one that only prepares something dies with us (`PR_SET_PDEATHSIG`, prctl(2)).
A hook goes on. What may touch the live app, and what installers start, carries a marker in its environment, told to the
observer before it starts, and its session is told after, so that recovery in a later process ends whatever of it is still
alive before it undoes anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import IO, NamedTuple, Protocol

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system import bounds, faultpoints, interruption, progress
from gitdeploy.system.completed import Completed
from gitdeploy.system.groups import end_group, end_rest
from gitdeploy.system.markers import MARKER
from gitdeploy.system.memory import limit_memory
from gitdeploy.system.output import ANSWER, LOG, Stream, Told
from gitdeploy.system.proc import Identity, boot_id, start_ticks
from gitdeploy.text import clean, redact

GRACE = 0.3  # seconds that output is still read after the child's end: a daemon may hold the pipe open for ever

_PR_SET_PDEATHSIG = 1


class Observer(Protocol):
    """Told of each marked child before it starts and after it ended; the deployment's journal is one."""

    def child_starting(self, marker: str, argv: Sequence[str]) -> None: ...

    def child_started(self, marker: str, leader: Identity) -> None: ...

    def child_ended(self, marker: str) -> None: ...

    def child_quiet(self) -> None:
        """A child whose lines are followed has said nothing for half a second."""


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """While the block runs, OBSERVER is told of the children that it starts; those of other threads are none of its."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


class Mark:
    """The mark of one child, for its environment, and what the observer is told of it."""

    def __init__(self, words: Sequence[str]) -> None:
        self.marker, self._observer = os.urandom(16).hex(), _observer.get()
        if self._observer:
            self._observer.child_starting(self.marker, words)

    def started(self, pid: int) -> None:
        if self._observer:
            self._observer.child_started(self.marker, Identity(pid, start_ticks(pid) or 0, boot_id()))

    def ended(self) -> None:
        if self._observer:
            self._observer.child_ended(self.marker)


def shown(argv: Iterable[str]) -> str:
    """A command line as a person would type it, cleaned and redacted."""
    return redact(clean(shlex.join(argv)))


@cache
def _die_with_parent() -> Callable[[], object]:
    """What a tied child does before its program: loaded here, since after a fork nothing should be."""
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run(  # noqa: PLR0913  # the one way to start a child has what each of them needs
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes | int | None = None,
    stdout: int = subprocess.PIPE,
    on_line: Callable[[str], object] | None = None,
    keep: int = 0,
    tied: bool = False,
    marked: bool = False,
    leave_daemons: bool = False,
    umask: int = -1,
    descriptors: Sequence[int] = (),
    memory: int = 0,
) -> Completed:
    """Run a child to its end; standard input is `stdin` (bytes, or an open file) or empty; output goes to the open file
    `stdout` where one is given, and is in the result else.

    timeout: seconds of wall-clock; past it the whole group is ended and the result says `timed_out`.
    on_line: told each line of output and error as it comes, cleaned and redacted.
    keep: bytes of each stream kept from its end (the rest is read and dropped); default: as `output` has it. What ON_LINE
    is told is bounded there too.
    tied: the child is killed when this process dies. Costs a fork instead of a vfork, so short readers go without.
    marked: the child may touch the live app; the observer is told, and its environment carries a marker.
    leave_daemons: what the child left running in its session is not ended (a service's start command).
    descriptors: open files that it inherits under the same numbers. memory: bytes that it may have mapped (0: no limit).
    Raises `Interrupted` when a signal came (the group is ended first), `CommandFailed` when it cannot be started.
    """
    words, environment = [os.fspath(word) for word in argv], dict(env)
    mark = Mark(words) if marked else None
    if mark:
        environment[MARKER] = mark.marker
    faultpoints.point(
        f"child {os.path.basename(words[0])} {' '.join(w for w in words[1:] if not w.startswith('-'))[:40]}"
    )
    begun, told = time.monotonic(), stdin if isinstance(stdin, bytes) else None
    source = stdin if isinstance(stdin, int) else subprocess.DEVNULL if stdin is None else subprocess.PIPE
    try:
        child = start(words, cwd, environment, source, stdout, tied=tied, umask=umask, descriptors=descriptors)
        limit_memory(child.pid, memory)
    except CommandFailed:
        if mark:
            mark.ended()
        raise
    try:
        if mark:
            mark.started(child.pid)
        heard = _talk(child, told, begun + timeout, on_line, keep or (LOG if on_line else ANSWER))
    except BaseException:
        end_group(child)
        raise
    if not leave_daemons:
        end_rest(child.pid)
    if mark:
        mark.ended()
    faultpoints.point(f"child ended {os.path.basename(words[0])}")
    return Completed(
        tuple(words), child.returncode, heard.out, heard.err, time.monotonic() - begun, heard.timed_out, heard.cut
    )


@contextmanager
def alongside(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes = b"",
    output: bool = False,
    tied: bool = False,
    umask: int = -1,
) -> Iterator[Callable[[], Completed]]:
    """A child that runs while the block does, to its end when the block has ended. Yields a function that waits for
    that end and returns how it was.

    STDIN may be large: it comes from a file without a name. output: what it prints is kept for the result (past 64 KB it
    waits for somebody to ask), else it goes nowhere. The child's group is ended where the block raises, and past TIMEOUT
    seconds. Raises as `run` does.
    """
    words = [os.fspath(word) for word in argv]
    faultpoints.point(f"child {os.path.basename(words[0])} alongside")
    begun = time.monotonic()
    source = os.memfd_create("stdin")
    to = subprocess.PIPE if output else subprocess.DEVNULL
    try:
        with open(source, "wb", closefd=False) as out:
            out.write(stdin)
        os.lseek(source, 0, os.SEEK_SET)
        child = start(words, cwd, env, source, to, errors=to, tied=tied, umask=umask)
    finally:
        os.close(source)
    ended: list[Completed] = []

    def finish() -> Completed:
        if not ended:
            heard = _talk(child, None, begun + timeout, None, ANSWER)
            taken = time.monotonic() - begun
            ended.append(
                Completed(tuple(words), child.returncode, heard.out, heard.err, taken, heard.timed_out, heard.cut)
            )
        return ended[0]

    try:
        yield finish
        finish()
    finally:
        end_group(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    faultpoints.point(f"child ended {os.path.basename(words[0])}")


def start(
    words: Sequence[str],
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    stdin: int,
    output: int,
    *,
    errors: int = subprocess.PIPE,
    tied: bool = False,
    umask: int = -1,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own. tied: it is killed when the thread that started it ends; umask: -1 leaves ours.
    Raises `CommandFailed` when it cannot be started."""
    bounds.check(words, cwd)
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env),
            stdin=stdin,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            preexec_fn=_die_with_parent() if tied else None,  # noqa: PLW1509  # one async-signal-safe call
            umask=umask,
            pass_fds=tuple(descriptors),
        )
    except (OSError, ValueError) as error:
        raise CommandFailed(cannot_start(words[0], cwd, error)) from error


def cannot_start(program: str, cwd: str | os.PathLike[str], error: Exception) -> str:
    if isinstance(error, OSError):
        if not os.path.isdir(cwd):
            return tr(
                "The folder {fspath} does not exist, so {program} can't run there.",
                fspath=clean(os.fspath(cwd)),
                program=clean(program),
            )
        if error.errno == errno.ENOEXEC:
            return tr(
                "{program} can't be executed: its first line is no #! line and it is not a program.",
                program=clean(program),
            )
        if error.errno == errno.ENOENT and os.path.exists(program):
            return tr(
                "{program} can't be executed: the interpreter in its first line does not exist (CRLF line ends?).",
                program=clean(program),
            )
        return tr("{program} can't be executed: {strerror}.", program=clean(program), strerror=error.strerror)
    return tr("{program} can't be executed: {error}.", program=clean(program), error=error)


class _Heard(NamedTuple):
    """What a child said, how many bytes of its output were not kept, and whether its time was over."""

    out: bytes
    err: bytes
    cut: int
    timed_out: bool


def _talk(
    child: subprocess.Popen[bytes],
    stdin: bytes | None,
    deadline: float,
    on_line: Callable[[str], object] | None,
    keep: int,
) -> _Heard:
    """Feed and read the child, where it has pipes, until it has ended."""
    told = Told(on_line) if on_line is not None else None
    streams = {pipe: Stream(told, keep) for pipe in (child.stdout, child.stderr) if pipe is not None}
    exit_fd = os.pidfd_open(child.pid)
    try:
        with selectors.DefaultSelector() as selector:
            for pipe in streams:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ)
            if child.stdin is not None:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE)
            selector.register(exit_fd, selectors.EVENT_READ)
            if (wake := interruption.wake_descriptor()) >= 0 and interruption.received() is None:
                selector.register(wake, selectors.EVENT_READ)
            followed = _observer.get() if on_line is not None else None
            timed_out = _exchange(child, selector, streams, memoryview(stdin or b""), exit_fd, deadline, followed)
        child.wait()
    finally:
        os.close(exit_fd)
        for pipe in streams:
            pipe.close()
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
    out, err = (streams[pipe].close() if pipe is not None else b"" for pipe in (child.stdout, child.stderr))
    if told is not None:
        told.close()
    cut = streams[child.stdout].cut if child.stdout is not None else 0
    return _Heard(out, err, cut, timed_out)


def _exchange(
    child: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    streams: Mapping[IO[bytes], Stream],
    left: memoryview,
    exit_fd: int,
    deadline: float,
    followed: Observer | None,
) -> bool:
    """Until the child has ended and its pipes are read; whether it took longer than its limit, and was ended for it."""
    ended_at: float | None = None
    open_pipes = len(streams)
    while open_pipes or ended_at is None:
        limit = deadline if ended_at is None else ended_at + GRACE
        wait = limit - time.monotonic()
        if wait <= 0:
            if ended_at is None:
                end_group(child)
            return ended_at is None
        events = selector.select(min(wait, 0.5))
        if not events and followed:
            followed.child_quiet()
        progress.tick(child.pid)
        for key, _ in events:
            if key.fd == exit_fd:
                selector.unregister(exit_fd)
                ended_at = time.monotonic()
            elif key.fileobj in streams:
                data = _read(key.fd)
                if data:
                    streams[key.fileobj].feed(data)  # type: ignore[index]
                elif data is not None:
                    selector.unregister(key.fileobj)
                    open_pipes -= 1
            elif child.stdin is not None and key.fileobj is child.stdin:
                left = left[_write(key.fd, left) :]
                if not left:
                    selector.unregister(child.stdin)
                    with suppress(OSError):
                        child.stdin.close()
            else:
                selector.unregister(
                    key.fd
                )  # a signal's: it stays readable, and held back it must not make this loop spin
        interruption.check()
    return False


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 1 << 18)
    except BlockingIOError:
        return None


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data[: 1 << 16])
    except BlockingIOError:
        return 0
    except BrokenPipeError:  # it does not want the rest
        return len(data)
