"""How this gitdeploy is started: the words of a command line, for units and for whoever is to type it again."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from pathlib import Path

from gitdeploy.called import CALLED_IN
from gitdeploy.errors import UsageError
from gitdeploy.messages import tr
from gitdeploy.system.trusted import weak, weak_below
from gitdeploy.text import path_text

INSTALL = tr(
    "Install one for root: python3 -m venv /opt/gitdeploy && /opt/gitdeploy/bin/pip install WHEEL-OR-FOLDER-OF-ROOTS"
)
_PACKAGE = 5  # folders deep


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


def places() -> list[str]:
    """Our package, the interpreter, and wherever else this process imports from."""
    package = str(Path(__file__).resolve().parents[1])
    found = map(os.path.abspath, sys.path)
    return [package, os.path.realpath(sys.executable), sys.prefix, *filter(os.path.isdir, found)]


def refuse_changeable(folder: Path) -> None:
    """As root: refuse a gitdeploy that others can change, before more of it is loaded; one in the app's own venv, say.

    FOLDER: in the checkout, whose owner may run it instead. Raises `UsageError`.
    """
    _refuse_where_we_are_called()
    package, *others = places()
    found = weak_below(package, depth=_PACKAGE, ending=".py") or next(filter(None, map(weak, others)), None)
    if found is None:
        return
    who = found.who
    if folder.is_dir() and found.uid == folder.stat().st_uid != 0:
        run_it = tr("Run it as {who}: {again}\n", who=who, again=again(uid=found.uid))
    else:
        run_it = ""
    raise UsageError(
        tr(
            "Root does not run a gitdeploy that {who} can change ({found}, mode {mode}).",
            who=who,
            found=path_text(found.path),
            mode=f"{found.mode:04o}",
        ),
        tr("{run_it}{install}", run_it=run_it, install=INSTALL),
    )


def _refuse_where_we_are_called() -> None:
    """With `python -m` Python has looked for modules in the working directory first, before any code of ours ran."""
    if CALLED_IN is not None and (found := weak(CALLED_IN)) is not None:
        raise UsageError(
            tr(
                "Root does not run `python -m gitdeploy` in {called_in}: Python imports modules from "
                "there, and others than root can write to {found}.",
                called_in=path_text(CALLED_IN),
                found=path_text(found.path),
            ),
            tr(
                "Call the program itself, {dirname}, or go elsewhere first: cd /",
                dirname=path_text(os.path.join(os.path.dirname(sys.executable), "gitdeploy")),
            ),
        )
