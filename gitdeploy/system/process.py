"""The only place that starts a child process.

Every child gets a session of its own (so that it and all it started can be ended together), a rebuilt environment, no
terminal on standard input and a time limit; one that only prepares something dies with us (`PR_SET_PDEATHSIG`, prctl(2)).
A hook goes on. What may touch the live app, and what installers start, carries a marker in its environment, told to the
observer before it starts, and its session is told after, so that recovery in a later process ends whatever of it is still
alive before it undoes anything.
"""

from __future__ import annotations

import errno
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from gitdeploy.errors import CommandFailed, ConfigError
from gitdeploy.system import faultpoints, interruption
from gitdeploy.text import clean, redact

MARKER = "GITDEPLOY_CHILD"
GRACE = 0.3  # seconds that output is still read after the child's end: a daemon may hold the pipe open for ever
_KEPT = 64 << 20  # bytes of each stream that are kept, from its end
KILL_AFTER = 3.0  # seconds between SIGTERM and SIGKILL
STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What a child may inherit; all else (GIT_*, PYTHON*, LD_*, VIRTUAL_ENV, tokens) stays here.
_INHERITED = frozenset(
    "HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR TERM SSH_AUTH_SOCK SSH_AGENT_PID XDG_RUNTIME_DIR XDG_CONFIG_HOME "
    "DBUS_SESSION_BUS_ADDRESS SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE "
    "http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY "
    "GITDEPLOY_FAULT_PLAN".split()
)
_PROGRESS = re.compile(
    r"hint: |(?:remote: )?(?:(?:Enumerating|Counting|Compressing|Receiving|Unpacking|Updating|Filtering|Writing) \w+"
    r"|Resolving deltas|Total \d+ \(delta)\b.*"
)
_PR_SET_PDEATHSIG = 1


class Completed(Struct, frozen=True):
    """How a child ended. `returncode` is negative for a signal (-9: SIGKILL); `duration` in seconds."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    duration: float
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out

    @property
    def text(self) -> str:
        """Standard output, decoded without ever failing, white space at the end removed."""
        return self.stdout.decode("utf-8", "replace").rstrip()

    @property
    def error_text(self) -> str:
        """The last lines of standard error (else of output), cleaned and redacted: fit to show. Git's progress and its
        advice are left out."""
        raw = (self.stderr.strip() or self.stdout.strip())[-16000:].decode("utf-8", "replace")
        lines = [line for line in raw.splitlines() if line.strip() and not _PROGRESS.match(line)]
        return redact(clean("\n".join(lines[-12:])[-4000:], lines=True))

    @property
    def ending(self) -> str:
        """In words: `exit code 3`, `killed by SIGKILL (out of memory?)`, `took longer than its limit`."""
        if self.timed_out:
            return f"still running after {self.duration:.0f} s, ended"
        if self.returncode >= 0:
            return f"exit code {self.returncode}"
        try:
            name = signal.Signals(-self.returncode).name
        except ValueError:
            name = f"signal {-self.returncode}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")

    def check(self, what: str, hint: str = "") -> Completed:
        """Return self, or raise `CommandFailed`: "WHAT failed (exit code 1): last lines"."""
        if self.ok:
            return self
        said = self.error_text
        raise CommandFailed(f"{what} failed ({self.ending})" + (f": {said}" if said else "."), hint)


class Observer(Protocol):
    """Told of each marked child before it starts and after it ended; the deployment's journal is one."""

    def child_starting(self, marker: str, argv: Sequence[str]) -> None: ...

    def child_started(self, marker: str, leader: Identity) -> None: ...

    def child_ended(self, marker: str) -> None: ...

    def child_quiet(self) -> None:
        """A child whose lines are followed has said nothing for half a second."""


observer: Observer | None = None


def clean_environment(extra: Mapping[str, str] | None = None, *, path: str = STANDARD_PATH) -> dict[str, str]:
    """An environment built from an allow-list: no `GIT_*`, `PYTHON*`, `LD_*`, no token. LC_ALL=C unless EXTRA says."""
    environment = {k: v for k, v in os.environ.items() if k in _INHERITED}
    environment["PATH"] = path
    environment["LC_ALL"] = "C.UTF-8"
    environment.pop("LANGUAGE", None)
    if extra:
        environment.update(extra)
    return environment


