"""A deployment in a process of its own, outside the service that it restarts.

A request handler of the app, a worker of it and a shell inside its unit share the service's control group: the restart
would end them, and a deployment that runs in them with them. So it is handed to a process outside: a transient unit
(systemd-run(1)) of the system's manager for root, of the user's own manager for everybody else; a plain process where
that is outside enough. Where neither is, it is refused before anything is begun.

The other process is a `gitdeploy` like one that a person types. It is followed through state.db, so nothing is lost
when who follows is ended by the restart: the page, after it came up again, reads the same log.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gitdeploy.deployment.outside.as_owner import ONLY
from gitdeploy.errors import DeploymentFailed, GitDeployError, Interrupted
from gitdeploy.messages import heard, tr
from gitdeploy.services import (
    NO_ESCAPE,
    Service,
    ServiceFailed,
    escape_argv,
    open_services,
    privileged,
    shares_cgroup_with,
    shares_cgroup_with_app,
)
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.state.requests import RunFacts, RunFile
from gitdeploy.state.rows import how_far
from gitdeploy.system import background, interruption, process
from gitdeploy.system import environment as environment_
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, path_text

LOOK = ["watch", "--once"]
# The commands that root starts for whoever became the owner: those that restart the app, and what else the page begins.
STARTED = ("upgrade", "restore", "rollback", "contract", "recover", "rehearse", "backup")
START_LIMIT = 60.0  # seconds until the run must have begun
FOLLOW_LIMIT = 24 * 3600.0  # seconds
_LOOK = 0.2  # seconds between two looks at the log
_DIED_GRACE = 1.0  # seconds between a process's end and the last look at what it wrote

# What belongs to the process that starts the run, to its unit or its server, and would mislead another one.
_NOT_PASSED_ON = frozenset(
    "INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES MAINPID MANAGERPID WATCHDOG_PID "
    "WATCHDOG_USEC SYSTEMD_EXEC_PID MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE GUNICORN_FD GUNICORN_PID "
    "WERKZEUG_RUN_MAIN WERKZEUG_SERVER_FD GITDEPLOY_WEB_TOKEN PWD OLDPWD SHLVL _".split()
)

Tell = Callable[[str, str], None]
PROGRESS = "progress"  # the level of what says how far long work has come, again and again


class Outcome(Struct, frozen=True):
    """How the other process ended: its exit code, and the document that its `--json` prints (a result or an error)."""

    exit_code: int
    document: Mapping[str, Any]

    def error(self) -> GitDeployError | None:
        """The error that it ended with, as its JSON says it."""
        error = self.document.get("error")
        if isinstance(error, dict):
            return _Ended(error, self.exit_code)
        if self.exit_code == 0:
            return None
        return DeploymentFailed(
            tr(
                "The process that was to do it ended with exit code {exit_code} and said nothing.",
                exit_code=self.exit_code,
            ),
            tr("Run the same on the server, in a terminal."),
        )


class _Ended(GitDeployError):
    """An error that another process ended with."""

    def __init__(self, error: Mapping[str, Any], exit_code: int) -> None:
        super().__init__(clean(heard(error), lines=True), clean(heard(error, "hint"), lines=True))
        self.kind = str(error.get("kind", "failed"))  # type: ignore[misc]
        self.exit_code = exit_code


class Launched(Struct):
    """A run that was started in a process of its own. `where` says which: `the unit gitdeploy-1a2b3c.service`."""

    site: Site
    file: RunFile
    where: str
    started: float = field(default_factory=time.monotonic)
    plain: Identity | None = None  # the process, where it is not a unit

    def deployment(self, wait: float = 0) -> int | None:
        """The id of its deployment in state.db; None where it has begun none (yet), after WAIT seconds at most."""
        end = time.monotonic() + wait
        while True:
            number: int | None = self._ask(lambda database: database.requested(self.file.request))
            if number is not None:
                return number
            if time.monotonic() >= end or self.outcome() is not None:
                return None
            interruption.sleep(_LOOK)

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs. Raises `DeploymentFailed` where it was killed."""
        facts = self.file.read()
        if facts is None:
            self._must_begin()
            return None
        if facts.exit_code is not None:
            return Outcome(facts.exit_code, facts.document or {})
        if facts.process.alive():
            return None
        return self._last_words(facts)

    def ended(self) -> GitDeployError | None:
        """The error that it ended with; None while it runs, or where it did what it should."""
        try:
            outcome = self.outcome()
        except DeploymentFailed as error:
            return error
        return outcome.error() if outcome is not None else None

    def wait(self, timeout: float = FOLLOW_LIMIT) -> Outcome:
        """How it ended, once it has. Raises `DeploymentFailed` where it was killed or is not done after TIMEOUT seconds."""
        return self.follow(_unheard, timeout)

    def follow(self, tell: Tell, timeout: float = FOLLOW_LIMIT) -> Outcome:
        """Tell each line of its log (level, text) as it comes, and how far it is, until it has ended. Raises as `wait`; `Interrupted` for a
        signal, where SIGINT interrupts the deployment too (it is undone, and followed to its end first)."""
        deadline = time.monotonic() + timeout
        since = 0
        followed: int | None = None
        while True:
            ended = self.outcome()
            number = self.deployment()
            # Where it begins one after the other, the end of each comes before the next.
            for each in dict.fromkeys(one for one in (followed, number) if one is not None):
                for line in self._lines(each, since):
                    since, _, level, text = line
                    tell(level, text)
            if number is not None and (far := self._how_far(number)):
                tell(PROGRESS, far)
            followed = number
            if ended is not None:
                self.file.remove()
                return ended
            if time.monotonic() > deadline:
                raise DeploymentFailed(
                    tr("Not done after {timeout} s, in {where}.", timeout=f"{timeout:.0f}", where=self.where),
                    tr("Watch it: gitdeploy log -f"),
                )
            try:
                interruption.sleep(_LOOK)
            except Interrupted as signalled:
                if signalled.signal_number != signal.SIGINT:
                    # The restart of our own service may be what ends us: the deployment must go on.
                    raise Interrupted(
                        signalled.signal_number,
                        tr("The deployment goes on, in {where}.", where=self.where),
                        tr("Watch it: gitdeploy log -f"),
                    ) from signalled
                self.interrupt()
                with interruption.shield():
                    return self.follow(tell, deadline - time.monotonic())

    def interrupt(self) -> None:
        """As ^C would: what it has begun is undone."""
        facts = self.file.read()
        if facts is not None and facts.process.alive():
            with suppress(OSError):
                os.kill(facts.process.pid, signal.SIGINT)

    def _must_begin(self) -> None:
        gone = self.plain is not None and not self.plain.alive()
        if not gone and time.monotonic() - self.started < START_LIMIT:
            return
        time.sleep(_DIED_GRACE)
        if self.file.read() is None:
            printed = ""
            with suppress(OSError):
                printed = clean(self.file.output.read_text(errors="replace")[-2000:], lines=True).strip()
            raise DeploymentFailed(
                tr("gitdeploy did not start in {where}: {last}", where=self.where, last=printed.splitlines()[-1])
                if printed
                else tr("gitdeploy did not start in {where}.", where=self.where),
                tr("Run it from a login shell to see why; nothing live was touched."),
            )

    def _last_words(self, facts: RunFacts) -> Outcome:
        """It may have ended in order between two looks; else it was killed."""
        time.sleep(_DIED_GRACE)
        facts = self.file.read() or facts
        if facts.exit_code is not None:
            return Outcome(facts.exit_code, facts.document or {})
        raise DeploymentFailed(
            tr("The deployment in {where} was killed before its end.", where=self.where),
            tr("The next command repairs it automatically; to do it now: gitdeploy recover"),
        )

    def _lines(self, deployment: int, since: int) -> list[tuple[int, str, str, str]]:
        return self._ask(lambda database: database.lines(deployment, since)) or []

    def _how_far(self, deployment: int) -> str:
        return self._ask(lambda database: how_far(database.steps(deployment))) or ""

    def _ask(self, question: Callable[[Database], Any]) -> Any:
        with suppress(DeploymentFailed):  # moved aside or made anew at this very moment
            database = self.site.read_database()
            if database is not None:
                with database:
                    return question(database)
        return None


