"""What the system refused, in words: a full disk, or a file that can't be read or written."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from gitdeploy.errors import DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.text import path_text


def system_refusal(error: OSError) -> DeploymentFailed | None:
    """What ERROR means for people. None where it says neither which file nor that there is no room."""
    name = path_text(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        told = tr("{name} can't be written: the disk is full.", name=name) if name else tr("The disk is full.")
        return DeploymentFailed(told, tr("Make room, then try again."))
    if not name:
        return None
    hint = tr(
        "See who owns it and its mode: ls -ld {place}. Run gitdeploy as the checkout's owner.", place=shlex.quote(name)
    )
    return DeploymentFailed(
        tr("{name} can't be read or written: {strerror}.", name=name, strerror=error.strerror), hint
    )


@contextmanager
def system_refusals() -> Iterator[None]:
    """Nothing live is touched in the block: what the system refuses there is a failure like others."""
    try:
        yield
    except OSError as error:
        if (told := system_refusal(error)) is None:
            raise
        raise told from error
