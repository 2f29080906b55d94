"""A plain process that wrote its pid to a file, and takes up new code on a signal.

gunicorn: HUP makes new workers below the same master (signals: docs.gunicorn.org/en/stable/signals.html); USR2 starts a
second master beside the first, which then gets TERM and finishes its requests: measured, no request is lost, where QUIT
to the old master cuts some. uWSGI and most daemons: HUP. TERM is for a process that something else starts again.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.services.base import OnLine, ServiceFailed, said_by
from gitdeploy.services.logfile import LogFile
from gitdeploy.system import interruption, proc
from gitdeploy.system import owner as owners
from gitdeploy.system.faultpoints import point
from gitdeploy.system.proc import Identity
from gitdeploy.system.trusted import Weak, weak_parts
from gitdeploy.text import clean, duration_text, path_text, shell_word

_PID = re.compile(rb"[1-9][0-9]{0,8}")
_FILE_LIMIT = 64  # bytes: a pid and white space
_WAIT = 0.05  # seconds between two looks
_SETTLE = 1.0  # seconds that a second gunicorn master's workers must live before the first is asked to go
_REUSED = 2.0  # seconds that a process may be younger than the file with its pid


class Running(Struct, frozen=True):
    """A process as it was started: its words, gunicorn's options in its environment, its program, its folder."""

    pid: int
    words: list[str]
    options: list[str]
    program: str
    folder: Path
    gunicorn: bool