def _unheard(level: str, text: str) -> None:
    """Nobody listens."""


def must_move_out(site: Site) -> bool:
    """Whether restarting the app from here would (or may well) end this very process. Costs no child process where this
    one is in no service."""
    services = open_services(site.config.service, site.root)
    return any(_shares(service) for service in services) or (bool(services) and shares_cgroup_with_app(site.root))


def _shares(service: Service) -> bool:
    try:
        return shares_cgroup_with(service)
    except ServiceFailed:
        return False  # preflight says why it can't be asked


def launch(site: Site, words: Sequence[str], *, performer: str, request: str) -> Launched:
    """Run `gitdeploy WORDS` (a command and its options: ["upgrade", "v1.2.9.1"]) for SITE outside this process's service,
    and come back at once. It asks no question: what would, needs its `--yes`.

    performer: who asked, as the log shows it: `alice, on the page`. request: 32 hexadecimal digits, made up by who asks;
    its deployment is found in the journal by them.
    Raises `DeploymentFailed` where there is no way out of the service, or the process can't be started.
    """
    site.require_owner()
    site.make_state()
    file = RunFile(site.state.requests, request)
    own = site.config.file is None or site.config.file == site.root / "deploy.yaml"
    argv = _command(site.root, None if own else site.config.file, words)
    environment = _environment(request, performer)
    services = open_services(site.config.service, site.root)
    if privileged.available():
        return _launch_as_root(site, file, words, performer, plain=not _certain_end(services))
    try:
        refusal = _start_unit(argv, request, environment)
        if refusal is None:
            return Launched(site, file, _unit_shown(request))
    except ServiceFailed as error:
        refusal = tr("({message})", message=error.message)
    if _certain_end(services):
        raise DeploymentFailed(f"{NO_ESCAPE[0]} {refusal}".rstrip(), NO_ESCAPE[1])
    try:
        file.folder.mkdir(mode=0o700, exist_ok=True)
        plain = background.detach(argv, cwd="/", env=environment, output=file.output)
    except OSError as error:
        raise DeploymentFailed(
            tr(
                "The deployment can't be started: {filename}: {strerror}.",
                filename=path_text(str(error.filename or file.folder)),
                strerror=error.strerror,
            )
        ) from error
    return Launched(site, file, tr("process {pid}", pid=plain.pid), plain=plain)


