"""supervisor programs and groups, through supervisorctl (exit codes and words: supervisorctl's own status table)."""

from __future__ import annotations

import configparser
import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.services import supervisor_logs
from gitdeploy.services.base import OnLine, ServiceFailed, await_settled, described, failed
from gitdeploy.services.supervisor_logs import Stream
from gitdeploy.system import environment, proc, process
from gitdeploy.system import owner as owners
from gitdeploy.system.completed import Completed
from gitdeploy.system.environment import which
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, path_text

_ASK = 15.0  # seconds for a question
_CONFIGS = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")
_LINE = re.compile(r"^(\S+)\s+(STOPPED|STARTING|RUNNING|BACKOFF|STOPPING|EXITED|FATAL|UNKNOWN)\b\s*(.*)$")
_WORDS = {
    "STARTING": tr("is still starting"),
    "BACKOFF": tr("ended right after its start and is started again"),
    "STOPPING": tr("is being stopped"),
    "STOPPED": tr("is stopped"),
    "EXITED": tr("has ended"),
    "FATAL": tr("ended after each start, and supervisor has given up"),
    "UNKNOWN": tr("is in a state that supervisor doesn't know"),
}


class Program(Struct, frozen=True):
    """One line of `supervisorctl status`."""

    name: str
    state: str
    said: str

    @property
    def pid(self) -> int | None:
        found = re.search(r"\bpid (\d{1,10})\b", self.said)
        return int(found[1]) if found else None


