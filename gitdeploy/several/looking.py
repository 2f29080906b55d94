"""Each app of the list looked at in a process of its own, all at once: as its owner where root looks, and none of them can
hold up the others.

A process is a copy of this one, so nothing is loaded twice. What it runs belongs to the app's owner, and it is that user by
then; for somebody else it starts nothing there (`gitdeploy.site.whose`).
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from msgspec import Struct

from gitdeploy import upkeep
from gitdeploy.app import App
from gitdeploy.config.apps_list import Listed
from gitdeploy.deployment import outside
from gitdeploy.errors import DeploymentFailed, GitDeployError
from gitdeploy.messages import tr
from gitdeploy.several.summary import Row, health_of, summary, unreadable
from gitdeploy.site import app_environment

AT_ONCE = 8
PATIENCE = 15.0  # seconds for one app: a health check that hangs is not waited for longer
_LARGEST = 1 << 20  # bytes of a row


# Loaded once here, and not again in each copy.
_NEEDED = (
    *(outside.as_owner, outside.launch, upkeep.updates, app_environment),
    *(
        import_module(f"gitdeploy.services.{name}")
        for name in ("root_side", "compose", "command", "pidfile", "systemd")
    ),
)


class _Look(Struct):
    """A process that looks at one app."""

    at: int
    pid: int
    pipe: int
    end: float
    said: bytes = b""


def look_at_each(apps: Sequence[Listed], patience: float = PATIENCE) -> list[Row]:
    """The row of each of APPS (`summary`), in their order; of one that can't be read, or isn't within PATIENCE seconds, with
    an error."""
    rows: dict[int, Row] = {}
    waiting, looks = list(enumerate(apps)), list[_Look]()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or looks:
                while waiting and len(looks) < AT_ONCE:
                    number, listed = waiting.pop(0)
                    looks.append(_begin(number, listed, patience))
                    selector.register(looks[-1].pipe, selectors.EVENT_READ, looks[-1])
                for key, _ in selector.select(max(0.0, min(look.end for look in looks) - time.monotonic())):
                    look = key.data
                    piece = os.read(look.pipe, 1 << 16)
                    look.said += piece
                    if not piece or len(look.said) > _LARGEST:
                        look.end = 0.0
                for look in [look for look in looks if look.end <= time.monotonic()]:
                    selector.unregister(look.pipe)
                    looks.remove(look)
                    _end(look)
                    rows[look.at] = _row(apps[look.at], look, patience)
        finally:
            for look in looks:
                _end(look)
    return [rows[number] for number in range(len(apps))]


def _begin(number: int, listed: Listed, patience: float) -> _Look:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _look(listed, writing)
    os.close(writing)
    with suppress(OSError):  # the child does it too; whoever is first
        os.setpgid(pid, pid)
    return _Look(number, pid, reading, time.monotonic() + patience)


def _look(listed: Listed, writing: int) -> None:
    """In the copy: look, say what was seen, and end. Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(handled, signal.SIG_DFL)
        try:
            outside.as_owner.become_owner(listed.folder)
            app = App.open(listed.folder)
            row = summary(listed.name, app, lambda: health_of(app))
        except GitDeployError as error:
            row = unreadable(listed, error)
        except OSError as error:
            row = unreadable(listed, _refused(listed, error))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(row.as_dict()).encode())
        code = 0
    finally:
        os._exit(code)


def _refused(listed: Listed, error: OSError) -> DeploymentFailed:
    return DeploymentFailed(
        tr("{folder} can't be read: {strerror}.", folder=str(error.filename or listed.folder), strerror=error.strerror)
    )


def _end(look: _Look) -> None:
    """End a process with all that it has started."""
    os.close(look.pipe)
    with suppress(OSError):
        os.killpg(look.pid, signal.SIGKILL)
    with suppress(OSError):
        os.waitpid(look.pid, 0)


def _row(listed: Listed, look: _Look, patience: float) -> Row:
    with suppress(ValueError):
        return Row.read(look.said, listed.name, str(listed.folder))
    if look.end == 0.0:
        why = tr("The process that looked at it ended without an answer.")
    else:
        why = tr("It did not answer within {patience} s.", patience=f"{patience:.0f}")
    return unreadable(
        listed, DeploymentFailed(why, tr("Look at it alone: gitdeploy -A {name} status", name=listed.name))
    )
