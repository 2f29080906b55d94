"""`gitdeploy skip`."""

from __future__ import annotations

import click

from gitdeploy.cli.completing import tags
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import tr
from gitdeploy.text import clean


@click.command("skip", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@click.option("--reason", default="", metavar="TEXT", help="Why; shown wherever the release is.")
@global_options
@pass_screen
def command(screen: Screen, /, tag: str | None, reason: str) -> None:
    """Never install the release TAG automatically.

    Without TAG, list what is skipped. A release from which somebody went back by hand is skipped by that. Naming one in
    `gitdeploy upgrade TAG` installs it all the same.

    \b
    Example:
      gitdeploy skip v1.3.0 --reason "slow imports, wait for v1.3.1"
      gitdeploy skip
    """
    app = screen.app()
    if tag is not None:
        made = app.skip(tag, reason)
        screen.result(
            made.as_dict(),
            tr("{tag} won't be installed automatically.  To allow it: {way}", tag=clean(tag), way=made.way),
        )
        return
    found = app.skips().all()
    rows = [(clean(one.tag), one.at[:10], clean(one.by), clean(one.reason, limit=100)) for one in found]
    table = screen.table(rows, ("RELEASE", "SINCE", "BY", "WHY"))
    screen.result([one.as_dict() for one in found], table if found else tr("No release is skipped."))
