"""Waiting until the app is well, and watching it on afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from gitdeploy.config import HealthConfig
from gitdeploy.errors import GitDeployError, Interrupted
from gitdeploy.health.answer import Answer
from gitdeploy.health.proof import old_process
from gitdeploy.health.questions import ANSWER_LIMIT, ask
from gitdeploy.messages import joined, tr, without_stop
from gitdeploy.system import interruption
from gitdeploy.system.proc import Identity
from gitdeploy.text import (
    LOOKED_THROUGH,
    clean,
    duration_text,
    exception_in,
    in_a_traceback,
    redact,
    sentence,
    telling_lines,
)

CRASHES = 3  # so many starts by the service's manager while we wait are a crash-loop
BAD_IN_A_ROW = 3  # so many bad answers in a row while watching: one may be a hiccup
LAST_LINES = 12  # of each service's log, in the error
_LOOK_AGAIN = 1.0  # seconds between two looks at a service's log, or at the service while nothing is asked yet
_WRITING = 2.0  # seconds that the rest of a traceback may take to be written
_TIMES = ("", tr("once"), tr("twice"), tr("three times"), tr("four times"), tr("five times"), tr("six times"))

OnLine = Callable[[str], object]


class HealthFailed(GitDeployError):
    """The app is not well; `details` are the last lines of its services' own logs."""

    kind = "health"
    fault = "release"


