"""Marks and names of steps on a terminal."""

from __future__ import annotations

from gitdeploy.messages import render, tr

MARKS = {"done": "✓", "skipped": "-", "failed": "✗", "undone": "↶", "running": "…"}
_STEPS = {
    "fetch": tr("fetch"),
    "preflight": tr("preflight"),
    "backup": tr("backup"),
    "build": tr("build"),
    "check": tr("check"),
    "stage": tr("stage"),
    "pre-deploy": tr("pre-deploy"),
    "pre-restore": tr("pre-restore"),
    "stop": tr("stop"),
    "maintenance": tr("maintenance"),
    "dump": tr("dump"),
    "switch": tr("switch"),
    "data": tr("data"),
    "migrate": tr("migrate"),
    "restart": tr("restart"),
    "health": tr("health"),
    "reopen": tr("reopen"),
    "post-deploy": tr("post-deploy"),
    "post-restore": tr("post-restore"),
    "copy": tr("copy"),
    "scratch": tr("scratch"),
    "old-release": tr("old-release"),
    "migrate-after": tr("migrate-after"),
}


_ACTIONS = {
    "upgrade": tr("upgrade"),
    "restore": tr("restore"),
    "rollback": tr("rollback"),
    "prepare": tr("prepare"),
    "rehearse": tr("rehearse"),
    "backup": tr("backup"),
    "contract": tr("contract"),
}


_STATUSES = {
    "running": tr("running"),
    "succeeded": tr("succeeded"),
    "rolled_back": tr("rolled back"),
    "failed": tr("failed"),
    "refused": tr("refused"),
    "interrupted": tr("interrupted"),
    "nothing_to_do": tr("nothing to do"),
}


_OF_STEPS = {"done": tr("done"), "skipped": tr("skipped"), "failed": tr("failed"), "undone": tr("undone")}


def status_of(step: str) -> str:
    """How a step ended, in a word."""
    return render(_OF_STEPS.get(step, step))


def status_title(name: str) -> str:
    """How a deployment ended, in words."""
    return render(_STATUSES.get(name, name.replace("_", " ")))


def action_title(name: str) -> str:
    """What a deployment was, in the language that is spoken; in English the word that JSON has."""
    return render(_ACTIONS.get(name, name))


def step_title(name: str) -> str:
    """A step's name in the language that is spoken; in English the name that the journal has."""
    return render(_STEPS.get(name, name))
