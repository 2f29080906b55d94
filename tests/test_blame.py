"""Whose fault a failure is: a table over the steps and what can go wrong in them."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import cast

import pytest

from gitdeploy.deployment.live.live import Live
from gitdeploy.deployment.live.steps import live_steps
from gitdeploy.deployment.record.engine import Effect
from gitdeploy.errors import CommandFailed, ConfigError, DeploymentFailed, GitDeployError, Interrupted
from gitdeploy.health import HealthFailed
from gitdeploy.hooks.running import HookFailed
from gitdeploy.services import ServiceFailed
from gitdeploy.site.blame import absolved, fault_of
from gitdeploy.state.sqlite import DiskFull
from gitdeploy.venvs.install import RequirementsFailed

STEPS = live_steps(cast("Live", SimpleNamespace(record=SimpleNamespace(action="upgrade", build_first=False))))
ITS_OWN = tuple(step.name for step in STEPS if Effect.RELEASE in step.effects)
OTHERS = tuple(step.name for step in STEPS if Effect.RELEASE not in step.effects)


def blamed(step: str, cause: GitDeployError) -> str:
    """`requirements` are no step below the line; they too are the release's own."""
    return fault_of(step, cause, of_release=step in (*ITS_OWN, "requirements"))


def test_the_steps_say_what_may_come_of_them() -> None:
    assert ITS_OWN == ("build", "migrate", "restart", "health", "post-deploy")
    assert OTHERS == ("stop", "maintenance", "dump", "switch", "data", "reopen")
    none = [step.name for step in STEPS if step.effects is Effect.NONE]
    assert none == ["stop", "maintenance", "dump", "switch"], "where nothing can have changed, nothing is put back"
    assert all(Effect.DATA in step.effects and Effect.WRITES in step.effects for step in STEPS if step.name in ITS_OWN)


def refused(message: str) -> ServiceFailed:
    return ServiceFailed(message)


def did_not_come_up(message: str, *details: str) -> ServiceFailed:
    error = ServiceFailed(message, details=details)
    error.fault = "release"
    return error


RELEASE: list[tuple[str, GitDeployError]] = [
    ("build", HookFailed("hooks/build failed (exit code 1): SyntaxError: invalid syntax")),
    ("migrate", HookFailed("hooks/migrate failed (exit code 1): django.db.utils.ProgrammingError: column exists")),
    ("migrate", HookFailed("hooks/migrate took longer than 5 min, ended with all it had started")),
    ("post-deploy", HookFailed("hooks/post-deploy failed (exit code 3); it said nothing.")),
    ("restart", did_not_come_up("otrs-web.service could not be restarted: otrs-web.service has failed (exit code 1).")),
    (
        "restart",
        did_not_come_up("x could not be restarted: x crashed (killed by signal 11).", "x said: ImportError: flask"),
    ),
    ("health", HealthFailed("http://127.0.0.1:8000/: connection refused for 60 s.")),
    (
        "health",
        HealthFailed("http://127.0.0.1:8000/: 500 instead of 200 for 60 s.", details=("x said: KeyError: 'a'",)),
    ),
    ("health", HealthFailed("./health.sh: exit code 1, curl: Connection refused for 60 s.")),
    ("health", HealthFailed("otrs-web.service crashes again and again (3 times in 4 s).", details=("NameError: x",))),
    ("requirements", RequirementsFailed("Installing failed (exit code 1): your requirements are unsatisfiable.")),
    ("requirements", RequirementsFailed("failed: Cannot install a because these have conflicting dependencies.")),
]
SERVER: list[tuple[str, GitDeployError]] = [
    ("build", HookFailed("hooks/build failed (exit code 127): 3: npm: not found")),
    ("build", HookFailed("hooks/build failed (exit code 126): Permission denied")),
    ("build", HookFailed("hooks/build failed (exit code 125): mount: Invalid argument")),
    ("migrate", HookFailed('hooks/migrate failed (exit code 1): no pg_hba.conf entry for host "::1", no encryption')),
    ("build", HookFailed("hooks/build failed (exit code 1): OSError: [Errno 28] No space left on device")),
    (
        "build",
        HookFailed("x failed (exit code 1): see above", details=("cp: cannot create 'a': Read-only file system",)),
    ),
    ("migrate", HookFailed("x failed (exit code 1): could not connect to server: Connection refused")),
    ("migrate", HookFailed("x failed (exit code 1): FATAL: password authentication failed for user")),
    ("migrate", HookFailed("x failed (exit code 1): Temporary failure in name resolution")),
    ("migrate", HookFailed("x failed (killed by signal 9); it said nothing.")),
    ("restart", refused("otrs-web.service could not be restarted: alice has no right to do so.")),
    ("restart", refused("supervisor can't be asked about app: refused connection")),
    ("restart", did_not_come_up("x could not be restarted: x has failed (exit code 203).")),
    ("restart", did_not_come_up("x has failed (exit code 1).", "x said: OSError: [Errno 98] Address already in use")),
    ("health", HealthFailed("./start.sh: exit code 126, sh: 1: ./start.sh: Permission denied for 4 s.")),
    ("health", HealthFailed("./check: exit code 127 for 4 s.")),
    ("health", HealthFailed("http://app.internal/: the host's name is not known for 60 s.")),
    ("health", HealthFailed("http://127.0.0.1/: 500 for 60 s.", details=("x said: No space left on device",))),
    ("health", HealthFailed("http://127.0.0.1/: 500 for 60 s.", details=("redis: Connection refused",))),
    (
        "requirements",
        RequirementsFailed("failed: there is no version of a==2 ... your requirements are unsatisfiable."),
    ),
    ("requirements", RequirementsFailed("failed: error: command 'gcc' failed: No such file or directory")),
    ("requirements", RequirementsFailed("failed: Failed to fetch: `https://index/simple/a/`")),
    ("requirements", DeploymentFailed("pip is needed (venv.installer is pip), and the venv has no pip.")),
    ("build", DiskFull("state.db can't be written: the disk is full.")),
    ("migrate", CommandFailed("git failed (exit code 128).")),
    ("health", ConfigError("deploy.yaml, line 3")),
    ("restart", GitDeployError("/srv/app: Permission denied.")),
]


