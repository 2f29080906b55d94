"""The rules by which a user may restart just the app's units: for sudo and for polkit, whole files, ready to copy."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

VERBS = ("restart", "stop", "start", "reset-failed")


def sudoers(user: str, units: Sequence[str], systemctl: str) -> str:
    """The text of a file below /etc/sudoers.d (sudoers(5)). The words are those that gitdeploy calls: sudo compares them
    exactly."""
    calls = [f"{systemctl} {verb} {_escaped(unit)}" for unit in units for verb in VERBS]
    return f"{_escaped(user)} ALL=(root) NOPASSWD: " + ", \\\n    ".join(calls) + "\n"


def polkit(user: str, units: Sequence[str]) -> str:
    """The text of a file below /etc/polkit-1/rules.d (polkit(8))."""
    return f"""\
polkit.addRule(function(action, subject) {{
  if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == {json.dumps(user)} &&
      {json.dumps(list(units))}.indexOf(action.lookup("unit")) >= 0 &&
      {json.dumps(list(VERBS))}.indexOf(action.lookup("verb")) >= 0) {{ return polkit.Result.YES; }}
}});
"""


def _escaped(word: str) -> str:
    r"""A word of sudoers(5): what has a meaning there behind a backslash."""
    return re.sub(r"([\\,:=!*?\[\]#\" ])", r"\\\1", word)
