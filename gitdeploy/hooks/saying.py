"""What a hook says so that it can be read in each language: a line with a template and its values, as gitdeploy's own sentences
have them (`gitdeploy.messages`). The ready hooks print such lines; a reader of the log gets the sentence.

    gitdeploy-say {page} answered {got} instead of {wanted}. | page=/shop | got=500 | wanted=200
"""

from __future__ import annotations

import re

from gitdeploy.messages import put_together

_BEFORE = "gitdeploy-say "
_NAME = re.compile(r"[a-z_]{1,40}=")


def sentence_in(line: str) -> str:
    """The sentence that LINE says; any other line as it is."""
    if not line.startswith(_BEFORE):
        return line
    template, *pieces = line.removeprefix(_BEFORE).split(" | ")
    values: dict[str, str] = {}
    last = ""
    for piece in pieces:
        if _NAME.match(piece):
            last, _, values[last] = piece.partition("=")
        elif last:  # a value with such a mark in it
            values[last] += f" | {piece}"
    return put_together(template, values)
