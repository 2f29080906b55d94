"""Deployments that are paused."""

from __future__ import annotations

import json

from gitdeploy.text import clean

PAUSED = "hold"  # in the database: deployments are paused (`gitdeploy lock`), by whom, since when, why


def paused_sentence(paused: str) -> str:
    """`Deployments are paused by alice since …: message`."""
    facts = json.loads(paused)
    why = f": {clean(facts['message'])}" if facts.get("message") else "."
    return f"Deployments are paused by {clean(facts['who'])} since {facts['since']}{why}"
