"""Ansible, by ansible-runner: one playbook at a time, its results by host. The only place that knows either of them.

Ansible ends with us, also when we are killed: it is started by a process that asks the kernel for that (`launcher.py`), so
that no playbook goes on unseen. What runs on the hosts by then goes on there, and is found again in their journals.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gitdeploy.errors import DeploymentFailed, Interrupted, UsageError
from gitdeploy.fleet.settings import Fleet, refuse_weak
from gitdeploy.messages import joined, tr
from gitdeploy.system import interruption
from gitdeploy.text import clean, duration_text, redact

COLLECTION = "gitdeploy.fleet"
_OURS = "gitdeploy-fleet-"
_ALIVE = "-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
_BEYOND = 60  # seconds of silence more, after which it is Ansible itself that hangs, or what makes its inventory
_HANGS = tr(
    "Look for what hangs: the inventory, or a task of drain or undrain (`silence` in fleet.yaml). Then run the same command again."
)
_UNMATCHED = re.compile(r"Could not match supplied host pattern, ignoring: ([^\s,]+)")
_RESULTS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_retry": "retry",
    "runner_on_start": "start",
    "runner_on_skipped": "skipped",
}


class HostResult(Struct, frozen=True):
    """What a task came to on a host. `kind`: ok, failed (or ignored: it does not matter), unreachable; start and retry while it
    goes on."""

    host: str
    task: str
    kind: str
    facts: Mapping[str, Any]

    @property
    def message(self) -> str:
        """Why it failed, cleaned."""
        if (hung := self.facts.get("timedout")) and isinstance(hung, dict):
            return tr(
                "It said nothing for {time}, longer than `silence` in fleet.yaml allows. Look there for what hangs, then run the "
                "same command again.",
                time=duration_text(float(hung.get("period") or 0)),
            )
        told = self.facts.get("msg") or self.facts.get("stderr") or self.facts.get("exception") or ""
        return redact(clean(str(told), lines=True, limit=2000)).strip()


class Played(Struct):
    """A playbook that has ended: its results in order, and what Ansible said that belongs to no host."""

    results: list[HostResult] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    code: int = 0
    unmatched: set[str] = field(default_factory=set)  # patterns of hosts that match none
    lost: set[str] = field(default_factory=set)  # hosts that Ansible counts as failed or unreachable at the end
    silent: float = 0  # seconds of silence after which it was ended; what its hosts are doing is not known then

    @property
    def why(self) -> str:
        """What Ansible said that belongs to no host, in a line."""
        if self.silent:
            return joined(" ", (_ended(self.silent), _HANGS))
        return tr("Ansible ended without a result: {why}", why=_why(self.said))

    def last(self, host: str, task: str) -> HostResult | None:
        """How TASK ended on HOST, or why HOST got no further: its failure, whichever task had it."""
        found = None
        for each in self.results:
            ended = each.host == host and each.kind in ("ok", "failed", "unreachable")
            if ended and (each.task == task or (each.kind != "ok" and found is None)):
                found = each
        return found


OnResult = Callable[[HostResult], object]


def require_ansible() -> None:
    """Raises `UsageError` where the extra isn't installed."""
    try:
        import ansible_runner  # noqa: F401
        from ansible import release  # noqa: F401
    except ImportError as error:
        from gitdeploy.system.installation import Installation

        raise UsageError(
            tr("`gitdeploy fleet` needs Ansible, which is not installed here."),
            tr("Install what it needs: {command}", command=Installation().extend("fleet")),
        ) from error


