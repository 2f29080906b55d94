"""A Docker Compose service whose code is bind-mounted from the checkout: its container is restarted, never rebuilt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy import owner as owners
from gitdeploy import process
from gitdeploy.process import Completed, Identity, which
from gitdeploy.services import processes
from gitdeploy.services.base import OnLine, ServiceFailed, failed
from gitdeploy.text import clean, duration_text, path_text

_ASK = 20.0  # seconds for a question
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
    kind: ClassVar[str] = "compose"

    def restart(self, on_line: OnLine | None = None) -> None:
        """A service without a container is started; `restart` alone would leave it down without a word."""
        verb = ["restart"] if self._ids() else ["up", "--detach", "--no-build", "--no-deps"]
        self._control(verb, "restarted", on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        self._control(["stop"], "stopped", on_line)

    def start(self, on_line: OnLine | None = None) -> None:
        self._control(["up", "--detach", "--no-build", "--no-deps"], "started", on_line)

    def reload(self, on_line: OnLine | None = None) -> bool:
        return False

    def _control(self, verb: Sequence[str], done_word: str, on_line: OnLine | None) -> None:
        done = self._compose(*verb, "--", self.name, timeout=self.timeout, on_line=on_line, marked=True)
        if done.timed_out:
            raise failed(self, done_word, f"not done after {duration_text(self.timeout)}.")
        if not done.ok:
            raise failed(self, done_word, done.error_text or done.ending, fault="server")

    # ---- asking ----

    def containers(self) -> tuple[Container, ...]:
        ids = self._ids()
        if not ids:
            return ()
        done = self._docker("inspect", f"--format={_FORMAT}", "--", *ids, timeout=_ASK).check(
            f"docker inspect of {self.name}"
        )
        found = []
        for line in done.text.splitlines():
            status, pid, restarts, health, code = (line.split("|") + [""] * 5)[:5]
            numbers = [int(word) if word.isdigit() else 0 for word in (pid, restarts)]
            found.append(Container(status, numbers[0], numbers[1], health, code))
        return tuple(found)

    def is_up(self) -> str | None:
        containers = self.containers()
        if not containers:
            return f"The compose service {self.name} has no container."
        for each in containers:
            if each.status == "restarting":
                return f"The container of {self.name} crashed (exit code {each.exit_code}) and is started again."
            if each.status != "running":
                return f"The container of {self.name} is {clean(each.status)} (exit code {each.exit_code})."
            if each.health not in ("", "healthy"):
                return f"The container of {self.name} is {clean(each.health)} by its own health check."
        return None

    def changing(self) -> str | None:
        for each in self.containers():
            if each.status in ("created", "restarting", "removing"):
                return f"The container of {self.name} is {each.status}."
            if (each.status, each.health) == ("running", "starting"):
                return f"The container of {self.name} is starting by its own health check."
        return None

    def gave_up(self) -> str | None:
        containers = self.containers()
        return self.is_up() if any(each.status in ("exited", "dead", "removing") for each in containers) else None

    def processes(self) -> tuple[Identity, ...]:
        pids = [each.pid for each in self.containers() if each.pid > 0]
        return processes.identities([*pids, *(below for pid in pids for below in processes.descendants(pid))])

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        moment = [f"--since={int(since)}"] if since is not None else []
        done = self._compose(
            "logs", "--no-color", "--no-log-prefix", f"--tail={most}", *moment, "--", self.name, timeout=_ASK
        )
        text = (done.stdout + done.stderr).decode("utf-8", "replace") if done.ok else ""
        return [clean(line, limit=500) for line in text.splitlines() if line.strip()][-most:]

    def restarts(self) -> int | None:
        """How often Docker started the containers again by their restart policy."""
        containers = self.containers()
        return sum(each.restarts for each in containers) if containers else None

    def problems(self) -> list[tuple[str, str]]:
        if which("docker") is None:
            return [("There is no docker on this machine.", "Install Docker with its compose plugin.")]
        done = self._compose("config", "--services", timeout=_ASK)
        user = owners.user_name(self.owner if owners.must_drop(self.owner) else os.geteuid())
        if not done.ok:
            hint = f"docker compose config, in the checkout, as {user}: it needs a compose file there, and {user} the right to use Docker."
            return [(f"docker compose can't be asked about {self.name}: {done.error_text or done.ending}", hint)]
        names = done.text.split()
        if self.name not in names:
            there = ", ".join(clean(name) for name in names) or "none"
            return [
                (f"The compose file in {path_text(str(self.root))} has no service {self.name}.", f"It has: {there}.")
            ]
        if not (asked := self._compose("ps", "--quiet", "--all", "--", self.name, timeout=_ASK)).ok:
            return [(f"Docker does not answer: {asked.error_text}", f"Is it running, and may {user} use it?")]
        return []

    # ---- calling ----

    def config(self, *words: str) -> Completed:
        """What `docker compose config` makes of the compose file."""
        return self._compose("config", *words, timeout=_ASK)

    def _ids(self) -> list[str]:
        done = self._compose("ps", "--quiet", "--all", "--", self.name, timeout=_ASK)
        if not done.ok:
            raise ServiceFailed(f"docker compose can't be asked about {self.name}: {done.error_text or done.ending}")
        return [word for word in done.text.split() if word.isalnum()]

    def _compose(self, *words: str, timeout: float, on_line: OnLine | None = None, marked: bool = False) -> Completed:
        return self._docker("compose", *words, timeout=timeout, on_line=on_line, marked=marked)

    def _docker(self, *words: str, timeout: float, on_line: OnLine | None = None, marked: bool = False) -> Completed:
        program = which("docker")
        if program is None:
            raise ServiceFailed("There is no docker on this machine.", "Install Docker with its compose plugin.")
        environment = process.clean_environment(owners.variables(self.owner))
        if not owners.must_drop(self.owner):  # which engine and which compose files: the operator's own choice
            environment.update({k: v for k, v in os.environ.items() if k.startswith(("DOCKER_", "COMPOSE_"))})
        return process.run(
            owners.command_as([program, *words], self.owner),
            cwd=self.root,
            env=environment,
            timeout=timeout,
            on_line=on_line,
            marked=marked,
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "root": str(self.root),
            "owner": self.owner,
            "timeout": self.timeout,
        }
