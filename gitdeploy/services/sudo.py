"""What sudo lets this user do without a password: asked before a deployment begins, by listing and never by doing."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence

from gitdeploy.system.completed import Completed
from gitdeploy.system.environment import which

Run = Callable[[Sequence[str]], Completed]


def words(argv: Sequence[str]) -> list[str] | None:
    """How ARGV is done by sudo, without ever asking for a password; None where there is no sudo."""
    sudo = which("sudo")
    return None if sudo is None else [sudo, "-n", "--", *argv]


def lets(argv: Sequence[str], run: Run) -> bool:
    """Whether sudo does ARGV for this user without a password. RUN: how a child is run.

    `sudo -l -- ARGV` alone says yes to what wants a password, too, once any other rule of the user's wants none (listpw in
    sudoers(5)); so the rule that counts, the last that matches, is looked at. One that can't be told apart counts as a yes:
    sudo itself has the last word.
    """
    sudo = which("sudo")
    if sudo is None or not run([sudo, "-n", "-l", "--", *argv]).ok:
        return False
    listed = run([sudo, "-n", "-l", "-l"])
    if not listed.ok:
        return True
    usually = re.search(r"^\s+.*!authenticate", listed.text.partition("Sudoers entry:")[0], re.MULTILINE) is None
    asks = [_asks(entry, usually=usually) for entry in _entries(listed.text) if _matches(entry, argv)]
    return not (asks and asks[-1])


def _entries(text: str) -> Iterator[str]:
    yield from text.split("Sudoers entry:")[1:]


def _asks(entry: str, *, usually: bool) -> bool:
    """Whether a rule wants a password; USUALLY: what holds where it doesn't say."""
    options = re.search(r"^ +Options: (.*)$", entry, re.MULTILINE)
    said = options[1].split(", ") if options is not None else []
    return "!authenticate" not in said and ("authenticate" in said or usually)


def _as_root(entry: str) -> bool:
    """Whether a rule is of what is done as root; where it names an alias, that can't be told apart."""
    users = re.search(r"^ +RunAsUsers: (.*)$", entry, re.MULTILINE)
    matches = users is None
    for name in users[1].split(", ") if users is not None else []:
        user = name.removeprefix("!")
        if user in ("root", "#0") or user.isupper():  # ALL, too
            matches = user == name
    return matches


def _matches(entry: str, argv: Sequence[str]) -> bool:
    """Whether one of a rule's commands is ARGV, done as root: a program alone stands for it with any arguments."""
    if not _as_root(entry):
        return False
    wanted = " ".join(argv)
    commands = [line.strip().replace("\\", "") for line in entry.partition("Commands:")[2].splitlines()]
    return any(
        each == "ALL" or fnmatch.fnmatchcase(wanted, each) or (" " not in each and fnmatch.fnmatchcase(argv[0], each))
        for each in commands
        if each
    )
