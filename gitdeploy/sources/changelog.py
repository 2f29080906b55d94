"""Texts of releases: the section of one version in a changelog, a tag's message without its signature."""

from __future__ import annotations

import re

LONGEST = 1 << 20  # characters that are looked at
CHANGELOGS = ("CHANGELOG.md", "CHANGELOG", "CHANGES.md", "CHANGES.rst", "CHANGES", "HISTORY.md")


_SIGNATURE = re.compile(
    r"-----BEGIN ((?:PGP|SSH) SIGNATURE|PGP MESSAGE|SIGNED MESSAGE)-----\n.*-----END \1-----\s*", re.DOTALL
)


def unsigned(message: str) -> str:
    """MESSAGE of a tag without the PGP, SSH or X.509 signature that git and hosts show behind it."""
    text = message.replace("\r\n", "\n")
    at = text.rfind("-----BEGIN ")
    begins_line = at == 0 or (at > 0 and text[at - 1] == "\n")
    return text[:at].rstrip() if begins_line and _SIGNATURE.fullmatch(text, at) else message


def section(text: str, version: str) -> str:
    """The lines below VERSION's heading, up to the next heading of the same rank; empty where it has none.

    Headings are Markdown's (`## [1.2.9] - 2026-11-23`) or underlined ones (`1.2.9` over `-----`).
    """
    lines = text[:LONGEST].splitlines()
    wanted = re.compile(rf"(?<![\w.])v?{re.escape(version)}(?![\w.]*\d)", re.IGNORECASE)
    for at, line in enumerate(lines):
        rank = _rank(lines, at)
        if rank and wanted.search(line):
            start = at + (1 if rank < 10 else 2)
            end = next((n for n in range(start, len(lines)) if 0 < _rank(lines, n) <= rank), len(lines))
            return "\n".join(lines[start:end]).strip()
    return ""


def _rank(lines: list[str], at: int) -> int:
    """1 to 6 for Markdown headings, 10 for underlined ones, 0 for other lines."""
    line = lines[at]
    if found := re.match(r"(#{1,6})\s+\S", line):
        return len(found[1])
    under = lines[at + 1] if at + 1 < len(lines) else ""
    if line.strip() and not line.startswith((" ", "-", "*", "=")) and re.fullmatch(r"[=\-~^]{3,}\s*", under):
        return 10
    return 0