class Ansible:
    """Ansible for one fleet, as long as one command runs. A context manager: what it wrote down is gone afterwards."""

    def __init__(self, fleet: Fleet) -> None:
        require_ansible()
        self.fleet = fleet
        self._folder = Path()

    def __enter__(self) -> Ansible:
        if os.geteuid() == 0:
            self._refuse_weak()
        memory = _memory()
        _remove_old(memory)
        # ansible-runner writes the whole environment down, tokens and all: where nothing reaches a disk.
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_OURS}{os.getpid()}-", dir=memory))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def play(
        self,
        playbook: str,
        variables: Mapping[str, Any],
        *,
        hosts: Sequence[str] | None = None,
        on_result: OnResult = lambda _: None,
    ) -> Played:
        """Run a PLAYBOOK of the collection on HOSTS (None: all of the fleet's) with VARIABLES. Raises `Interrupted` for a
        signal, and `DeploymentFailed` where Ansible itself could not do it: a wrong inventory, no host."""
        import ansible_runner

        played = Played()
        place = Path(tempfile.mkdtemp(prefix="play-", dir=self._folder))
        config = self.fleet.config
        done = ansible_runner.run(
            private_data_dir=str(place),
            project_dir=str(self.fleet.folder),
            playbook=f"{COLLECTION}.{playbook}",
            cmdline="--become" if self.fleet.become else None,
            inventory=self.fleet.inventories() or None,
            limit=",".join(hosts) if hosts is not None else None,
            extravars={**self._variables(), **variables},
            envvars=self._environment(),
            forks=min(config.forks, len(hosts)) if hosts else config.forks,
            settings={"pexpect_timeout": 1, "suppress_ansible_output": True, "idle_timeout": config.silence + _BEYOND},
            quiet=True,
            event_handler=lambda event: self._heard(event, played, on_result),
            cancel_callback=lambda: interruption.received() is not None,
        )
        shutil.rmtree(place, ignore_errors=True)
        interruption.check()
        if done.status == "canceled":
            raise Interrupted(interruption.received() or 2)
        played.code = done.rc or 0
        if done.status == "timeout":
            played.silent = config.silence + _BEYOND
        if played.silent and not played.results:
            raise DeploymentFailed(_ended(played.silent), _HANGS)
        if played.code and not played.results:
            raise DeploymentFailed(
                tr("Ansible could not run: {why}", why=_why(played.said)),
                tr("Look at the inventory:  ansible-inventory --list"),
            )
        return played

    def _refuse_weak(self) -> None:
        """Raises `ConfigError` where others can change what runs as root here: an inventory may be a program, variables of hosts
        name programs, ansible.cfg names plugins."""
        folder, named = self.fleet.folder, os.environ.get("ANSIBLE_CONFIG")
        places = [
            folder / Path(named).expanduser() if named else None,
            folder,
            Path.home() / ".ansible.cfg",
            Path("/etc/ansible"),
        ]
        files = [each / "ansible.cfg" if each.is_dir() else each for each in places if each is not None]
        config = next((each for each in files if each.is_file()), None)
        inventories = self.fleet.inventories() or [str(folder / each) for each in _default_inventories(config)]
        for path in [config, *inventories]:
            if path is not None and "," not in str(path):
                refuse_weak(path)
        for path in (Path(each) for each in inventories if "," not in each):
            for beside in ("group_vars", "host_vars"):
                refuse_weak((path if path.is_dir() else path.parent) / beside)

    def _variables(self) -> dict[str, Any]:
        config = self.fleet.config
        found: dict[str, Any] = {"gitdeploy_fleet": config.hosts, "gitdeploy_database": config.database}
        if config.dir is not None:
            found["gitdeploy_dir"] = config.dir
        for name, value in (("drain", config.drain), ("undrain", config.undrain)):
            if value is not None:
                found[f"gitdeploy_{name}"] = self.fleet.path(value)
        return found

    def _environment(self) -> dict[str, str]:
        """What Ansible is told unless this process's environment says otherwise."""
        own = {
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            "ANSIBLE_SSH_EXTRA_ARGS": _ALIVE,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._folder / "cp"),
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "ANSIBLE_TASK_TIMEOUT": str(math.ceil(self.fleet.config.silence)),
        }
        told = {name: value for name, value in own.items() if name not in os.environ}
        return {**told, "PATH": f"{self._launcher()}:{os.environ.get('PATH', os.defpath)}"}

    def _launcher(self) -> str:
        """A folder with an `ansible-playbook` that becomes the one of this very Python, and ends when we do."""
        place = self._folder / "bin" / "ansible-playbook"
        if not place.exists():
            place.parent.mkdir()
            launcher = Path(__file__).with_name("launcher.py")
            place.write_text(f"#!/bin/sh\nexec '{sys.executable}' -P '{launcher}' {os.getpid()} \"$@\"\n")
            place.chmod(0o700)
        return str(place.parent)

    def _heard(self, event: Mapping[str, Any], played: Played, on_result: OnResult) -> bool:
        data = event.get("event_data") or {}
        kind = _RESULTS.get(str(event.get("event")))
        if event.get("event") == "playbook_on_stats":
            played.lost |= {host for count in ("failures", "dark") for host in data.get(count) or ()}
        if event.get("event") == "warning":
            played.unmatched |= set(_UNMATCHED.findall(clean(str(event.get("stdout") or ""))))
        if kind == "failed" and data.get("ignore_errors"):
            kind = "ignored"
        if kind is None:
            if (said := str(event.get("stdout") or "").strip()) and event.get("event") in ("verbose", "error"):
                played.said.append(said)
            return False
        if data.get("host") is not None:
            facts = data["res"] if isinstance(data.get("res"), dict) else {}
            if kind == "failed" and facts.get("timedout"):
                kind = "unreachable"  # whether it goes on there is not known: its journal says it
            result = HostResult(data["host"], str(data.get("task")), kind, facts)
            if kind not in ("start", "retry"):
                played.results.append(result)
            on_result(result)
        return False  # nothing of it is kept on disk


def _default_inventories(config: Path | None) -> list[str]:
    """What Ansible takes where it is given no inventory; nothing where CONFIG is broken, which it then says itself."""
    from ansible.config.manager import ConfigManager
    from ansible.errors import AnsibleError

    try:
        return list(ConfigManager(config and str(config)).get_config_value("DEFAULT_HOST_LIST"))
    except AnsibleError:
        return []


def _ended(seconds: float) -> str:
    return tr("Ansible said nothing for {time} and was ended.", time=duration_text(seconds))


def _why(said: Sequence[str]) -> str:
    """The line of Ansible's own words that tells most."""
    lines = [clean(line).strip() for text in said for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "ERROR" in line or "error" in line.lower()]
    return redact(
        (wrong or lines or [str(tr("it said nothing"))])[0].removeprefix("[ERROR]:").removeprefix("ERROR!").strip()
    )


def _memory() -> str | None:
    """A folder of this user's in memory; None where there is none (then the usual temporary folder)."""
    for place in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108  # a folder of our own is made in it
        if place and os.path.isdir(place) and os.access(place, os.W_OK):
            return place
    return None


def _remove_old(memory: str | None) -> None:
    """What commands left that were killed."""
    for folder in Path(memory or tempfile.gettempdir()).glob(f"{_OURS}*"):
        with suppress(OSError, ValueError):
            if folder.stat().st_uid == os.geteuid() and not os.path.exists(f"/proc/{int(folder.name.split('-')[2])}"):
                shutil.rmtree(folder, ignore_errors=True)
