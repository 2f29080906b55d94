"""Plots as SVG, written by hand: bars of steps side by side, and lines over a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from pathlib import Path

_COLOURS = (
    "#3b6ea5",
    "#7fb069",
    "#e6aa68",
    "#ca3c25",
    "#8d6b94",
    "#5b8e7d",
    "#bcab79",
    "#7a7a7a",
    "#d17a92",
    "#4f5d75",
)
_FONT = 'font-family="sans-serif" font-size="13"'
_ALIKE = {
    "clone": "build", "install": "build", "compile": "build", "checkout": "switch", "flip": "switch", "copy over": "switch",
    "reset": "switch", "stage": "switch",
}  # fmt: skip


def stacked_bars(path: Path, title: str, bars: Mapping[str, Mapping[str, float]], totals: Mapping[str, float]) -> None:
    """One bar a way, split by step; what no step accounts for (starting, planning) is `other`."""
    rows = {}
    for name, steps in bars.items():
        row: dict[str, float] = {}
        for step, seconds in steps.items():
            row[_ALIKE.get(step, step)] = row.get(_ALIKE.get(step, step), 0.0) + seconds
        row["other"] = max(0.0, totals[name] - sum(row.values()))
        rows[name] = row
    kinds = sorted({kind for row in rows.values() for kind, seconds in row.items() if seconds > 0.002})
    left, width, top = 170, 560, 60
    scale = width / max(totals.values())
    height = top + 40 * len(rows) + 30 + 22 * (-(-len(kinds) // 5))
    out = [_head(left + width + 90, height, title)]
    for at, (name, row) in enumerate(rows.items()):
        y, x = top + 40 * at, float(left)
        out.append(f'<text x="{left - 8}" y="{y + 18}" text-anchor="end" {_FONT}>{escape(name)}</text>')
        for kind in kinds:
            wide = row.get(kind, 0.0) * scale
            colour = _COLOURS[kinds.index(kind) % len(_COLOURS)]
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="26" fill="{colour}"/>')
            x += wide
        out.append(f'<text x="{x + 6:.1f}" y="{y + 18}" {_FONT}>{totals[name]:.2f} s</text>')
    for at, kind in enumerate(kinds):
        x, y = left + 110 * (at % 5), top + 40 * len(rows) + 12 + 22 * (at // 5)
        out.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{_COLOURS[at % len(_COLOURS)]}"/>')
        out.append(f'<text x="{x + 17}" y="{y + 11}" {_FONT}>{escape(kind)}</text>')
    path.write_text("\n".join([*out, "</svg>\n"]))


def lines(path: Path, title: str, axis: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Seconds over a size, one line a way; both axes are logarithmic."""
    points = [point for line in series.values() for point in line]
    low_x, high_x = log10(min(x for x, _ in points)), log10(max(x for x, _ in points))
    low_y, high_y = log10(min(y for _, y in points)) - 0.1, log10(max(y for _, y in points)) + 0.1
    left, top, width, height = 70, 50, 560, 300

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + width * (log10(x) - low_x) / ((high_x - low_x) or 1),
            top + height * (1 - (log10(y) - low_y) / (high_y - low_y)),
        )

    out = [_head(left + width + 170, top + height + 60, title)]
    out.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>')
    for x in sorted({x for x, _ in points}):
        at, _ = place(x, 10**low_y)
        out.append(f'<text x="{at:.1f}" y="{top + height + 18}" text-anchor="middle" {_FONT}>{x:g}</text>')
    for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50):
        if low_y <= log10(tick) <= high_y:
            _, y = place(10**low_x, tick)
            out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" {_FONT}>{tick:g} s</text>')
    out.append(
        f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle" {_FONT}>{escape(axis)}</text>'
    )
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        spots = [place(x, y) for x, y in sorted(line)]
        out.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>'
        )
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in spots]
        x, y = spots[-1]
        out.append(f'<text x="{x + 9:.1f}" y="{y + 4:.1f}" {_FONT} style="fill:{colour}">{escape(name)}</text>')
    path.write_text("\n".join([*out, "</svg>\n"]))


def _head(width: int, height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="20" y="28" font-family="sans-serif" font-size="16" font-weight="bold">{escape(title)}</text>'
    )
