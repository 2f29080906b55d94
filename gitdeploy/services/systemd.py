"""systemd units: services, templates (`app@1`), sockets, timers; of the system, or of the checkout owner's own manager.

Facts come from `systemctl show` (systemd.unit(5), org.freedesktop.systemd1(5)), log lines from journalctl. The right to
restart is root's, or given by polkit or sudo: see docs/services.md.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.services import sudo
from gitdeploy.services.base import OnLine, ServiceFailed, described, failed
from gitdeploy.services.journal import unreadable_journal
from gitdeploy.services.units import discover
from gitdeploy.system import environment as environment_
from gitdeploy.system import owner as owners
from gitdeploy.system import proc, process
from gitdeploy.system.completed import Completed
from gitdeploy.system.environment import which
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, listing, path_text

_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,254}")
_TYPES = (".service", ".socket", ".timer", ".target", ".path", ".slice", ".scope", ".mount")
_PROPERTIES = (
    "Id,LoadState,LoadError,ActiveState,SubState,Result,Type,MainPID,ControlGroup,NRestarts,User,DynamicUser,"
    "WorkingDirectory,ExecStart,ExecMainCode,ExecMainStatus,CanReload,CanStart,FragmentPath,Triggers,"
    "Environment,EnvironmentFiles,UnsetEnvironment"
)
_ASK = 15.0  # seconds for a question to systemd
_NO_RIGHT = (
    "authentication required",
    "access denied",
    "authorization",
    "not authorized",
    "permission denied",
)
_SUDO_NO = ("password is required", "not allowed to execute", "not in the sudoers", "may not run sudo")
_ENDINGS = {
    "timeout": tr("did not become ready in time"),
    "watchdog": tr("missed its watchdog"),
    "oom-kill": tr("was killed for lack of memory"),
    "start-limit-hit": tr("crashed too often in a row and is not started again"),
    "protocol": tr("did not tell systemd that it is ready"),
    "resources": tr("could not be started for lack of resources"),
}
NO_SYSTEMD = tr("This machine was not started by systemd, so there are no units here.")


def unit_name(text: str) -> str:
    """The full name: `otrs-web` is `otrs-web.service`. Raises `ServiceFailed` for what is not a unit's name."""
    if not _UNIT.fullmatch(text):
        raise ServiceFailed(tr("{text} is not a name of a systemd unit.", text=clean(text, limit=80)))
    return text if text.endswith(_TYPES) else f"{text}.service"


def booted() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


