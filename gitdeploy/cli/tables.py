"""Tables that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from gitdeploy.text import padded, width_of, wrapped

GAP = 2
_NARROWEST = 10  # columns that are left to a text that is wrapped


def table_text(rows: Sequence[Sequence[str]], most: int) -> str:
    """ROWS in aligned columns, at most MOST wide (0: as wide as they are): the widest texts are wrapped between words, or
    between Chinese characters. A word that is wider stays whole."""
    columns = range(len(rows[0]))
    widths = [max(width_of(row[at]) for row in rows) for at in columns]
    least = [max(min(_NARROWEST, widths[at]), *(_longest_word(row[at]) for row in rows)) for at in columns]
    over = sum(widths) + GAP * (len(widths) - 1) - most if most else 0
    while over > 0:
        at = max(columns, key=lambda column: widths[column] - least[column])
        if widths[at] <= least[at]:
            break
        widths[at] -= 1
        over -= 1
    lines = []
    for row in rows:
        cells = [wrapped(cell, widths[at]) if width_of(cell) > widths[at] else [cell] for at, cell in enumerate(row)]
        lines += [
            (" " * GAP).join(padded(piece, widths[at]) for at, piece in enumerate(pieces)).rstrip()
            for pieces in zip_longest(*cells, fillvalue="")
        ]
    return "\n".join(lines)


def _longest_word(text: str) -> int:
    return max((width_of(line) for line in wrapped(text, 1)), default=0)
