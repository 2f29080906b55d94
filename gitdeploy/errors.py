"""Every error that a user can meet: what happened, what to do about it, and the exit code it ends with.

Raised anywhere, caught once at the edge (the command line, the web API). A message is a sentence that says what and
where; a hint says what to do. Neither ever holds a secret: callers pass text through `gitdeploy.text.redact` first.
"""

from __future__ import annotations

import signal
from typing import Any, ClassVar, Literal

from gitdeploy.messages import joined, said, tr

Fault = Literal["release", "server", "nobody"]  # whose a failure is; nobody: it was interrupted


class GitDeployError(Exception):
    """Base of all expected errors: `message`, `hint` (may be empty), `exit_code`, and `kind`, a stable word for scripts.

    fault: `release` where a program of the release failed, so far as its caller can tell; `site/blame.py` decides.
    refusal: it was not begun, since something spoke against it; nothing failed.
    """

    kind: ClassVar[str] = "failed"
    exit_code: int = 1
    fault: Fault = "server"
    refusal: bool = False

    def __init__(
        self, message: str, hint: str = "", *, details: tuple[str, ...] = (), lines: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.lines = lines or (message,)  # the message again, one thing a line, for people
        self.message = message
        self.hint = hint
        self.details = details
        # The whole result of the deployment that ended with this error, where it got as far as to be one (`--json`).
        self.document: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`: kind, message and hint (each with code and params, see `messages.said`), exit_code."""
        return {
            "kind": self.kind,
            **said(joined("\n", (self.message, *self.details))),
            **said(self.hint, "hint"),
            "exit_code": self.exit_code,
        }


class DeploymentFailed(GitDeployError):
    """Failed before the switch: nothing live was touched (exit 1)."""


class UsageError(GitDeployError):
    """A wrong argument (exit 2)."""

    kind = "usage"
    exit_code = 2
    refusal = True


class NotFound(UsageError):
    """What an argument names isn't there (exit 2): a backup, a release, a deployment."""

    kind = "not_found"


class ConfigError(GitDeployError):
    """A wrong setting (exit 2); the message names file, line and key."""

    kind = "configuration"
    exit_code = 2
    refusal = True


class RolledBack(GitDeployError):
    """Failed after the switch had begun and was undone: the old release is live and verified (exit 3)."""

    kind = "rolled_back"
    exit_code = 3


class RollbackFailed(GitDeployError):
    """Failed, and so did the way back: a person is needed; the message says what is where and what to type (exit 4)."""

    kind = "rollback_failed"
    exit_code = 4


class SecondHalfFailed(GitDeployError):
    """The new release is live, and the second half of its migrations is not done: a person is needed (exit 4)."""

    kind = "second_half_failed"
    exit_code = 4


class LockedError(GitDeployError):
    """Another deployment is running, or deployments are paused (exit 5)."""

    kind = "locked"
    exit_code = 5
    refusal = True


class SourceError(GitDeployError):
    """The source could not be reached, or refused (exit 6)."""

    kind = "source"
    exit_code = 6


class Unreachable(SourceError):
    """The source gave no answer at all: no network, no such name, no time left. (One that refuses did answer.)"""


class PolicyError(GitDeployError):
    """Refused by policy: local changes, a downgrade, a moved tag, an unverified signature, a bad release,
    a required stop that would be skipped (exit 7)."""

    kind = "refused"
    exit_code = 7
    refusal = True


class Declined(GitDeployError):
    """Asked, and answered with no (exit 1)."""

    kind = "declined"


class Interrupted(GitDeployError):
    """Stopped by a signal, after undoing cleanly (exit 128 + signal)."""

    kind = "interrupted"

    def __init__(self, signal_number: int, message: str = "", hint: str = "") -> None:
        self.signal_name = signal.Signals(signal_number).name
        super().__init__(message or tr("Interrupted by {signal_name}.", signal_name=self.signal_name), hint)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class CommandFailed(GitDeployError):
    """A child process failed: which, how, and the end of what it said."""

    kind = "command"