@pytest.mark.parametrize(("step", "cause"), RELEASE)
def test_what_failed_is_the_releases(step: str, cause: GitDeployError) -> None:
    assert blamed(step, cause) == "release"


@pytest.mark.parametrize(("step", "cause"), SERVER)
def test_what_failed_is_the_servers(step: str, cause: GitDeployError) -> None:
    assert blamed(step, cause) == "server"


@pytest.mark.parametrize("step", OTHERS)
@pytest.mark.parametrize("cause", [cause for _, cause in RELEASE], ids=lambda cause: cause.kind)
def test_a_step_that_runs_nothing_of_the_release_blames_the_server(step: str, cause: GitDeployError) -> None:
    assert blamed(step, cause) == "server"


@pytest.mark.parametrize("step", [*ITS_OWN, *OTHERS])
def test_a_signal_is_nobodys_fault(step: str) -> None:
    assert blamed(step, Interrupted(signal.SIGTERM)) == "nobody"


@pytest.mark.parametrize(
    ("before", "so"),
    [
        ("x: connection refused.", True),
        ("x: connection refused for 3 s.", True),
        ("x: 500 instead of 200.", False),
        ("shop is not running.", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("began", [["switch"], ["switch", "migrate"]])
def test_what_the_app_had_before_is_not_the_new_releases_fault(before: str | None, began: list[str], so: bool) -> None:
    assert absolved("health", "x: connection refused for 60 s. (KeyError: 'A')", began, [], before) is so


@pytest.mark.parametrize(
    ("step", "began", "later", "so"),
    [
        ("health", ["switch"], [("health", "x: connection refused for 61 s.")], True),
        ("health", ["switch", "migrate"], [("health", "x: connection refused for 61 s.")], False),
        ("health", ["switch"], [("health", "x: 500 instead of 200 for 60 s.")], False),
        ("health", ["switch"], [("restart", "x: connection refused for 60 s.")], False),
        ("health", ["switch"], [], False),
    ],
)
def test_where_the_old_release_fails_alike_it_was_not_the_new_one(
    step: str, began: list[str], later: list[tuple[str, str]], so: bool
) -> None:
    assert absolved(step, "x: connection refused for 60 s.", began, later) is so