def which(program: str, path: str = STANDARD_PATH) -> str | None:
    """The absolute path of PROGRAM in PATH (never the working directory), or None."""
    for folder in path.split(":"):
        candidate = os.path.join(folder, program)
        if folder.startswith("/") and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def refuse_gone_folder() -> None:
    """Raise `ConfigError` where the current folder was deleted, or replaced by another of its name."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise ConfigError("The folder you are in is gone.", "Go to the app's folder anew: cd DIR") from error


def shown(argv: Iterable[str]) -> str:
    """A command line as a person would type it, cleaned and redacted."""
    import shlex

    return redact(clean(shlex.join(argv)))


@cache
def _die_with_parent() -> Callable[[], object]:
    """What a tied child does before its program: loaded here, since after a fork nothing should be."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    keep: int = _KEPT,
    tied: bool = False,
    marked: bool = False,
    leave_daemons: bool = False,
    umask: int = -1,
    descriptors: Sequence[int] = (),
) -> Completed:
    """Run a child to its end; standard input is `stdin` or empty.

    timeout: seconds of wall-clock; past it the whole group is ended and the result says `timed_out`.
    on_line: told each line of output and error as it comes, cleaned and redacted.
    keep: bytes of each stream kept from its end (the rest is read and dropped).
    tied: the child is killed when this process dies. Costs a fork instead of a vfork, so short readers go without.
    marked: the child may touch the live app; the observer is told, and its environment carries a marker.
    leave_daemons: what the child left running in its session is not ended (a service's start command).
    descriptors: open files that it inherits under the same numbers.
    Raises `Interrupted` when a signal came (the group is ended first), `CommandFailed` when it cannot be started.
    """
    words = [os.fspath(word) for word in argv]
    environment = dict(env)
    marker = ""
    if marked:
        marker = os.urandom(16).hex()
        environment[MARKER] = marker
        if observer:
            observer.child_starting(marker, words)
    faultpoints.point(
        f"child {os.path.basename(words[0])} {' '.join(w for w in words[1:] if not w.startswith('-'))[:40]}"
    )
    begun = time.monotonic()
    try:
        child = subprocess.Popen(
            words,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent() if tied else None,  # noqa: PLW1509  # one async-signal-safe call
            umask=umask,
            pass_fds=tuple(descriptors),
        )
    except (OSError, ValueError) as error:
        if marker and observer:
            observer.child_ended(marker)
        raise CommandFailed(_cannot_start(words[0], cwd, error)) from error
    try:
        if marker and observer:
            observer.child_started(marker, Identity(child.pid, start_ticks(child.pid) or 0, boot_id()))
        out, err, timed_out = _talk(child, stdin, begun + timeout, on_line, keep)
    except BaseException:
        end_group(child)
        raise
    if not leave_daemons:
        _signal_group(child.pid, signal.SIGKILL)
    if marker and observer:
        observer.child_ended(marker)
    faultpoints.point(f"child ended {os.path.basename(words[0])}")
    return Completed(tuple(words), child.returncode, out, err, time.monotonic() - begun, timed_out)


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
        child = subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env),
            stdin=source,
            stdout=to,
            stderr=to,
            start_new_session=True,
            preexec_fn=_die_with_parent() if tied else None,  # noqa: PLW1509  # one async-signal-safe call
            umask=umask,
        )
    except (OSError, ValueError) as error:
        raise CommandFailed(_cannot_start(words[0], cwd, error)) from error
    finally:
        os.close(source)
    ended: list[Completed] = []

    def finish() -> Completed:
        if not ended:
            printed, errors, timed_out = _talk(child, None, begun + timeout, None, _KEPT)
            taken = time.monotonic() - begun
            ended.append(Completed(tuple(words), child.returncode, printed, errors, taken, timed_out))
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


def _cannot_start(program: str, cwd: str | os.PathLike[str], error: Exception) -> str:
    if isinstance(error, OSError):
        if not os.path.isdir(cwd):
            return f"The folder {clean(os.fspath(cwd))} does not exist, so {clean(program)} can't run there."
        if error.errno == errno.ENOEXEC:
            return f"{clean(program)} can't be executed: its first line is no #! line and it is no program."
        if error.errno == errno.ENOENT and os.path.exists(program):
            return f"{clean(program)} can't be executed: the interpreter in its first line does not exist (CRLF line ends?)."
        return f"{clean(program)} can't be executed: {error.strerror}."
    return f"{clean(program)} can't be executed: {error}."


def detach(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    output: str | os.PathLike[str],
    inherit: Sequence[int] = (),
) -> Identity:
    """Start a process that outlives this one: a session of its own, nothing on its input, what it prints in the file
    OUTPUT (made, mode 0600). It is reaped when it ends before us.

    inherit: descriptors that it gets under their own numbers. Raises `CommandFailed` when it cannot be started.
    """
    words = [os.fspath(word) for word in argv]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(output, flags, 0o600)
        try:
            child = subprocess.Popen(
                words,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                pass_fds=tuple(inherit),
            )
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise CommandFailed(_cannot_start(words[0], cwd, error)) from error
    threading.Thread(target=child.wait, daemon=True, name=f"reap-{child.pid}").start()
    return Identity(child.pid, start_ticks(child.pid) or 0, boot_id())


