"""How this gitdeploy is started: the words of a command line, for units and for whoever is to type it again."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys


def program() -> list[str]:
    """The words that start it, with whole paths: the program as typed, else the one beside this interpreter or in PATH,
    else the module."""
    typed = shutil.which(sys.argv[0]) or sys.argv[0]
    beside = os.path.join(os.path.dirname(sys.executable), "gitdeploy")
    for found in (typed, beside, shutil.which("gitdeploy") or ""):
        if os.path.basename(found) == "gitdeploy" and os.path.isfile(found) and os.access(found, os.X_OK):
            return [os.path.abspath(found)]
    return [sys.executable, "-m", "gitdeploy"]


def again(*words: str, uid: int | None = None) -> str:
    """WORDS as a gitdeploy command to type as UID (as oneself), by its whole path, since sudo has a PATH of its own;
    without WORDS what was typed, or `…` where a program asked instead of a command line."""
    typed = [shlex.quote(word) for word in words or _typed()] or ["…"]
    before = [] if uid is None else ["sudo", *([] if uid == 0 else ["-u", user_word(uid, "#")])]
    return " ".join([*before, *map(shlex.quote, program()), *typed])


def _typed() -> list[str]:
    folder, name = os.path.split(os.path.abspath(sys.argv[0]))
    ours = name == "gitdeploy" or (name == "__main__.py" and os.path.basename(folder) == "gitdeploy")
    return sys.argv[1:] if ours else []


def user_word(uid: int, before: str = "") -> str:
    """A user as one word of a command line: the name, else the number with what is put BEFORE it (`#` for sudo)."""
    try:
        return shlex.quote(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return shlex.quote(f"{before}{uid}")
