"""What somebody does by hand to the venv while a deployment is under way: packages that came, went or changed, and an
installer that is still at it.

A new generation is cloned from the live one at one moment; what is installed there later would be missing after the
switch. And an installer that runs through the switch follows the venv's link: half of a package would land in each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitdeploy.messages import tr
from gitdeploy.text import clean
from gitdeploy.venvs.live import Installed

_INSTALLERS = re.compile(r"pip[\d.]*|pip-[\d.]+|uv")
_VERBS = frozenset(("install", "uninstall", "sync", "add", "remove"))
_FIRST_WORDS = 5  # `python -I -m pip`, or a script behind its interpreter: the installer stands among these


def changed_packages(before: Mapping[str, Installed], now: Mapping[str, Installed]) -> list[str]:
    """What is not as it was, in words: `extra 1.0 is new`, `greeting is 2.0 instead of 1.0`."""
    said = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        if one is None and other is not None:
            said.append(tr("{name} {version} is new", name=name, version=other.version))
        elif other is None and one is not None:
            said.append(tr("{name} {version} is gone", name=name, version=one.version))
        elif one is not None and other is not None:
            again = one.version == other.version
            said.append(
                tr("{name} {version} was installed again", name=name, version=other.version)
                if again
                else tr("{name} is {version} instead of {before}", name=name, version=other.version, before=one.version)
            )
    return said


def installer_at(link: Path) -> str | None:
    """`pip install extra (process 4711)` where an installer works on the venv at LINK now, else None.

    Only processes of this user's can be seen through, unless this is root.
    """
    places = {os.path.abspath(link), os.path.realpath(link)}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        words = _words(f"/proc/{entry}/cmdline")
        at = next((n for n, word in enumerate(words[:_FIRST_WORDS]) if _INSTALLERS.fullmatch(_base(word))), None)
        if at is not None and _VERBS & set(words[at:]) and _names(entry, words, places):
            return tr(
                "{what} (process {entry})",
                what=clean(" ".join([_base(words[at]), *words[at + 1 :]]), limit=80),
                entry=entry,
            )
    return None


def _names(process: str, words: Sequence[str], places: set[str]) -> bool:
    """Whether a process is about one of PLACES, by its command line or the venv that is active in its environment."""
    try:
        folder = os.readlink(f"/proc/{process}/cwd")
    except OSError:
        folder = "/"
    active = [word.partition("=")[2] for word in _words(f"/proc/{process}/environ") if word.startswith("VIRTUAL_ENV=")]
    named = [os.path.normpath(os.path.join(folder, word)) for word in (*words, *active) if "/" in word]
    named.append(os.path.join(folder, ".venv"))  # where uv looks by itself
    return any(name == place or name.startswith(place + "/") for name in named for place in places)


def _base(word: str) -> str:
    return word.rpartition("/")[2]


def _words(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read()).split("\0")[:-1]
    except OSError:
        return []
