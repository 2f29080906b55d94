"""The processes of `gitdeploy web --all`: one that starts the others, the page, and one for each app.

The one that starts them opens nothing and answers nobody; run by root it stays root. The page, which browsers reach, is of a
user of its own that owns nothing but its sessions. The process of an app becomes that app's owner before it reads anything
there, as every gitdeploy of root's does (`gitdeploy.deployment.outside.as_owner`), with root's small process beside it. So
neither what comes over the network nor what an app's owner prepared meets more rights than it has anyway.

All are copies of this process, so what they share is in memory once. Each ends with the one that started it, however that ends.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from msgspec import Struct, field

from gitdeploy.config.apps_list import AppsList, Listed
from gitdeploy.config.envfile import EnvFile
from gitdeploy.deployment import outside
from gitdeploy.errors import ConfigError, DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.several.listed import read_list
from gitdeploy.system import owner as owners
from gitdeploy.system.trusted import weak
from gitdeploy.text import path_text, shell_word
from gitdeploy.web.access.access import ENVIRONMENT_TOKEN
from gitdeploy.web.access.store import Store
from gitdeploy.web.page.document import templates
from gitdeploy.web.serving import ending, server, together
from gitdeploy.web.shared.behind import SOCKET

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STEP = 1.0  # seconds between two looks at the list
_STABLE = 10.0  # seconds; a process that ended earlier is started again more slowly each time
_SLOWEST = 30.0  # seconds
_OURS = "gitdeploy-page-"
_ENDS_WITHIN = 10.0  # seconds that a process has to end
_ENVIRONMENT = Path("/etc/gitdeploy")  # NAME.env: variables for the process of one app, as its own unit would read them

log = logging.getLogger(__name__)


class User(Struct, frozen=True):
    """Whom the page is served as."""

    uid: int
    gid: int


class _Member(Struct):
    """A process of the family; `pid` 0 while there is none. `listening`: its socket, where it is of an app."""

    name: str
    begin: Callable[[], NoReturn]
    listening: socket.socket | None = None
    pid: int = 0
    since: float = 0.0
    again: float = 0.0  # when to start it, by time.monotonic()
    failures: int = 0


class Family(Struct):
    """All of them: for the apps of LISTED, with the page on the bound sockets PAGE and its sessions in STORE. USER: whom root
    serves it as."""

    listed: AppsList
    page: list[socket.socket]
    store: Store
    user: User | None
    folder: Path = field(default_factory=Path)
    members: dict[str, _Member] = field(default_factory=dict)
    lifeline: tuple[int, int] = (-1, -1)
    stamp: float | None = None

    def serve(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. READY is called when all are started."""
        templates()  # half a second, once for all
        _remove_old(_runtime_folder())
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_OURS}{os.getpid()}-", dir=_runtime_folder()))
        if self.user is not None:
            os.chown(self.folder, self.user.uid, self.user.gid)
        self.lifeline = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._take_up(self.listed)
            self.members[""] = _Member(tr("the page"), self._serve_page)
            self._start_due()
            ready()
            while not self._wait():
                self._read_again()
                self._start_due()
        finally:
            self._end(list(self.members.values()))
            shutil.rmtree(self.folder, ignore_errors=True)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    # ---- who belongs to it ----

    def _take_up(self, listed: AppsList) -> None:
        """Have a process for each app of LISTED and for no other."""
        gone = [app.name for app in self.listed.apps if app not in listed.apps]
        self._end([self.members.pop(name) for name in gone if name in self.members])
        for app in listed.apps:
            if app.name not in self.members:
                self.members[app.name] = _Member(app.name, partial(self._serve_app, app), self._listen(app.name))
        self.listed = listed

    def _read_again(self) -> None:
        """The list, where it changed; as it was while somebody is at it."""
        with suppress(ConfigError, OSError):
            stamp = self.listed.file.stat().st_mtime
            if stamp != self.stamp:
                found = read_list(self.listed.file)
                self.stamp = stamp
                self._take_up(found)  # its settings too: a page that is started again begins with them

    def _listen(self, name: str) -> socket.socket:
        """A socket of the app NAME. Everybody may connect who may enter the folder: the page."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        before = os.umask(0)
        try:
            listening.bind(str(self.folder / SOCKET.format(name=name)))
        finally:
            os.umask(before)
        listening.listen(128)
        return listening

    # ---- their lives ----

    def _wait(self) -> bool:
        """For a signal, or a moment; whether it is time to end."""
        found = signal.sigtimedwait(_SIGNALS, _STEP)
        self._note_ended()
        return found is not None and found.si_signo in (signal.SIGTERM, signal.SIGINT)

    def _note_ended(self) -> None:
        for member in [member for member in self.members.values() if member.pid]:
            status = -1
            with suppress(ChildProcessError):
                pid, status = os.waitpid(member.pid, os.WNOHANG)
                if pid == 0:
                    continue
            now = time.monotonic()
            member.failures = 0 if now - member.since >= _STABLE else member.failures + 1
            member.again = now + (min(_SLOWEST, 2.0**member.failures / 2) if member.failures else 0.0)
            member.pid = 0
            if status != 0:  # 0: it said for a while why its app can't be opened
                log.warning(tr("The process of %s ended and is started again."), member.name)

    def _start_due(self) -> None:
        for member in self.members.values():
            if not member.pid and member.again <= time.monotonic():
                member.since = time.monotonic()
                member.pid = os.fork()
                if member.pid == 0:
                    _live(member.begin)

    def _end(self, members: Iterable[_Member]) -> None:
        living = [member for member in members if member.pid]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for member in living:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, number)
            end = time.monotonic() + _ENDS_WITHIN
            while living and time.monotonic() < end:
                living = [member for member in living if not _is_over(member.pid)]
                time.sleep(0.02 if living else 0)
        for member in members:
            if member.listening is not None:
                member.listening.close()
                (self.folder / SOCKET.format(name=member.name)).unlink(missing_ok=True)

    # ---- what each does, in its own process ----

    def _serve_page(self) -> NoReturn:
        self._keep_only(None)
        if self.user is not None:
            owners.become(self.user.uid, self.user.gid)
        self._end_with_it()
        app = together.make_front(self.listed, self.store, self.folder)
        server.run(app, _nothing, sockets=self.page)
        raise SystemExit

    def _serve_app(self, app: Listed) -> NoReturn:
        listening = self.members[app.name].listening
        assert listening is not None
        self._keep_only(listening)
        variables: dict[str, str] = {}
        try:
            self._refuse_page_user(app)
            variables = _variables(app.name) if os.geteuid() == 0 else {}
            os.environ.update(variables)  # for root's small process, which starts the deployments
            outside.as_owner.become_owner(app.folder)
            os.environ.update(variables)
        except (GitDeployError, OSError) as error:
            if self.user is not None and os.geteuid() == 0:  # it may have become the owner already
                for name in variables:
                    os.environ.pop(name, None)  # they are that app's
                owners.become(self.user.uid, self.user.gid)
            self._end_with_it()
            why = error if isinstance(error, GitDeployError) else DeploymentFailed(
                tr("{folder} can't be read: {strerror}.", folder=path_text(str(app.folder)), strerror=error.strerror)
            )  # fmt: skip
            together.serve_refusal(listening, why)
            raise SystemExit from error
        self._end_with_it()
        together.serve_behind(listening, app)
        raise SystemExit

    def _refuse_page_user(self, app: Listed) -> None:
        """Raises `DeploymentFailed` where the page's user, whom browsers reach, owns APP. (One that was listed before the page
        was served is refused by the command.)"""
        with suppress(OSError):
            if self.user is None or app.folder.stat().st_uid != self.user.uid:
                return
            raise DeploymentFailed(
                tr(
                    "The page of all apps is not served as {user}, who owns {name}.",
                    user=owners.user_name(self.user.uid),
                    name=app.name,
                ),
                tr("Name a user that owns nothing else: gitdeploy web --all --user NAME"),
            )

    def _keep_only(self, own: socket.socket | None) -> None:
        """Close the others' sockets: what is asked of one app is never heard by another's owner."""
        os.close(self.lifeline[1])
        for each in [member.listening for member in self.members.values()]:
            if each is not None and each is not own:
                each.close()
        if own is not None:
            for each in self.page:
                each.close()

    def _end_with_it(self) -> None:
        """From now on this process ends with the one that started it. (A signal of the kernel's for that, prctl(2), is
        forgotten by a process that becomes another user.)"""

        def watch() -> None:
            os.read(self.lifeline[0], 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, name="gitdeploy-lifeline", daemon=True).start()


def _live(begin: Callable[[], NoReturn]) -> NoReturn:
    """In a new process: what BEGIN does, and nothing of what the other was about to do."""
    code = 1
    try:
        ending.take_over()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        begin()
    except SystemExit:
        code = 0
    except Exception:
        log.exception("gitdeploy web --all: a process met an error that it did not foresee")
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _is_over(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def _variables(name: str) -> dict[str, str]:
    """What the app's own unit would read from /etc/gitdeploy/NAME.env. Raises `ConfigError` for a file that others than root
    can change."""
    file = _ENVIRONMENT / f"{name}.env"
    if not file.exists():
        return {}
    if (found := weak(file)) is not None:
        raise ConfigError(
            tr(
                "{file} is not read: {who} can change {found} (mode {mode}).",
                file=path_text(str(file)),
                who=found.who,
                found=path_text(found.path),
                mode=f"{found.mode:04o}",
            ),
            tr("Look at what is there, then: chown root {place} && chmod go-w {place}", place=shell_word(found.path)),
        )
    bindings = EnvFile.parse(file.read_bytes(), path_text(str(file))).bindings
    return {each.name: each.value or "" for each in bindings if each.name != ENVIRONMENT_TOKEN}


def _runtime_folder() -> str:
    if os.geteuid() == 0:
        return os.environ.get("RUNTIME_DIRECTORY") or "/run"  # the unit's own, which systemd removes
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    return own if own and os.access(own, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _remove_old(place: str) -> None:
    """What pages left in PLACE that were killed."""
    for folder in Path(place).glob(f"{_OURS}*"):
        with suppress(OSError, ValueError):
            ours = os.geteuid() in (0, folder.lstat().st_uid)
            if ours and not os.path.exists(f"/proc/{int(folder.name.split('-')[2])}"):
                shutil.rmtree(folder, ignore_errors=True)


def _nothing() -> None:
    """There is nothing to say: the page is announced by the process that started this one."""
