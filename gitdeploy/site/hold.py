"""Deployments that are held."""

from __future__ import annotations

from gitdeploy.text import clean

HOLD = "hold"  # in the database: deployments are held (`gitdeploy lock`), by whom, since when, why


def hold_sentence(hold: str) -> str:
    """`Deployments are held by alice since …: message`."""
    import json

    facts = json.loads(hold)
    why = f": {clean(facts['message'])}" if facts.get("message") else "."
    return f"Deployments are held by {clean(facts['who'])} since {facts['since']}{why}"
