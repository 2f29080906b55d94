"""`gitdeploy backups`."""

from __future__ import annotations

from datetime import datetime

import click

from gitdeploy.backups.store import Backup
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.deployment.plan.data_release import data_name, own_data
from gitdeploy.messages import joined, tr
from gitdeploy.text import clean, size_text


def _held(backup: Backup) -> list[str]:
    """What it holds; whose its data are, where they are another release's than its code."""
    return [
        tr("data of {data_name}", data_name=data_name(backup)) if word == "data" and not own_data(backup) else word
        for word in backup.holds
    ]


@click.command("backups", context_settings=EXAMPLE)
@global_options
@pass_screen
def command(screen: Screen) -> None:
    """List the backups, newest first. The size is what deleting one would free.

    \b
    Example:
      gitdeploy backups
      gitdeploy restore 20261123-101500-v1.2.9
    """
    rows = screen.app().backups()
    if not rows:
        screen.result([], tr("There is no backup yet. Every upgrade makes one; `gitdeploy backup` makes one now."))
        return
    table = screen.table(
        [
            (
                row.backup.id,
                row.backup.version or row.backup.commit[:8],
                datetime.fromisoformat(row.backup.created_at).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                size_text(row.size),
                joined(", ", _held(row.backup)),
                clean(row.backup.label or row.backup.reason, limit=60),
            )
            for row in rows
        ],
        ("ID", "VERSION", "CREATED", "SIZE", "HOLDS", "LABEL"),
    )
    screen.result([row.as_dict() for row in rows], table)