class Watched(Protocol):
    """What is asked of a service here; `gitdeploy.services.base.Service` says what each means."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def is_up(self) -> str | None: ...

    def gave_up(self) -> str | None: ...

    def processes(self) -> tuple[Identity, ...]: ...

    def restarts(self) -> int | None: ...

    def last_lines(self, most: int = 20, since: float | None = None) -> list[str]: ...


class Health(Struct, frozen=True):
    """How it went. `summary` in one line: `http://127.0.0.1:15001/health: 200, three times`; `details`: further lines."""

    ok: bool
    summary: str
    details: tuple[str, ...] = ()


class _Watch(Struct):
    """What one wait asks, and what it remembers from one look to the next."""

    health: HealthConfig
    services: Sequence[Watched]
    version: str | None
    started_after: float | None
    generation: Path | None
    root: Path | None
    environment: Mapping[str, str] | None
    on_line: OnLine | None
    on_progress: OnLine | None = None
    begun: float = field(default_factory=time.time)
    restarts_at_first: list[int | None] = field(default_factory=list)
    restarts_before: list[int | None] = field(default_factory=list)
    shown: dict[str, list[str]] = field(default_factory=dict)
    looked_at_log: float = 0.0

    def __post_init__(self) -> None:
        self.restarts_at_first = self.restarts_before = self._restarts()

    def look(self, limit: float) -> Answer:
        """One look. A service that can't be asked now may be asked the next time."""
        try:
            return self._look(limit)
        except Interrupted:
            raise
        except GitDeployError as error:
            return Answer(without_stop(error.message))

    def _look(self, limit: float) -> Answer:
        """Services first: they know why nothing answers."""
        before = self.restarts_before
        self.count_restarts()
        for service in self.services:
            if bad := service.is_up():
                return Answer(without_stop(bad))
        if crashed := self.crashed(before):
            return Answer(crashed)
        answer = ask(self.health, self.version, limit, self.root, self.environment)
        if answer.bad:
            return answer
        for service in self.services:
            if bad := old_process(service.name, service.processes(), self.started_after, self.generation):
                return Answer(bad)
        if not answer.seen:
            return Answer(None, joined("; ", (tr("{service}: up", service=service.name) for service in self.services)))
        return answer

    def count_restarts(self) -> None:
        self.restarts_before = self._restarts()

    def crashed(self, before: Sequence[int | None]) -> str | None:
        """Which service its manager has had to start again since BEFORE, an earlier `restarts_before`."""
        for service, first, second in zip(self.services, before, self.restarts_before, strict=True):
            if first is not None and second is not None and second > first:
                return tr("{service} crashed and was started again", service=service.name)
        return None

    def in_vain(self) -> str | None:
        """Why waiting longer makes no sense."""
        try:
            return self._in_vain()
        except Interrupted:
            raise
        except GitDeployError:
            return None

    def _in_vain(self) -> str | None:
        for service in self.services:
            if bad := service.gave_up():
                return without_stop(bad)
        for service, first, now in zip(self.services, self.restarts_at_first, self._restarts(), strict=True):
            if first is not None and now is not None and now - first >= CRASHES:
                return tr(
                    "{service} crashes again and again ({now} times in {waited})",
                    service=service.name,
                    now=now - first,
                    waited=self._waited(),
                )
        return None

    def say_log(self) -> None:
        """Tell the services' own new log lines."""
        if self.on_line is None or time.monotonic() - self.looked_at_log < _LOOK_AGAIN:
            return
        self.looked_at_log = time.monotonic()
        for service in self.services:
            lines = service.last_lines(50, self._log_from())
            for line in _new_lines(self.shown.get(service.name, []), lines):
                self.on_line(tr("{service}: {line}", service=service.name, line=line))
            self.shown[service.name] = lines

    def failure(self, why: str) -> HealthFailed:
        """WHY, with the exception that a service named last; its log, up to the end of a traceback that is being written."""
        details: list[str] = []
        named = ""
        for service in self.services:
            lines = whole_log(service, self._log_from())
            # One that was killed had no time to say why, and supervisor's logs have no times: an exception may be an earlier one.
            if "killed by" not in why and service.kind != "supervisor":
                named = named or exception_in(lines)
            details += [
                tr("{service} said: {line}", service=service.name, line=line)
                for line in telling_lines(lines, LAST_LINES)
            ]
        return HealthFailed(
            sentence(tr("{why} ({named})", why=why, named=named) if named and named not in why else why),
            details=tuple(details),
        )

    def show(self, answer: Answer, good: int, passed: float) -> None:
        """Show what was last answered, and how much of the time is over."""
        if self.on_progress is None:
            return
        if answer.bad is None:
            self.on_progress(
                tr("{seen}, {good} of {successes}", seen=answer.seen, good=good, successes=self.health.successes)
            )
            return
        asked = (*self.health.url, *self.health.tcp)
        short = answer.bad.removeprefix(f"{redact(clean(asked[0]))}: ") if len(asked) == 1 else answer.bad
        self.on_progress(
            tr(
                "{short}, {passed} of {timeout} s",
                short=short,
                passed=f"{passed:.0f}",
                timeout=f"{self.health.timeout:.0f}",
            )
        )

    def _log_from(self) -> float:
        return self.started_after if self.started_after is not None else self.begun

    def _waited(self) -> str:
        return duration_text(time.time() - self.begun)

    def _restarts(self) -> list[int | None]:
        return [service.restarts() for service in self.services]