class PidFile(Struct):
    """`service.pidfile` and `service.signal`. `timeout`: seconds until the new processes must have taken over; `log`: the
    file that the app writes, `service.log`."""

    pidfile: str
    root: Path
    owner: int
    signal: str = "HUP"
    timeout: float = 60.0
    log: str | None = None
    _log: LogFile | None = None
    kind: ClassVar[str] = "pidfile"

    def __post_init__(self) -> None:
        self._log = LogFile(self.log, self.root, self.owner) if self.log else None

    @property
    def name(self) -> str:
        return path_text(self.pidfile)

    @property
    def path(self) -> Path:
        return self.root / self.pidfile

    # ---- doing ----

    def restart(self, on_line: OnLine | None = None) -> None:
        begun = time.time()
        if self._log:
            self._log.mark()
        try:
            self._take_over(on_line or (lambda _: None))
        except ServiceFailed as error:
            error.details = error.details or said_by(self, begun)
            raise

    def _take_over(self, say: OnLine) -> None:
        old = self._at_rest(say)
        if self.signal == "USR2" and _is_gunicorn(old.pid):
            self._second_master(old, say)
        elif self.signal in ("TERM", "INT", "QUIT"):
            self._until_replaced(old, say)
        else:
            self._new_workers(old, say)

    def _at_rest(self, say: OnLine) -> Identity:
        """The process to tell, once what an earlier, killed run had told it is over: a gunicorn that has made a second
        master takes no further USR2, and a process that was ended has to be started again by whoever does that."""
        if self.signal == "USR2" and (second := self._second()) is not None:
            say(
                tr(
                    "{name}: a second master, process {pid}, was started before; it takes over first",
                    name=self.name,
                    pid=second.pid,
                )
            )
            if self.is_up() is None and (old := self._process()) != second:
                self._send(old, "TERM")
                if not self._wait(lambda: not old.alive()):
                    raise ServiceFailed(
                        tr(
                            "{name}: the old gunicorn (process {pid}) did not end after TERM.",
                            name=self.name,
                            pid=old.pid,
                        )
                    )
            self._wait(lambda: self._read(self.path) == second.pid or not second.alive())
        if self.changing() is not None:
            self._wait(lambda: self.changing() is None)
        return self._process()

    def _second(self) -> Identity | None:
        """The second gunicorn master of a take-over that is under way, if it is the app's."""
        beside = Path(f"{self.path}.2")
        pid = self._read(beside)
        if pid is None or proc.owner_of(pid) != self.owner or not proc.runs_from(pid, self.root):
            return None
        if self._named_by_others(self.owner, beside) is not None:
            return None
        return proc.identity(pid)

    def _new_workers(self, old: Identity, say: OnLine) -> None:
        """The process stays and makes new children; one without children can only be told."""
        before = proc.identities(proc.descendants(old.pid))
        self._send(old, self.signal)
        say(tr("sent {signal} to process {pid}", signal=self.signal, pid=old.pid))
        if not before:
            interruption.sleep(0.3)
            self._still_there(old)
            return

        def taken_over() -> bool:
            self._still_there(old)
            return not any(each.alive() for each in before) and bool(proc.descendants(old.pid))

        if not self._wait(taken_over):
            left = [str(each.pid) for each in before if each.alive()]
            said = tr(
                "{name}: {timeout} after {signal}, ",
                name=self.name,
                timeout=duration_text(self.timeout),
                signal=self.signal,
            )
            if not left:
                raise _did_not_come_up(tr("{said}there is no new worker.", said=said))
            raise ServiceFailed(
                tr("{said}old workers still run ({left}).", said=said, left=", ".join(left[:5])),
                tr("service.timeout says how long they may take to finish their requests."),
            )

    def _second_master(self, old: Identity, say: OnLine) -> None:
        """gunicorn: a new master beside the old one; only when its workers live does the old one go. A release that
        can't start leaves the old one serving."""
        self._send(old, "USR2")
        say(tr("sent USR2 to gunicorn {pid}: a second master starts beside it", pid=old.pid))
        beside = Path(f"{self.path}.2")
        new: Identity | None = None
        ready_since: float | None = None
        end = time.monotonic() + self.timeout
        while ready_since is None or time.monotonic() - ready_since < _SETTLE:
            interruption.sleep(_WAIT)
            self._still_there(old)
            found = self._read(beside) if new is None else new.pid
            new = new or (proc.identity(found) if found and proc.parent(found) == old.pid else None)
            if new is not None and not new.alive():
                raise _did_not_come_up(
                    tr(
                        "{name}: the second gunicorn (process {pid}) ended at its start; the first goes on "
                        "serving the old code.",
                        name=self.name,
                        pid=new.pid,
                    )
                )
            workers = proc.descendants(new.pid) if new else []
            ready_since = (ready_since or time.monotonic()) if workers else None
            if time.monotonic() > end:
                raise _did_not_come_up(
                    tr(
                        "{name}: no second gunicorn with workers within {timeout}.",
                        name=self.name,
                        timeout=duration_text(self.timeout),
                    ),
                    tr("gunicorn needs --pid and must not be a child that its starter replaces by itself."),
                )
        point("second master ready")
        self._send(old, "TERM")  # QUIT would cut the requests that it is answering
        if not self._wait(lambda: not old.alive()):
            raise ServiceFailed(
                tr("{name}: the old gunicorn (process {pid}) did not end after TERM.", name=self.name, pid=old.pid)
            )
        assert new is not None
        self._wait(lambda: self._read(self.path) == new.pid)
        say(tr("process {pid} has taken over", pid=new.pid))

    def _until_replaced(self, old: Identity, say: OnLine) -> None:
        self._send(old, self.signal)
        say(tr("sent {signal} to process {pid}", signal=self.signal, pid=old.pid))
        if not self._wait(lambda: not old.alive()):
            raise ServiceFailed(
                tr("{name}: process {pid} did not end after {signal}.", name=self.name, pid=old.pid, signal=self.signal)
            )

        def there() -> bool:
            pid = self._read(self.path)
            found = proc.identity(pid) if pid else None
            return found is not None and found != old

        if not self._wait(there):
            raise _did_not_come_up(
                tr(
                    "{name}: process {pid} ended after {signal}, and nothing started it again within {timeout}.",
                    name=self.name,
                    pid=old.pid,
                    signal=self.signal,
                    timeout=duration_text(self.timeout),
                ),
                tr("TERM suits a process that something else starts again; else set service.command."),
            )

    def stop(self, on_line: OnLine | None = None) -> None:
        raise ServiceFailed(
            tr("{name} names a process that can be told to restart, but not how to start it again.", name=self.name)
        )

    def start(self, on_line: OnLine | None = None) -> None:
        self._process()

    # ---- asking ----

    def is_up(self) -> str | None:
        try:
            self._process()
        except ServiceFailed as error:
            return error.message
        return None

    def changing(self) -> str | None:
        """Where something else starts it again, a process that has ended is about to be replaced; so is the first of two
        gunicorn masters."""
        if self.signal == "USR2" and (second := self._second()) is not None:
            return tr("{name}: process {pid} is taking over.", name=self.name, pid=second.pid)
        if self.signal in ("TERM", "INT", "QUIT"):
            pid = self._read(self.path)
            if pid is not None and proc.identity(pid) is None:
                return tr(
                    "{name} names process {pid}, which has ended; nothing has started it again yet.",
                    name=self.name,
                    pid=pid,
                )
        return None

    def gave_up(self) -> str | None:
        return None if self.signal in ("TERM", "INT", "QUIT") else self.is_up()

    def processes(self) -> tuple[Identity, ...]:
        """After HUP the main process is the old one by design: then only its workers count, if it has any."""
        try:
            main = self._process()
        except ServiceFailed:
            return ()
        below = proc.identities(proc.descendants(main.pid))
        return below if self.signal in ("HUP", "USR1") else (main, *below)

    def main(self) -> Identity:
        """The process whose pid is in the file. Raises `ServiceFailed`."""
        return self._process()

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        return self._log.last_lines(most, since) if self._log else []

    def restarts(self) -> int | None:
        return None

    def problems(self) -> list[tuple[str, str]]:
        try:
            self._process()
        except ServiceFailed as error:
            return [(error.message, error.hint)]
        return []

    def goes_on(self) -> Running | None:
        """The process that the signal doesn't end; None where another one is started by somebody, or none runs."""
        if self.signal in ("TERM", "INT", "QUIT"):
            return None
        try:
            pid = self._process().pid
            words = proc.command_line(pid)
            program, folder = (os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd"))
        except (ServiceFailed, OSError):
            return None
        options = proc.environment(pid).get("GUNICORN_CMD_ARGS", "").split()
        return Running(pid, words, options, program, Path(folder), _is_gunicorn(pid)) if words else None

    # ---- the process, for sure ----

    def _process(self) -> Identity:
        """The process that the file names, if it is the app's. Raises `ServiceFailed`: a stale or planted number must
        never bring a signal to somebody else."""
        pid = self._read(self.path)
        if pid is None:
            raise ServiceFailed(
                tr("{name} does not hold a process id; is the app running?", name=self.name),
                tr("Start the app once by hand; service.pidfile is the file that it writes its pid to."),
            )
        found = proc.identity(pid)
        if found is None:
            raise ServiceFailed(
                tr("{name} names process {pid}, which does not run.", name=self.name, pid=pid),
                tr("Start the app once by hand: gitdeploy only sends it a signal."),
            )
        if (open_ := self._named_by_others(proc.owner_of(pid), self.path)) is not None:
            place = shell_word(open_.path)
            raise ServiceFailed(
                tr(
                    "{name} names process {pid}, and {who} can change {open_} (mode {mode}) and so the "
                    "number: root signals only processes of whoever can write it.",
                    name=self.name,
                    pid=pid,
                    who=open_.who,
                    open_=path_text(open_.path),
                    mode=f"{open_.mode:04o}",
                ),
                tr("Let only root write it: chown -h root {place} && chmod go-w {place}", place=place),
            )
        if why_not := self._not_the_app(pid):
            raise ServiceFailed(
                tr(
                    "{name} names process {pid}, {why_not}, so it gets no signal.",
                    name=self.name,
                    pid=pid,
                    why_not=why_not,
                )
            )
        return found

    def _not_the_app(self, pid: int) -> str | None:
        uid, shown = proc.owner_of(pid), clean(" ".join(proc.command_line(pid)[:2]), limit=60)
        if pid == os.getpid():
            return tr("which is gitdeploy itself")
        if uid != self.owner and (os.geteuid() != 0 or self.owner != 0):
            return tr(
                "which is {user_name}'s ({shown})",
                user_name=owners.user_name(uid) if uid is not None else "nobody",
                shown=shown,
            )
        if not proc.runs_from(pid, self.root):
            return tr("which does not run from this checkout ({shown})", shown=shown)
        started = proc.started_at(pid)
        try:
            written = self.path.stat().st_mtime
        except OSError:
            return tr("and the file is gone")
        if started is not None and started > written + _REUSED:
            return tr("which is younger than the file ({shown}): the number was used again", shown=shown)
        return None

    def _named_by_others(self, uid: int | None, path: Path) -> Weak | None:
        """Root's own app: what lets somebody else write the number into PATH, and have root signal a process of UID's. Who
        can, may name their own processes only."""
        if os.geteuid() != 0 or self.owner != 0:
            return None
        return next((found for found in weak_parts(path) if found.uid != uid or found.mode & 0o022), None)

    def _read(self, path: Path) -> int | None:
        """The number in a pid file: digits of a pid above 1 and nothing else; no link, no pipe, no long file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_LIMIT:
                return None
            text = os.read(descriptor, _FILE_LIMIT + 1).strip()
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return int(text) if _PID.fullmatch(text) and int(text) > 1 else None

    def _send(self, to: Identity, name: str) -> None:
        """Through a descriptor of the process, looked at once more: the number can't become another's in between."""
        point(f"signal {name}")
        try:
            descriptor = os.pidfd_open(to.pid)
            try:
                if to.alive():
                    signal.pidfd_send_signal(descriptor, signal.Signals[f"SIG{name}"])
                    return
            finally:
                os.close(descriptor)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise ServiceFailed(
                tr(
                    "{user} may not send {signal} to process {pid} of {file}.",
                    user=owners.user_name(os.geteuid()),
                    signal=name,
                    pid=to.pid,
                    file=self.name,
                )
            ) from error
        raise ServiceFailed(
            tr("{name}: process {pid} ended before it could be sent {signal}.", name=self.name, pid=to.pid, signal=name)
        )

    def _still_there(self, main: Identity) -> None:
        if not main.alive():
            raise _did_not_come_up(
                tr(
                    "{name}: process {pid} ended on {signal}, and nothing starts it again.",
                    name=self.name,
                    pid=main.pid,
                    signal=self.signal,
                ),
                tr(
                    "Start the app by hand. With gunicorn, signal: USR2 keeps the old one serving until the new one works."
                ),
            )

    def _wait(self, until: Callable[[], bool]) -> bool:
        end = time.monotonic() + self.timeout
        while not until():
            if time.monotonic() > end:
                return False
            interruption.sleep(_WAIT)
        return True

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "pidfile": self.pidfile,
            "root": str(self.root),
            "owner": self.owner,
            "signal": self.signal,
            "timeout": self.timeout,
            "log": self.log,
        }


def _did_not_come_up(message: str, hint: str = "") -> ServiceFailed:
    """What the app itself did when it was to run the new code."""
    error = ServiceFailed(message, hint)
    error.fault = "release"
    return error


def _is_gunicorn(pid: int) -> bool:
    """Started as `gunicorn`, or as `python -m gunicorn`: after USR2 that one is called `python …/gunicorn/__main__.py`."""
    words = proc.command_line(pid)[:4]
    return any("gunicorn" in part for word in words for part in word.split("/")[-2:])
