"""Who asks for a deployment, as the journal names them."""

from __future__ import annotations

import getpass
import os
import re

from gitdeploy.state.rows import acting_for
from gitdeploy.text import clean


def performer() -> str:
    """Who runs this: who the page says it acts for, else the login name, and who they were before sudo."""
    if named := os.environ.get("GITDEPLOY_PERFORMER"):
        return clean(named, limit=200)
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER")
    return acting_for(before, name) if before and before != name else name


def login() -> str:
    """`alice@shop-1`: how whoever runs this reaches this machine by ssh, as far as the machine knows."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = "USER"
    return clean(f"{name}@{os.uname().nodename}", limit=200)


def request_id() -> str:
    """The id that whoever started this process knows it by; empty where it was a person."""
    found = os.environ.get("GITDEPLOY_REQUEST", "")
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else ""