class _Stream:
    """One pipe of a child: keeps the end of what came, hands lines on."""

    def __init__(self, on_line: Callable[[str], None] | None, keep: int) -> None:
        self.kept = bytearray()
        self.partial = b""
        self.on_line = on_line
        self.keep = keep

    def feed(self, data: bytes) -> None:
        self.kept += data
        if len(self.kept) > 2 * self.keep:
            del self.kept[: len(self.kept) - self.keep]
        if self.on_line:
            *lines, self.partial = (self.partial + data).replace(b"\r", b"\n").split(b"\n")
            if len(self.partial) > 65536:
                lines, self.partial = [*lines, self.partial], b""
            for line in lines:
                self._tell(line)

    def close(self) -> bytes:
        if self.partial:
            self._tell(self.partial)
            self.partial = b""
        return bytes(self.kept[-self.keep :])

    def _tell(self, line: bytes) -> None:
        if self.on_line and line.strip():
            self.on_line(redact(clean(line[:4000].decode("utf-8", "replace").rstrip())))


def _talk(
    child: subprocess.Popen[bytes],
    stdin: bytes | None,
    deadline: float,
    on_line: Callable[[str], None] | None,
    keep: int,
) -> tuple[bytes, bytes, bool]:
    """Feed and read the child, where it has pipes, until it has ended; returns output, error and whether the time was over."""
    streams = {pipe: _Stream(on_line, keep) for pipe in (child.stdout, child.stderr) if pipe is not None}
    timed_out = False
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
            left = memoryview(stdin or b"")
            ended_at: float | None = None
            open_pipes = len(streams)
            while open_pipes or ended_at is None:
                limit = deadline if ended_at is None else ended_at + GRACE
                wait = limit - time.monotonic()
                if wait <= 0:
                    if ended_at is None:
                        timed_out = True
                        end_group(child)
                    break
                events = selector.select(min(wait, 0.5))
                if not events and on_line is not None and observer:
                    observer.child_quiet()
                for key, _ in events:
                    if key.fd == wake:
                        selector.unregister(wake)  # stays readable; held back, it must not make this loop spin
                    elif key.fd == exit_fd:
                        selector.unregister(exit_fd)
                        ended_at = time.monotonic()
                    elif key.fileobj in streams:
                        pipe = key.fileobj
                        data = _read(key.fd)
                        if data:
                            streams[pipe].feed(data)
                        elif data is not None:
                            selector.unregister(pipe)
                            open_pipes -= 1
                    elif child.stdin is not None and key.fileobj is child.stdin:
                        left = left[_write(key.fd, left) :]
                        if not left:
                            selector.unregister(child.stdin)
                            with suppress(OSError):
                                child.stdin.close()
                interruption.check()
        child.wait()
    finally:
        os.close(exit_fd)
        for pipe in streams:
            pipe.close()
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
    out, err = (streams[pipe].close() if pipe is not None else b"" for pipe in (child.stdout, child.stderr))
    return out, err, timed_out


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


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its whole group: SIGTERM, then SIGKILL after `KILL_AFTER` seconds."""
    _signal_group(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILL_AFTER)
    _signal_group(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(KILL_AFTER)


class Identity(Struct, frozen=True):
    """A process that cannot be mistaken for another after a reboot or when its number is used again."""

    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/PID/stat (proc(5))
    boot: str

    @staticmethod
    def own() -> Identity:
        return Identity(os.getpid(), start_ticks(os.getpid()) or 0, boot_id())

    def alive(self) -> bool:
        return self.boot == boot_id() and start_ticks(self.pid) == self.started


def boot_id() -> str:
    """The kernel's random id of this boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def start_ticks(pid: int) -> int | None:
    """When the process PID started, in clock ticks since boot; None where there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def with_markers(markers: Iterable[str], leaders: Iterable[Identity] = ()) -> list[int]:
    """Processes that carry one of MARKERS in their environment, or belong to the session that one of LEADERS began (one
    that was started with an environment of its own has no marker), ourselves left out."""
    wanted = [f"{MARKER}={marker}".encode() for marker in markers]
    sessions = {
        each.pid for each in leaders if each.boot == boot_id() and start_ticks(each.pid) in (None, each.started)
    }
    found = []
    for entry in os.listdir("/proc") if wanted or sessions else ():
        if entry.isdigit() and int(entry) != os.getpid():
            with suppress(OSError):
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if any(word in variables for word in wanted):
                    found.append(int(entry))
                    continue
            with suppress(OSError):
                if sessions and os.getsid(int(entry)) in sessions and start_ticks(int(entry)) is not None:
                    found.append(int(entry))
    return found


def end_marked(markers: Iterable[str], leaders: Iterable[Identity] = ()) -> list[int]:
    """End what is left of marked children of an earlier, killed run, and of the sessions that they led. Returns the pids
    that were ended."""
    words, sessions = list(markers), list(leaders)
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        pids = with_markers(words, sessions)
        if not pids:
            break
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        ended += [pid for pid in pids if pid not in ended]
        end = time.monotonic() + KILL_AFTER
        while time.monotonic() < end and with_markers(words, sessions):
            time.sleep(0.02)
    return ended
