"""Lock files of git's, and whether they are stale: left by a git that was killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def is_stale(lock: Path, root: Path) -> bool:
    """Whether no process has LOCK open and no git runs in the checkout at ROOT, but for children of this process."""
    return not _is_open(lock) and not _git_at_work(root)


def _is_open(lock: Path) -> bool:
    """Whether a process has the file open. A git that waits or computes may have closed it: see `_git_at_work`."""
    name = os.path.realpath(lock)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                for descriptor in os.listdir(f"/proc/{entry}/fd"):
                    with suppress(OSError):
                        if os.readlink(f"/proc/{entry}/fd/{descriptor}") == name:
                            return True
    return False


def _git_at_work(root: Path) -> bool:
    """Whether any git that isn't ours runs in this checkout."""
    place = os.path.realpath(root)
    ours = f"PPid:\t{os.getpid()}\n"
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if Path(f"/proc/{entry}/comm").read_text().strip() != "git":
                    continue
                folder = os.readlink(f"/proc/{entry}/cwd")
                within = folder == place or folder.startswith(place + "/")
                if within and ours not in Path(f"/proc/{entry}/status").read_text():
                    return True
    return False
