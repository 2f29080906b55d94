"""`gitdeploy prune`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, wait_option
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import tr
from gitdeploy.text import count, listing, size_text


@click.command("prune", context_settings=EXAMPLE)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Keep N backups instead of backup.keep.")
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, dry_run: bool, keep: int | None, wait: float) -> None:
    """Drop backups and venv generations beyond `backup.keep`. Labelled ones and the last good one always stay.

    \b
    Example:
      gitdeploy prune --dry-run
    """
    done = screen.app().prune(keep=keep, dry_run=dry_run, caller=screen.caller("prune", wait=wait))
    verb = tr("Would drop") if dry_run else "Dropped"
    text = tr(
        "{verb} {backups} and {generations} ({freed}).",
        verb=verb,
        backups=count(len(done.backups), "backup"),
        generations=count(len(done.generations), "venv generation"),
        freed=size_text(done.freed),
    )
    for label, names in (
        ("backups", done.backups),
        ("generations", done.generations),
        (tr("Pythons"), done.pythons),
        (tr("still in use"), done.in_use),
    ):
        if names:
            text += tr("\n  {label}: {names}", label=label, names=listing(names, 20))
    document = {
        "backups": done.backups,
        "generations": done.generations,
        "pythons": done.pythons,
        "freed": done.freed,
        "in_use": done.in_use,
        "dry_run": dry_run,
    }
    screen.result(document, text)
