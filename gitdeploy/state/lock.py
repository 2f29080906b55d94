"""One deployment at a time: an flock on `.gitdeploy/lock`, with the holder's particulars inside the file.

The kernel lets go of the lock when its holder dies, so it is never stale and nothing has to be deleted by hand. The
particulars are only for people; what decides is the lock itself.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from msgspec import Struct
from msgspec.structs import asdict, replace

from gitdeploy.errors import DeploymentFailed, LockedError
from gitdeploy.messages import tr
from gitdeploy.state.rows import who_said
from gitdeploy.system import interruption
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, duration_text, path_text

# Seconds that a lock whose holder is dead is waited for: a child of the killed run has it until it starts its program.
_NOBODY = 2.0


class Holder(Struct, frozen=True):
    """Who holds the lock: `since` is ISO 8601 with zone."""

    who: str
    pid: int
    started: int
    boot: str
    host: str
    command: str
    since: str

    def alive(self) -> bool:
        """Whether that very process still runs on this host."""
        return self.host != os.uname().nodename or Identity(self.pid, self.started, self.boot).alive()

    def sentence(self) -> str:
        ago = (datetime.now(UTC) - datetime.fromisoformat(self.since)).total_seconds()
        return tr(
            "{who} runs `{command}` on {host} (pid {pid}, for {age})",
            who=clean(self.who),
            command=clean(self.command, limit=80),
            host=clean(self.host),
            pid=self.pid,
            age=duration_text(max(0, ago)),
        )


class DeploymentLock:
    """The lock of one app; a context manager once acquired. Its descriptor is inherited by no child (O_CLOEXEC)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, who: str, command: str, wait: float = 0) -> DeploymentLock:
        """Take the lock, waiting up to WAIT seconds. Raises `LockedError` (exit 5) that says who holds it."""
        descriptor = self._open()
        end = time.monotonic() + wait
        nobody = time.monotonic() + _NOBODY
        try:
            while not self._try(descriptor):
                holder = self.holder()
                if time.monotonic() >= (end if holder else max(end, nobody)):
                    raise LockedError(
                        tr("Another deployment is running: {sentence}.", sentence=holder.sentence())
                        if holder
                        else tr("Another deployment is running."),
                        tr("Wait for it (`--wait SECONDS`), or watch it: gitdeploy log -f"),
                    )
                interruption.sleep(min(0.1, max(0.01, end - time.monotonic())))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._write(who, command)
        return self

    def holder(self) -> Holder | None:
        """Who holds the lock now, None where nobody does. Changes nothing and never takes the lock."""
        try:
            text = self.path.read_text(encoding="utf-8")
            holder = Holder(**json.loads(text)) if text else None
            if holder is not None:
                holder = replace(holder, who=who_said(holder.who))
        except (OSError, ValueError, TypeError):
            return None
        return holder if holder and holder.alive() else None

    def release(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> DeploymentLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DeploymentFailed(
                    tr("{path} can't be created: the disk is full.", path=path_text(str(self.path))),
                    tr("Make room, then try again."),
                ) from error
            raise DeploymentFailed(
                tr(
                    "The lock {path} can't be opened: {strerror}.",
                    path=path_text(str(self.path)),
                    strerror=error.strerror,
                ),
                tr("Run gitdeploy as the owner of the checkout."),
            ) from error

    def _try(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DeploymentFailed(
                tr(
                    "The file system of {path} can't lock files ({strerror}), so two deployments could not "
                    "be kept apart.",
                    path=path_text(str(self.path)),
                    strerror=error.strerror,
                ),
                tr("Put the checkout on a local disk, or on an NFS mount with locking."),
            ) from error
        return True

    def _write(self, who: str, command: str) -> None:
        assert self._descriptor is not None
        own = Identity.own()
        holder = Holder(
            who, own.pid, own.started, own.boot, os.uname().nodename, command, datetime.now(UTC).isoformat()
        )
        with suppress(OSError):  # a full disk: the lock itself holds all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(asdict(holder)).encode(), 0)