class SystemdUnit(Struct):
    """One unit. `timeout`: seconds that stopping and starting may take. `user`: of the owner's own manager (None: not
    yet known; the system's is asked first)."""

    name: str
    root: Path
    owner: int
    timeout: float = 60.0
    user: bool | None = None
    kind: ClassVar[str] = "systemd"

    def __post_init__(self) -> None:
        self.name = unit_name(self.name)

    # ---- doing ----

    def restart(self, on_line: OnLine | None = None) -> None:
        """Also a unit that systemd had given up on: its count of failures is put to zero first."""
        self._require_ours()
        self._call("reset-failed", timeout=_ASK)  # fails harmlessly where the unit was never loaded
        self._control("restart", tr("restarted"), on_line)

    def stop(self, on_line: OnLine | None = None) -> None:
        self._require_ours()
        self._control("stop", tr("stopped"), on_line)

    def start(self, on_line: OnLine | None = None) -> None:
        self._require_ours()
        self._call("reset-failed", timeout=_ASK)
        self._control("start", tr("started"), on_line)

    def _control(self, verb: str, done_word: str, on_line: OnLine | None) -> None:
        begun = time.time()
        done = self._call(verb, timeout=self.timeout, on_line=on_line, marked=True)
        if done.ok:
            return
        if done.timed_out:
            state = self.is_up() or tr("{name} is up now", name=self.name)
            raise failed(
                self,
                done_word,
                tr("not done after {timeout}; {state}", timeout=duration_text(self.timeout), state=state),
                since=begun,
            )
        if _refused(done):
            raise ServiceFailed(
                tr(
                    "{name} could not be {done_word}: {user_name} has no right to do so.",
                    name=self.name,
                    done_word=done_word,
                    user_name=owners.user_name(os.geteuid()),
                ),
                self._right_hint(),
            )
        raise failed(self, done_word, self.is_up() or done.error_text, since=begun)

    # ---- asking ----

    def is_up(self) -> str | None:
        facts = self.facts()
        active, sub = facts.get("ActiveState", ""), facts.get("SubState", "")
        if active == "active" and sub not in ("auto-restart", "auto-restart-queued"):
            return None
        if facts.get("LoadState") == "not-found":
            return tr("There is no unit {name}.", name=self.name)
        if sub.startswith("auto-restart"):
            return tr("{name} crashed ({ending}) and is started again.", name=self.name, ending=_ending(facts))
        if active == "failed":
            return tr("{name} has failed ({ending}).", name=self.name, ending=_ending(facts))
        if active == "activating":
            return tr("{name} is still starting.", name=self.name)
        if active == "deactivating" and facts.get("Result") not in (None, "", "success"):
            return tr("{name} crashed ({ending}).", name=self.name, ending=_ending(facts))
        return tr(
            "{name} is {active} ({sub}).", name=self.name, active="down" if active == "inactive" else active, sub=sub
        )

    def changing(self) -> str | None:
        facts = self.facts()
        words = {
            "activating": tr("is still starting"),
            "deactivating": tr("is being stopped"),
            "reloading": tr("is being reloaded"),
        }
        word = words.get(facts.get("ActiveState", ""))
        return tr("{name} {word}.", name=self.name, word=word) if word else None

    def gave_up(self) -> str | None:
        facts = self.facts()
        down = facts.get("ActiveState") == "failed" or facts.get("LoadState") == "not-found"
        return self.is_up() if down else None

    def processes(self) -> tuple[Identity, ...]:
        facts = self.facts()
        pids = proc.in_control_group(facts.get("ControlGroup", ""))
        if not pids and (main := facts.get("MainPID", "0")) != "0":
            pids = [int(main)]
        return proc.identities(pids)

    def restarts(self) -> int | None:
        count = self.facts().get("NRestarts", "")
        return int(count) if count.isdigit() else None

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        journalctl = which("journalctl")
        if journalctl is None:
            return []
        words = ["--user", f"--user-unit={self.name}"] if self._manager() else [f"--unit={self.name}"]
        moment = [f"--since=@{since:.3f}"] if since is not None else []
        argv = [journalctl, "--quiet", "--no-pager", "--output=cat", f"--lines={most}", *words, *moment]
        done = self._as_manager(argv, timeout=_ASK)
        lines = [clean(line, limit=500) for line in done.text.splitlines() if line.strip()] if done.ok else []
        if not lines and not self._manager() and (why := unreadable_journal()):
            return [tr("({why})", why=why)]
        return lines[-most:]

    def facts(self) -> dict[str, str]:
        """What systemd says of the unit. Raises `ServiceFailed` where it can't be asked."""
        done = self._show(self._manager())
        if not done.ok:
            raise ServiceFailed(
                tr(
                    "systemd can't be asked about {name}: {error_text}.",
                    name=self.name,
                    error_text=done.error_text or done.ending,
                ),
                "" if booted() else NO_SYSTEMD,
            )
        return parse_show(done.text)

    def runs_as(self, uid: int, facts: Mapping[str, str]) -> bool:
        """Whether its processes are those of the user UID. FACTS: what `facts` said."""
        if self._manager():
            return uid == self.owner
        return facts.get("DynamicUser") != "yes" and _uid(facts.get("User", "")) == uid

    def is_users(self) -> bool:
        """Whether it is a unit of the owner's own manager, for which nobody needs root."""
        try:
            return self._manager()
        except GitDeployError:
            return False

    def _manager(self) -> bool:
        """Whether the unit is one of the owner's own manager: where only that one knows it."""
        if self.user is None:
            known = _loaded(self._show(False))
            self.user = not known and os.path.exists(f"/run/user/{self.owner}/bus") and _loaded(self._show(True))
        return self.user

    def _show(self, user: bool) -> Completed:
        # The name stands last, after `--`: a name can't be read as an option.
        return self._as_manager(
            [systemctl(), *(["--user"] if user else []), "show", f"--property={_PROPERTIES}", "--", self.name],
            user=user,
            timeout=_ASK,
        )

    # ---- may we? ----

    def problems(self) -> list[tuple[str, str]]:
        if which("systemctl") is None or not booted():
            hint = tr("Set service.supervisor, service.compose, service.pidfile or service.command in deploy.yaml.")
            return [(tr("{name}: {no_systemd}", name=self.name, no_systemd=NO_SYSTEMD), hint)]
        facts = self.facts()
        state = facts.get("LoadState")
        if state == "not-found":
            units = discover(self.root, None)
            hint = (
                tr("From this checkout run: {units}.", units=listing(units))
                if units
                else "systemctl list-units --type=service"
            )
            return [
                (
                    tr("There is no systemd unit {name}.", name=self.name),
                    tr("Set service.systemd in deploy.yaml. {hint}", hint=hint),
                )
            ]
        if state == "masked":
            return [(tr("The unit {name} is masked.", name=self.name), f"systemctl unmask {self.name}")]
        if state not in ("loaded", "merged"):
            why = facts.get("LoadError", "").strip('" ') or state
            return [
                (
                    tr("The unit {name} can't be loaded: {why}.", name=self.name, why=clean(str(why))),
                    f"systemd-analyze verify {self.name}",
                )
            ]
        if why_not := self._not_ours(facts):
            return [why_not]
        if not self._may_control(facts):
            user = owners.user_name(os.geteuid())
            return [(tr("{user} may not restart {name}.", user=user, name=self.name), self._right_hint())]
        return []

    def _require_ours(self) -> dict[str, str]:
        facts = self.facts()
        if why_not := self._not_ours(facts):
            raise ServiceFailed(*why_not)
        return facts

    def _not_ours(self, facts: Mapping[str, str]) -> tuple[str, str] | None:
        """As root, for another user's app: deploy.yaml may be that user's own, so the unit must be that user's too."""
        if not owners.must_drop(self.owner) or self.user:
            return None
        name, user = facts.get("Id") or self.name, owners.user_name(self.owner)
        hint = tr(
            "Give it User={user} and WorkingDirectory={root}, or restart it yourself (--no-restart).",
            user=user,
            root=self.root,
        )
        if not name.endswith(".service"):
            for triggered in facts.get("Triggers", "").split():
                other = SystemdUnit(triggered, self.root, self.owner, user=False)
                return other._not_ours(other.facts())
            return (
                tr(
                    "{name} starts no service of {user}, so root does not touch it for {user}'s app.",
                    name=name,
                    user=user,
                ),
                hint,
            )
        if facts.get("DynamicUser") == "yes" or _uid(facts.get("User", "")) != self.owner:
            return (
                tr(
                    "{name} runs as {facts}, and the checkout belongs to {user}: root does not restart it "
                    "for {user}'s app.",
                    name=name,
                    facts=facts.get("User") or "root",
                    user=user,
                ),
                hint,
            )
        if not self._from_checkout(facts):
            return (
                tr(
                    "{name} does not run from {root}, so root does not restart it.",
                    name=name,
                    root=path_text(str(self.root)),
                ),
                hint,
            )
        return None

    def _from_checkout(self, facts: Mapping[str, str]) -> bool:
        folder, program = (
            facts.get("WorkingDirectory", "").lstrip("-!"),
            re.findall(r"path=(\S+)", facts.get("ExecStart", "")),
        )
        for place in (folder, *program):
            if place.startswith("/") and _within(place, self.root):
                return True
        main = int(facts.get("MainPID") or 0)
        return main > 0 and proc.owner_of(main) == self.owner and proc.runs_from(main, self.root)

    def _may_control(self, facts: Mapping[str, str]) -> bool:
        """Whether root, polkit or sudo lets us. polkit can only be asked by doing something: forgetting failures of a
        unit that has none."""
        if os.geteuid() == 0 or self.user:
            return True
        if sudo.lets(self._by_sudo("restart"), lambda argv: self._as_manager(argv, user=False, timeout=_ASK)):
            return True
        if facts.get("ActiveState") != "active" or facts.get("NRestarts", "0") != "0":
            return True  # can't be asked without changing something; restart itself will say
        return not _refused(self._call("reset-failed", timeout=_ASK, by_sudo=False))

    def _right_hint(self) -> str:
        user = owners.user_name(os.geteuid())
        return tr(
            "Let {user} restart just this unit, by polkit or by sudo (docs/services.md shows both): "
            "{user} ALL=(root) NOPASSWD: {systemctl} restart {name}, … Or run gitdeploy as root.",
            user=user,
            systemctl=systemctl(),
            name=self.name,
        )

    # ---- calling ----

    def _call(
        self, verb: str, *, timeout: float, on_line: OnLine | None = None, marked: bool = False, by_sudo: bool = True
    ) -> Completed:
        argv = [systemctl(), *(["--user"] if self._manager() else []), "--no-ask-password", verb, self.name]
        done = self._as_manager(argv, timeout=timeout, on_line=on_line, marked=marked)
        if by_sudo and not done.ok and not self.user and _refused(done) and os.geteuid() != 0:
            with_sudo = sudo.words(self._by_sudo(verb))
            if with_sudo is not None:
                second = self._as_manager(with_sudo, timeout=timeout, on_line=on_line, marked=marked)
                return done if _said(second, _SUDO_NO) else second
        return done

    def _by_sudo(self, verb: str) -> list[str]:
        """The words of the example in docs/services.md: sudoers compares them exactly."""
        return [systemctl(), verb, self.name]

    def _as_manager(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        user: bool | None = None,
        on_line: OnLine | None = None,
        marked: bool = False,
    ) -> Completed:
        """Run ARGV as ourselves, or as the owner where it talks to the owner's own manager."""
        extra: dict[str, str] = {}
        words = list(argv)
        if user if user is not None else self.user:
            runtime = f"/run/user/{self.owner}"
            extra = {**owners.variables(self.owner), "XDG_RUNTIME_DIR": runtime}
            extra["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime}/bus"
            words = owners.command_as(words, self.owner)
        environment = environment_.clean_environment({"SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", **extra})
        return process.run(words, cwd="/", env=environment, timeout=timeout, on_line=on_line, marked=marked)

    def as_dict(self) -> dict[str, Any]:
        return {**described(self), "user": self.user}


def parse_show(text: str) -> dict[str, str]:
    """`systemctl show`'s lines `Key=value`; a key that comes twice (ExecStart) has its values joined by a space."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            facts[key] = tr("{facts} {value}", facts=facts[key], value=value) if key in facts else value
    return facts


def _loaded(done: Completed) -> bool:
    return done.ok and parse_show(done.text).get("LoadState") not in (None, "", "not-found")


def _refused(done: Completed) -> bool:
    return _said(done, _NO_RIGHT)


def _said(done: Completed, phrases: Sequence[str]) -> bool:
    """Whether it failed with one of PHRASES."""
    said = (done.stderr + done.stdout).decode("utf-8", "replace").lower()
    return not done.ok and any(words in said for words in phrases)


def systemctl() -> str:
    return which("systemctl") or "/usr/bin/systemctl"


def _uid(user: str) -> int | None:
    """The uid of a unit's `User=`: a name or a number; root where it has none."""
    if not user:
        return 0
    if user.isascii() and user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _within(place: str, root: Path) -> bool:
    return any(place == top or place.startswith(top + "/") for top in (str(root), os.path.realpath(root)))


def _ending(facts: Mapping[str, str]) -> str:
    """How its main process ended, in words: `exit code 1`, `killed by signal 9`."""
    result, status = facts.get("Result", ""), facts.get("ExecMainStatus", "")
    if result in _ENDINGS:
        return _ENDINGS[result]
    if result in ("signal", "core-dump"):
        return tr("killed by signal {status}", status=status)
    return tr("exit code {status}", status=status) if status not in ("", "0") else result or tr("exit code 0")