def _launch_as_root(site: Site, file: RunFile, words: Sequence[str], performer: str, *, plain: bool) -> Launched:
    """By root's process: what it starts becomes the owner by itself, with a process of root's own. A child of ours would get
    our socket to root's, and with it anybody of the owner's (pidfd_getfd(2))."""
    file.folder.mkdir(mode=0o700, exist_ok=True)
    try:
        where, begun = privileged.launch_as_root(list(words), file.request, performer, plain=plain)
    except ServiceFailed as error:
        raise DeploymentFailed(
            tr("{no_escape} ({message})", no_escape=NO_ESCAPE[0], message=error.message), NO_ESCAPE[1]
        ) from error
    return Launched(site, file, where, plain=begun)


def _certain_end(services: Sequence[Service]) -> bool:
    """Whether a plain process, in a session of its own, would be ended with the service: a session leads out of a
    process group, not of a control group."""
    return any(service.kind == "systemd" and _shares(service) for service in services)


def root_launcher(root: Path, owner: int, config_file: Path | None) -> privileged.Launch:
    """What root's process does for those who became ROOT's OWNER: start a command that may restart the app, as root again,
    which becomes the owner in its turn. Of what it is told it takes no more than the words of such a command, and whatever
    those say (`-A` and `-C` may stand behind the command), it works in ROOT as OWNER or not at all."""

    def start(words: list[str], request: str, performer: str, plain: bool) -> tuple[str, Identity | None]:
        known = words[:1] in [[each] for each in STARTED] and "--install-unit" not in words
        if not (known or words == LOOK) or not re.fullmatch(r"[0-9a-f]{32}", request):
            raise ValueError("no command that is started for others")
        argv = _command(root, config_file, words)
        environment = {**_environment(request, performer), ONLY: f"{owner}:{root}"}
        refusal = _start_unit(argv, request, environment)
        if refusal is None:
            return _unit_shown(request), None
        if not plain:
            raise ServiceFailed(f"No unit could be started {refusal}".rstrip() + ".")
        begun = background.detach(argv, cwd="/", env=environment, output=os.devnull)
        return tr("process {pid}", pid=begun.pid), begun

    return start


def _command(root: Path, config_file: Path | None, words: Sequence[str]) -> list[str]:
    named = ["--config", str(config_file)] if config_file is not None else []
    return [interpreter(), "-P", "-m", "gitdeploy", "-C", str(root), *named, "--json", *words]


def _environment(request: str, performer: str) -> dict[str, str]:
    passed_on = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    return {**passed_on, "GITDEPLOY_REQUEST": request, "GITDEPLOY_PERFORMER": clean(performer, limit=100)}


def _unit_shown(request: str) -> str:
    return tr("the unit {unit}.service", unit=_unit(request))


def _unit(request: str) -> str:
    return f"gitdeploy-{request[:12]}"


def _start_unit(argv: Sequence[str], request: str, environment: Mapping[str, str]) -> str | None:
    """Run ARGV in a transient unit. None where it runs, else why not (empty: there is no manager to ask)."""
    unit = _unit(request)
    folder = "/run" if os.geteuid() == 0 else f"/run/user/{os.geteuid()}"
    if escape_argv(argv, unit) is None:
        return ""
    try:
        descriptor, name = tempfile.mkstemp(prefix="gitdeploy-", suffix=".env", dir=folder)
    except OSError as error:
        return tr("({folder}: {strerror})", folder=folder, strerror=error.strerror)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(environment_file(environment))
        words = escape_argv(argv, unit, environment_file=Path(name))
        assert words is not None
        done = process.run(words, cwd="/", env=environment_.clean_environment(), timeout=START_LIMIT)
        return None if done.ok else tr("(systemd-run: {error_text})", error_text=done.error_text or done.ending)
    finally:
        # systemd has read it when systemd-run returns: the service's type is exec.
        os.unlink(name)


def environment_file(environment: Mapping[str, str]) -> str:
    """ENVIRONMENT as `EnvironmentFile=` reads it (systemd.exec(5)): quoted, line feeds and all."""
    lines = []
    for name, value in environment.items():
        if name.isidentifier() and name.isascii() and "\0" not in value:
            quoted = "".join(f"\\{each}" if each in '"\\`$' else each for each in value)
            lines.append(f'{name}="{quoted}"\n')
    return "".join(lines)


def interpreter() -> str:
    """The Python that runs this gitdeploy, by its real path: the venv's link may lead to another generation in a moment.
    Inside uWSGI or mod_wsgi `sys.executable` is the server."""
    if sys.prefix != sys.base_prefix:
        for name in ("python", "python3"):
            if os.access(own := f"{os.path.realpath(sys.prefix)}/bin/{name}", os.X_OK):
                return own
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return f"{sys.base_prefix}/bin/python3"
