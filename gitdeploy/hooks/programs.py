"""Which program a command of deploy.yaml starts, as far as no shell is needed to tell."""

from __future__ import annotations

import re
import shlex

_PLAIN = re.compile(r"[A-Za-z0-9_./+@%:,-]+")  # a word of a command that no shell changes
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
# Words with which a shell's command may begin and that are no program.
_SHELL = frozenset(
    ". : [ ! { ( alias bg break case cd command continue do done echo eval exec exit export false fc fg for function getopts "
    "hash if jobs kill local printf pwd read readonly return set shift source test time times trap true type ulimit umask "
    "unalias unset until wait while".split()
)


def program_of(command: str) -> str | None:
    """The program that COMMAND begins with, where that is a plain word and none of the shell's own."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None
    while words and (assigned := _ASSIGNMENT.match(words[0])):
        if assigned[1] == "PATH":
            return None
        words.pop(0)
    return words[0] if words and _PLAIN.fullmatch(words[0]) and words[0] not in _SHELL else None
