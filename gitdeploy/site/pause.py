"""Deployments that are paused."""

from __future__ import annotations

import json

from gitdeploy.messages import tr
from gitdeploy.state.rows import who_said
from gitdeploy.text import clean

PAUSED = "hold"  # in the database: deployments are paused (`gitdeploy lock`), by whom, since when, why


def paused_sentence(paused: str) -> str:
    """`Deployments are paused by alice since …: message`."""
    facts = json.loads(paused)
    why = tr(": {facts}", facts=clean(facts["message"])) if facts.get("message") else tr(".")
    return tr(
        "Deployments are paused by {who} since {since}{why}",
        who=clean(who_said(facts["who"])),
        since=facts["since"],
        why=why,
    )
