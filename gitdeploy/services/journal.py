"""Whether this user may read the system's journal: journalctl says nothing where it doesn't, as where nothing was written."""

from __future__ import annotations

import glob
import os

from gitdeploy.messages import tr
from gitdeploy.system import owner as owners

_JOURNALS = ("/var/log/journal", "/run/log/journal")


def unreadable_journal() -> str:
    """Why this user sees nothing of the system's journal, and what helps, in a sentence; empty where it does, or there is none.
    Its files are readable for root, for the groups systemd-journal and adm, and by access control lists (journald(8))."""
    if os.geteuid() == 0:
        return ""
    files = [path for top in _JOURNALS for path in glob.glob(f"{top}/*/system.journal")]
    if any(os.access(path, os.R_OK) for path in files) or not (files or any(os.path.isdir(top) for top in _JOURNALS)):
        return ""
    user = owners.user_name(os.geteuid())
    return tr(
        "{user} may not read the journal, so what the app itself said is missing. As root: "
        "usermod --append --groups systemd-journal {user}; it counts from {user}'s next login, "
        "or restart of its service",
        user=user,
    )
