"""A Docker Compose service whose code is bind-mounted from the checkout: its container is restarted, never rebuilt.

Compose is `docker compose`, Docker's plugin, or the older program `docker-compose`: the words that are used here mean the
same to both. An engine with Docker's API (Podman's socket) is asked as Docker is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.messages import joined, tr
from gitdeploy.services.base import OnLine, ServiceFailed, described, failed
from gitdeploy.system import environment as environment_
from gitdeploy.system import owner as owners
from gitdeploy.system import proc, process
from gitdeploy.system.completed import Completed
from gitdeploy.system.environment import which
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, path_text, telling_line

_ASK = 20.0  # seconds for a question
_NO_DOCKER = (tr("There is no docker on this machine."), tr("Install Docker with its compose plugin."))
_NO_COMPOSE = (
    tr("Docker has no compose here: neither `docker compose` nor `docker-compose` works."),
    tr("Install Docker's compose plugin (Debian and Ubuntu: the package docker-compose)."),
)
_OWN_MOUNTS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")  # an engine puts its own files there in a container
_FORMAT = "{{.State.Status}}|{{.State.Pid}}|{{.RestartCount}}|{{if .State.Health}}{{.State.Health.Status}}{{end}}|{{.State.ExitCode}}"


class Container(Struct, frozen=True):
    """What `docker inspect` says of one container. `health` is empty where it has no health check of its own."""

    status: str
    pid: int
    restarts: int
    health: str
    exit_code: str


class Compose(Struct):
    """A service of the compose file in the checkout. Docker is always asked as the checkout's owner: the compose file is
    the owner's, and root's Docker would do whatever it says."""

    name: str
    root: Path
    owner: int
    timeout: float = 60.0
    compose_words: tuple[str, ...] | None = None  # how compose is called, once that was found out
    ids: tuple[str, ...] = ()  # of its containers, once found: compose takes ten times as long to tell them as Docker
    kind: ClassVar[str] = "compose"

    def restart(self, on_line: OnLine | None = None) -> None:
        """A service without a container is started; `restart` alone would leave it down without a word."""
        verb = ["restart"] if self._ids_outside() else ["up", "--detach", "--no-build", "--no-deps"]
        self._control(verb, tr("restarted"), on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        self._ids_outside()
        self._control(["stop"], tr("stopped"), on_line)

    def start(self, on_line: OnLine | None = None) -> None:
        self._control(["up", "--detach", "--no-build", "--no-deps"], tr("started"), on_line)

    def _control(self, verb: Sequence[str], done_word: str, on_line: OnLine | None) -> None:
        self.ids = ()
        done = self._compose(*verb, "--", self.name, timeout=self.timeout, on_line=on_line, marked=True)
        if done.timed_out:
            raise failed(self, done_word, tr("not done after {timeout}.", timeout=duration_text(self.timeout)))
        if not done.ok:
            raise failed(self, done_word, _why(done), fault="server")

    # ---- asking ----

    def containers(self) -> tuple[Container, ...]:
        known = self.ids
        ids = known or self._ids()
        if not ids:
            return ()
        done = self._docker("inspect", f"--format={_FORMAT}", "--", *ids, timeout=_ASK)
        if not done.ok and known:  # somebody made them anew meanwhile
            self.ids = ()
            return self.containers()
        done.check(f"docker inspect of {self.name}")
        self.ids = tuple(ids)
        found = []
        for line in done.text.splitlines():
            status, pid, restarts, health, code = (line.split("|") + [""] * 5)[:5]
            numbers = [int(word) if word.isdigit() else 0 for word in (pid, restarts)]
            found.append(Container(status, numbers[0], numbers[1], health, code))
        return tuple(found)

    def is_up(self) -> str | None:
        containers = self.containers()
        if not containers:
            return tr("The compose service {name} has no container.", name=self.name)
        for each in containers:
            if each.status == "restarting":
                return tr(
                    "The container of {name} crashed (exit code {exit_code}) and is started again.",
                    name=self.name,
                    exit_code=each.exit_code,
                )
            if each.status != "running":
                return tr(
                    "The container of {name} is {status} (exit code {exit_code}).",
                    name=self.name,
                    status=clean(each.status),
                    exit_code=each.exit_code,
                )
            if each.health not in ("", "healthy"):
                return tr(
                    "The container of {name} is {health} by its own health check.",
                    name=self.name,
                    health=clean(each.health),
                )
        return None

    def changing(self) -> str | None:
        for each in self.containers():
            if each.status in ("created", "restarting", "removing"):
                return tr("The container of {name} is {status}.", name=self.name, status=each.status)
            if (each.status, each.health) == ("running", "starting"):
                return tr("The container of {name} is starting by its own health check.", name=self.name)
        return None

    def gave_up(self) -> str | None:
        containers = self.containers()
        return self.is_up() if any(each.status in ("exited", "dead", "removing") for each in containers) else None

    def processes(self) -> tuple[Identity, ...]:
        pids = [each.pid for each in self.containers() if each.pid > 0]
        return proc.identities([*pids, *(below for pid in pids for below in proc.descendants(pid))])

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        """Of the containers by themselves: the older compose can't be asked for the lines since a moment."""
        moment = [f"--since={int(since)}"] if since is not None else []
        said: list[str] = []
        try:
            for each in self.ids or self._ids():
                done = self._docker("logs", f"--tail={most}", *moment, "--", each, timeout=_ASK)
                text = (done.stdout + done.stderr).decode("utf-8", "replace") if done.ok else ""
                said += [clean(line, limit=500) for line in text.splitlines() if line.strip()]
        except ServiceFailed:
            return []
        return said[-most:]

    def restarts(self) -> int | None:
        """How often Docker started the containers again by their restart policy."""
        containers = self.containers()
        return sum(each.restarts for each in containers) if containers else None

    def problems(self) -> list[tuple[str, str]]:
        if which("docker") is None:
            return [_NO_DOCKER]
        if self._program() is None:
            return [_NO_COMPOSE]
        done = self._compose("config", "--services", timeout=_ASK)
        user = owners.user_name(self.owner if owners.must_drop(self.owner) else os.geteuid())
        if not done.ok:
            hint = tr(
                "{called} config, in the checkout, as {user}: it needs a compose file there, and {user} "
                "the right to use Docker.",
                called=self._called(),
                user=user,
            )
            return [
                (
                    tr(
                        "{called} can't be asked about {name}: {why}",
                        called=self._called(),
                        name=self.name,
                        why=_why(done),
                    ),
                    hint,
                )
            ]
        names = done.text.split()
        if self.name not in names:
            there = joined(", ", (clean(name) for name in names)) or tr("none")
            return [
                (
                    tr(
                        "The compose file in {root} has no service {name}.",
                        root=path_text(str(self.root)),
                        name=self.name,
                    ),
                    tr("It has: {there}.", there=there),
                )
            ]
        if not (asked := self._compose("ps", "--quiet", "--all", "--", self.name, timeout=_ASK)).ok:
            return [
                (
                    tr("Docker does not answer: {why}", why=_why(asked)),
                    tr("Is it running, and may {user} use it?", user=user),
                )
            ]
        return [self._inside()] if runs_in_container(words_of(asked)) else []

    # ---- calling ----

    def config(self, *words: str) -> Completed:
        """What `docker compose config` makes of the compose file."""
        return self._compose("config", *words, timeout=_ASK)

    def _ids(self) -> list[str]:
        done = self._compose("ps", "--quiet", "--all", "--", self.name, timeout=_ASK)
        if not done.ok:
            raise ServiceFailed(
                tr("{called} can't be asked about {name}: {why}", called=self._called(), name=self.name, why=_why(done))
            )
        return words_of(done)

    def _ids_outside(self) -> list[str]:
        """The same, before they are ended. Raises `ServiceFailed` where that would end this process."""
        ids = self._ids()
        if runs_in_container(ids):
            raise ServiceFailed(*self._inside())
        return ids

    def _inside(self) -> tuple[str, str]:
        return (
            tr(
                "gitdeploy runs inside the container of {name}, which it has to restart, and would be ended with it.",
                name=self.name,
            ),
            tr("Run it outside the container, on the machine that Docker runs on."),
        )

    def _program(self) -> tuple[str, ...] | None:
        """How compose is called here: Docker's plugin, else the older program; None where there is neither."""
        if self.compose_words is None:
            docker, older = which("docker"), which("docker-compose")
            if docker is not None and self._run((docker, "compose", "version"), timeout=_ASK).ok:
                self.compose_words = (docker, "compose")
            else:
                self.compose_words = (older,) if older is not None else ()
        return self.compose_words or None

    def _called(self) -> str:
        return "docker-compose" if self.compose_words and len(self.compose_words) == 1 else "docker compose"

    def _compose(self, *words: str, timeout: float, on_line: OnLine | None = None, marked: bool = False) -> Completed:
        program = self._program()
        if program is None:
            raise ServiceFailed(*(_NO_COMPOSE if which("docker") else _NO_DOCKER))
        return self._run((*program, *words), timeout=timeout, on_line=on_line, marked=marked)

    def _docker(self, *words: str, timeout: float) -> Completed:
        program = which("docker")
        if program is None:
            raise ServiceFailed(*_NO_DOCKER)
        return self._run((program, *words), timeout=timeout)

    def _run(
        self, argv: Sequence[str], *, timeout: float, on_line: OnLine | None = None, marked: bool = False
    ) -> Completed:
        environment = environment_.clean_environment(owners.variables(self.owner))
        if not owners.must_drop(self.owner):  # which engine and which compose files: the operator's own choice
            environment.update({k: v for k, v in os.environ.items() if k.startswith(("DOCKER_", "COMPOSE_"))})
        return process.run(
            owners.command_as(argv, self.owner),
            cwd=self.root,
            env=environment,
            timeout=timeout,
            on_line=on_line,
            marked=marked,
        )

    def as_dict(self) -> dict[str, Any]:
        return described(self)


def _why(done: Completed) -> str:
    """The line that says it: the older compose, written in Python, ends with a whole traceback."""
    return telling_line(done.error_text.splitlines()) or done.ending


def words_of(ids: Completed) -> list[str]:
    """The container ids that `ps --quiet` prints."""
    return [word for word in ids.text.split() if word.isalnum()]


def runs_in_container(ids: Sequence[str]) -> bool:
    """Whether this process is in one of these containers: by its control group, or by the files that the engine has put
    over those of the image, which stand in a folder named after the container."""
    try:
        groups = Path("/proc/self/cgroup").read_text()
        mounts = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return False
    own = groups + " ".join(words[3] for words in mounts if words[4] in _OWN_MOUNTS)
    return any(each in own for each in ids)