def wait_healthy(
    health: HealthConfig,
    services: Sequence[Watched],
    *,
    expected_version: str | None = None,
    started_after: float | None = None,
    generation: Path | None = None,
    on_line: OnLine | None = None,
    on_progress: OnLine | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Health:
    """Wait until everything holds `health.successes` times in a row. Raises `HealthFailed` when the time is over, or
    earlier where waiting is in vain (the unit has failed, it crashes in a loop); `Interrupted` when a signal came.

    started_after: seconds since the epoch; a process of a service that is older has the old code.
    generation: the live venv's real path; a process that runs from another one beside it has other packages.
    on_line: told the services' own log lines as they come, while the app is not well yet. on_progress: told what was last
    answered, and how much of the time is over.
    root: the checkout, where `health.command` runs. environment: the app's, which it gets beside a clean one.
    """
    if not (health.configured or services):
        return Health(True, tr("no health check configured"))
    watch = _Watch(
        health, services, expected_version, started_after, generation, root, environment, on_line, on_progress
    )
    _start_period(watch)
    begun = time.monotonic()
    deadline = begun + health.timeout
    good, reasons = 0, list[str]()
    while True:
        answer = watch.look(min(ANSWER_LIMIT, max(1.0, deadline - time.monotonic())))
        if answer.bad is None:
            good += 1
            watch.show(answer, good, time.monotonic() - begun)
            if good >= health.successes:
                return Health(True, tr("{seen}, {times}", seen=answer.seen, times=_times(good)))
        else:
            good = 0
            reasons.append(answer.bad)
            watch.show(answer, 0, time.monotonic() - begun)
            watch.say_log()
            if final := watch.in_vain():
                raise watch.failure(final)
            if time.monotonic() + health.interval >= deadline:
                break
        interruption.sleep(health.interval)
    always = all(reason == reasons[0] for reason in reasons)
    waited = duration_text(max(time.monotonic() - begun, health.timeout))
    raise watch.failure(
        tr("{reasons} for {waited}", reasons=reasons[-1], waited=waited)
        if always
        else tr("{reasons}, still after {waited}", reasons=reasons[-1], waited=waited)
    )


def whole_log(service: Watched, since: float) -> list[str]:
    """The end of the service's log since SINCE (seconds since the epoch); a traceback that is just being written is waited for."""
    end = time.monotonic() + _WRITING
    while in_a_traceback(lines := service.last_lines(LOOKED_THROUGH, since)) and time.monotonic() < end:
        interruption.sleep(0.1)
    return lines


def _start_period(watch: _Watch) -> None:
    """Nothing is asked yet, but a service that has already given up is seen."""
    end = time.monotonic() + watch.health.start_period
    while (left := end - time.monotonic()) > 0:
        if final := watch.in_vain():
            raise watch.failure(final)
        interruption.sleep(min(left, _LOOK_AGAIN))


def soak(
    health: HealthConfig,
    services: Sequence[Watched],
    *,
    expected_version: str | None = None,
    on_line: OnLine | None = None,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Health:
    """Watch on for `health.soak` seconds. Raises `HealthFailed` as soon as a service crashes, even if it is up again,
    or `BAD_IN_A_ROW` answers in a row are bad."""
    if not health.soak or not (health.configured or services):
        return Health(True, "")
    watch = _Watch(health, services, expected_version, None, None, root, environment, on_line)
    mains = _mains(services)
    begun = time.monotonic()
    bad = 0
    while (left := begun + health.soak - time.monotonic()) > 0:
        interruption.sleep(min(left, health.interval))
        before = watch.restarts_before
        answer = watch.look(ANSWER_LIMIT)
        if answer.bad:
            watch.count_restarts()  # what is down, or starting, because it crashed has been counted by now
        crashed = watch.crashed(before)
        bad = bad + 1 if answer.bad else 0
        after = duration_text(time.monotonic() - begun)
        why = crashed or watch.in_vain()
        if why or bad >= BAD_IN_A_ROW:
            watch.say_log()
            raise watch.failure(
                tr("{crashed} {after} after it had been healthy", crashed=why or answer.bad, after=after)
            )
        if gone := _gone(mains):
            raise watch.failure(tr("{gone} {after} after it had been healthy", gone=gone, after=after))
    return Health(True, tr("healthy for {soak} more", soak=duration_text(health.soak)))


def _mains(services: Sequence[Watched]) -> list[tuple[str, Identity]]:
    """The oldest process of each service whose manager does not count restarts: it is the one that must not change."""
    return [
        (service.name, min(found, key=lambda each: each.started))
        for service in services
        if service.restarts() is None and (found := service.processes())
    ]


def _gone(mains: Sequence[tuple[str, Identity]]) -> str | None:
    for name, main in mains:
        if not main.alive():
            return tr("{name}: its process {pid} ended", name=name, pid=main.pid)
    return None


def _new_lines(before: list[str], now: list[str]) -> list[str]:
    """The lines of NOW that come after the longest piece with which BEFORE ends and NOW begins."""
    for size in range(min(len(before), len(now)), 0, -1):
        if before[-size:] == now[:size]:
            return now[size:]
    return now


def _times(number: int) -> str:
    return _TIMES[number] if number < len(_TIMES) else tr("{number} times", number=number)