class Supervisor(Struct):
    """A program `app`, a group of that name, or one program `group:app` of it. `timeout`: seconds for a restart."""

    name: str
    root: Path
    owner: int
    timeout: float = 60.0
    kind: ClassVar[str] = "supervisor"

    @property
    def target(self) -> str:
        """What supervisorctl is told: a program is also a group of one, so `app:*` covers both."""
        return self.name if ":" in self.name else f"{self.name}:*"

    def restart(self, on_line: OnLine | None = None) -> None:
        self._await_stopped(on_line)
        self._control("restart", tr("restarted"), on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        self._control("stop", tr("stopped"), on_line)
        self._await_stopped(
            on_line
        )  # of a program that was being stopped already supervisor says "not running" at once

    def start(self, on_line: OnLine | None = None) -> None:
        self._await_stopped(on_line)
        if self.is_up() is not None:
            self._control("start", tr("started"), on_line)

    def _await_stopped(self, on_line: OnLine | None) -> None:
        """supervisor starts nothing that it is still stopping: it refuses, and leaves it stopped."""
        if any(each.state == "STOPPING" for each in self.programs()):
            await_settled(self, self.timeout, on_line)

    def _control(self, verb: str, done_word: str, on_line: OnLine | None) -> None:
        if why_not := self._not_ours(self.programs()):
            raise ServiceFailed(*why_not)
        done = self._call([verb, self.target], timeout=self.timeout, on_line=on_line, marked=True)
        if done.timed_out:
            raise failed(self, done_word, tr("not done after {timeout}.", timeout=duration_text(self.timeout)))
        wrong = [line for line in done.text.splitlines() if "ERROR" in line and "(not running)" not in line]
        if wrong or (not done.ok and verb == "restart"):
            said = clean(wrong[0] if wrong else done.error_text or done.ending)
            died = any(words in said for words in ("spawn error", "abnormal termination"))
            raise failed(self, done_word, said, fault="release" if died else "server")

    # ---- asking ----

    def programs(self) -> tuple[Program, ...]:
        """Its programs as supervisor sees them; empty where it knows none. Raises `ServiceFailed` where it can't be
        asked."""
        done = self._call(["status", self.target], timeout=_ASK)
        found = [Program(*match.groups()) for match in map(_LINE.match, done.text.splitlines()) if match]
        said = f"{done.text}\n{done.error_text}"
        if found or "no such process" in said or "no such group" in said:
            return tuple(found)
        if "no such file" in said or "refused connection" in said:
            raise ServiceFailed(
                tr(
                    "supervisord is not running, so nothing can be told of {service}: {said}",
                    service=self.name,
                    said=done.text or done.error_text,
                ),
                tr("Start it, as root: systemctl start supervisor"),
            )
        raise ServiceFailed(
            tr(
                "supervisor can't be asked about {service}: {ending}",
                service=self.name,
                ending=done.error_text or done.ending,
            ),
            self._hint(),
        )

    def is_up(self) -> str | None:
        programs = self.programs()
        if not programs:
            return tr("supervisor knows no program {name}.", name=self.name)
        for program in programs:
            if program.state != "RUNNING":
                return tr(
                    "{program} {words}{because}.",
                    program=program.name,
                    words=_WORDS[program.state],
                    because=_because(program),
                )
        return None

    def changing(self) -> str | None:
        for program in self.programs():
            if program.state in ("STARTING", "STOPPING", "BACKOFF"):
                return tr("{program} {words}.", program=program.name, words=_WORDS[program.state])
        return None

    def gave_up(self) -> str | None:
        """FATAL and STOPPED stay so; an EXITED program may be started again by supervisor itself."""
        return self.is_up() if any(each.state in ("FATAL", "STOPPED") for each in self.programs()) else None

    def processes(self) -> tuple[Identity, ...]:
        pids = [program.pid for program in self.programs() if program.pid]
        return proc.identities([*pids, *(below for pid in pids for below in proc.descendants(pid))])

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        """Of standard error and output; supervisor keeps no times with them, so SINCE is not looked at. As root for another
        user's app only of logs that this user can't exchange for another file; see `owners_logs`."""
        lines: list[str] = []
        with suppress(ServiceFailed):
            for program in self.programs():
                for stream in self._streams(program):
                    done = self._call(["tail", "-8000", program.name, stream], timeout=_ASK)
                    if done.ok and "ERROR (" not in done.text:
                        lines += [clean(line, limit=500) for line in done.text.splitlines() if line.strip()]
        return lines[-most:]

    def _streams(self, program: Program) -> Sequence[Stream]:
        if not owners.must_drop(self.owner):
            return ("stdout", "stderr")
        return supervisor_logs.roots_streams(program.name.rpartition(":")[2], config_files())

    def owners_logs(self) -> list[str]:
        """The logs that the app's owner is to read as that user: others than root could exchange them. Raises
        `ServiceFailed`."""
        programs = self.programs()
        if why_not := self._not_ours(programs):
            raise ServiceFailed(*why_not)
        names = [program.name.rpartition(":")[2] for program in programs]
        return [path for name in names for path in supervisor_logs.owners_logs(name, config_files())]

    def restarts(self) -> int | None:
        return None

    def problems(self) -> list[tuple[str, str]]:
        if which("supervisorctl") is None:
            return [
                (
                    tr("There is no supervisorctl on this machine."),
                    tr("apt install supervisor, or set another service."),
                )
            ]
        try:
            programs = self.programs()
        except ServiceFailed as error:
            return [(error.message, error.hint)]
        if not programs:
            return [
                (tr("supervisor knows no program or group {name}.", name=self.name), "supervisorctl status lists them.")
            ]
        why_not = self._not_ours(programs)
        return [why_not] if why_not else []

    def _not_ours(self, programs: Sequence[Program]) -> tuple[str, str] | None:
        """As root, for another user's app: deploy.yaml may be that user's own, so the program must be that user's too."""
        if not owners.must_drop(self.owner):
            return None
        user = owners.user_name(self.owner)
        for program in programs:
            if program.pid is not None:
                ours = proc.owner_of(program.pid) == self.owner and proc.runs_from(program.pid, self.root)
            else:
                ours = self._configured_for_owner(program.name.rpartition(":")[2], user)
            if not ours:
                return (
                    tr(
                        "The program {program} does not run as {user} from {root}, so root does not restart it "
                        "for {user}'s app.",
                        program=program.name,
                        user=user,
                        root=path_text(str(self.root)),
                    ),
                    tr(
                        "Give it user={user} and directory={root}, or restart it yourself (--no-restart).",
                        user=user,
                        root=self.root,
                    ),
                )
        return None

    def _configured_for_owner(self, program: str, user: str) -> bool:
        """What supervisor's own files say of a program that is down; they are root's, or they don't count."""
        for parser, name in supervisor_logs.sections(program, config_files()):
            if parser.get(name, "user", fallback="root") == user:
                place = parser.get(name, "directory", fallback="") or parser.get(name, "command", fallback="")
                return place == str(self.root) or place.startswith(f"{self.root}/")
        return False

    # ---- calling ----

    def _hint(self) -> str:
        user = owners.user_name(os.geteuid())
        return tr(
            "Is supervisord running, and may {user} use its socket? In supervisord.conf, "
            "[unix_http_server]: chmod=0770 and chown=root:{user}.",
            user=user,
        )

    def _call(
        self, words: Sequence[str], *, timeout: float, on_line: OnLine | None = None, marked: bool = False
    ) -> Completed:
        """supervisorctl looks for supervisord.conf in the working directory first: root never stands in a folder that
        is another user's."""
        program = which("supervisorctl")
        if program is None:
            raise ServiceFailed(tr("There is no supervisorctl on this machine."), tr("apt install supervisor"))
        return process.run(
            [program, *words],
            cwd="/" if owners.must_drop(self.owner) else self.root,
            env=environment.clean_environment(),
            timeout=timeout,
            on_line=on_line,
            marked=marked,
        )

    def as_dict(self) -> dict[str, Any]:
        return described(self)


def _because(program: Program) -> str:
    return (
        tr(" ({said})", said=clean(program.said, limit=120))
        if program.said and program.state in ("BACKOFF", "FATAL", "EXITED")
        else ""
    )


def config_files() -> list[str]:
    """supervisord.conf and the files that its [include] names, relative to it as supervisor reads them."""
    found = []
    for main in _CONFIGS:
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=False)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            if not parser.read(main, encoding="utf-8"):
                continue
            found.append(main)
            for pattern in parser.get("include", "files", fallback="").split():
                found += sorted(glob.glob(os.path.join(os.path.dirname(main), pattern)))
    return found
