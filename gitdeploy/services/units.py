"""Which systemd units run an app, and which processes are no app."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gitdeploy.system import proc

_UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_SETTING = re.compile(r"^\s*(?:WorkingDirectory|ExecStart)\s*=\s*[-@:+!~]*(\S+)", re.MULTILINE)
_STARTERS = frozenset(
    "sh bash dash ash zsh ksh fish sudo su runuser setpriv env timeout nice ionice flock cron setsid nohup".split()
)
_UNIT_LIMIT = 256 * 1024  # bytes of a unit file that are looked at


def discover(root: Path, venv: Path | None) -> list[str]:
    """Names of the units whose processes run from this checkout, then of those whose unit file names it. Read from
    /proc and the unit files: no process is started. gitdeploy's own processes don't count."""
    units: dict[str, None] = {}
    places = [root] if venv is None else [root, venv]
    for pid in proc.running():
        if pid == os.getpid() or not any(proc.runs_from(pid, place) for place in places):
            continue
        if not is_gitdeploy(pid) and (unit := unit_of(proc.control_group(pid) or "")):
            units[unit] = None
    for unit in _by_unit_files(root):
        units[unit] = None
    return list(units)


def unit_of(path: str) -> str | None:
    """`/system.slice/app.service/worker` is `app.service`; a login session or a user's manager itself is none."""
    for part in path.split("/"):
        if part.endswith(".service") and not part.startswith(("user@", "gitdeploy")):
            return part
    return None


def ancestors() -> set[int]:
    """This process, and all that started it."""
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = proc.parent(pid)
    return found


def is_gitdeploy(pid: int) -> bool:
    """Whether it is a gitdeploy: a deployment, the page, `watch`."""
    words = proc.command_line(pid)[:4]
    return any(os.path.basename(word) == "gitdeploy" for word in words)


def _by_unit_files(root: Path) -> list[str]:
    found = []
    tops = {str(root), os.path.realpath(root)}
    for folder in (*_UNIT_FOLDERS, os.path.expanduser("~/.config/systemd/user")):
        for file in sorted(Path(folder).glob("*.service")) if os.path.isdir(folder) else ():
            if file.name.endswith("@.service") or file.name.startswith("gitdeploy"):
                continue
            try:
                with open(file, encoding="utf-8", errors="replace") as text:
                    values = _SETTING.findall(text.read(_UNIT_LIMIT))
            except OSError:
                continue
            if any(value == top or value.startswith(top + "/") for value in values for top in tops):
                found.append(file.name)
    return found


def unit_settings(unit: str) -> dict[str, list[str]]:
    """The settings of UNIT's own files, drop-ins included: name to values, an empty one forgets those before it (systemd's
    own rule for lists). Empty where there is no such file."""
    found: dict[str, list[str]] = {}
    for folder in (*_UNIT_FOLDERS, os.path.expanduser("~/.config/systemd/user")):
        for file in (Path(folder, unit), *sorted(Path(folder, f"{unit}.d").glob("*.conf"))):
            try:
                with open(file, encoding="utf-8", errors="replace") as opened:
                    text = opened.read(_UNIT_LIMIT)
            except OSError:
                continue
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                name, mark, value = line.partition("=")
                if mark and re.fullmatch(r"\s*\w+\s*", name):
                    values = found.setdefault(name.strip(), [])
                    values.append(value.strip()) if value.strip() else values.clear()
    return found


def only_starts(pid: int) -> bool:
    """Whether it is a shell or the like, which runs other programs and is not an app itself."""
    words = proc.command_line(pid)[:1]
    return not words or os.path.basename(words[0]).lstrip("-") in _STARTERS
