"""Marks of steps on a terminal."""

from __future__ import annotations

MARKS = {"done": "✓", "skipped": "-", "failed": "✗", "undone": "↶", "running": "…"}
