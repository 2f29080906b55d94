"""What every kind of service offers. A new kind is a new file and one line in `gitdeploy/services/__init__.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gitdeploy.errors import Fault, GitDeployError
from gitdeploy.messages import tr, without_stop
from gitdeploy.system import interruption
from gitdeploy.system.proc import Identity
from gitdeploy.text import LOOKED_THROUGH, exception_in, telling_lines

OnLine = Callable[[str], object]
_LOOK = 0.1  # seconds between two looks at a service that is just starting or stopping


class ServiceFailed(GitDeployError):
    """The service could not be restarted, stopped, started or asked; `details` are its own last log lines.

    Its manager refused, or isn't there: the server's fault; where the app itself did not come up, `fault` is the release.
    """

    kind = "service"


class Service(Protocol):
    """One thing that is restarted: a unit, a program, a container, a process, a command."""

    @property
    def name(self) -> str:
        """What is shown: `otrs-web.service`."""

    @property
    def kind(self) -> str:
        """The key of deploy.yaml: systemd, supervisor, compose, pidfile, command."""

    def restart(self, on_line: OnLine | None = None) -> None:
        """Make it run the code that is on disk now; returns when its manager says that it has started.

        A service that is down is started. ON_LINE is told what the command said. Raises `ServiceFailed`.
        """

    def stop(self, on_line: OnLine | None = None) -> None:
        """End it; returns when it is down. Raises `ServiceFailed`, also for a kind that can't be stopped."""

    def start(self, on_line: OnLine | None = None) -> None:
        """Start it where it is down. Raises `ServiceFailed`."""

    def is_up(self) -> str | None:
        """None where it is up, else a sentence: "otrs-web.service has failed (exit code 1)."."""

    def changing(self) -> str | None:
        """A sentence where its manager is just starting or stopping it, so that nothing can be said of it yet: "app is being
        stopped." None where it is in a state that lasts, or that can't be known. Raises `ServiceFailed`."""

    def gave_up(self) -> str | None:
        """A sentence where it is down and nothing will start it again: waiting longer is in vain."""

    def processes(self) -> tuple[Identity, ...]:
        """The processes that run the app's code, and are all new after `restart`. Empty where they can't be known."""

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]:
        """The end of its own log, oldest first, cleaned; not before SINCE (seconds since the epoch) where the log has
        times. Empty where there is none or it may not be read."""

    def restarts(self) -> int | None:
        """How often its manager has started it again by itself; only a growing number means anything. None: unknown."""

    def problems(self) -> list[tuple[str, str]]:
        """Why `restart` will fail, as (message, hint): asked before anything live is touched. Changes nothing."""

    def as_dict(self) -> dict[str, Any]:
        """All that `from_dict` of `gitdeploy.services` needs to make the same in another process (JSON types)."""


def await_settled(service: Service, limit: float, on_line: OnLine | None = None) -> str | None:
    """Wait until the service is neither starting nor stopping, up to LIMIT seconds: another run of ours that was killed, or
    somebody else, may have told its manager something a moment ago. None, or what it is still doing then."""
    end = time.monotonic() + limit
    told = False
    while (doing := service.changing()) is not None and time.monotonic() < end:
        if on_line is not None and not told:
            on_line(tr("{doing} Waiting for it, up to {limit} s.", doing=doing, limit=f"{limit:.0f}"))
            told = True
        interruption.sleep(_LOOK)
    return doing


def failed(
    service: Service, what: str, said: str, hint: str = "", *, since: float | None = None, fault: Fault = "release"
) -> ServiceFailed:
    """A `ServiceFailed`: "otrs-web.service could not be restarted: SAID", with the service's own last lines. FAULT: of the
    server where its manager refused; else the app did not come up."""
    details = said_by(service, since)
    named = exception_in(list(details)) if since is not None else ""  # not one of an earlier start
    if named and named not in said:
        said = tr("{said} ({named}).", said=without_stop(said), named=named) if said else tr("{named}.", named=named)
    error = ServiceFailed(
        tr("{service} could not be {what}", service=service.name, what=what)
        + (tr(": {said}", said=said) if said else tr(".")),
        hint,
        details=details,
    )
    error.fault = fault
    return error


def said_by(service: Service, since: float | None = None) -> tuple[str, ...]:
    """The telling end of its own log, for the details of an error."""
    lines = telling_lines(service.last_lines(LOOKED_THROUGH, since), 12)
    return tuple(tr("{service} said: {line}", service=service.name, line=line) for line in lines)


class _Manageable(Protocol):
    kind: ClassVar[str]
    name: str
    root: Path
    owner: int
    timeout: float


def described(service: _Manageable) -> dict[str, Any]:
    """The part of `as_dict` that all kinds share."""
    return {
        "kind": service.kind,
        "name": service.name,
        "root": str(service.root),
        "owner": service.owner,
        "timeout": service.timeout,
    }


def common(service: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a service from its `as_dict`, without the kind."""
    return {key: value for key, value in service.items() if key != "kind"}
