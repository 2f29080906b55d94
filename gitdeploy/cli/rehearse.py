"""`gitdeploy rehearse`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from gitdeploy.cli.completing import tags
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, to_options, upgrade_options, wait_option
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import Interrupted, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.caller import login
from gitdeploy.system import interruption

if TYPE_CHECKING:
    from gitdeploy.deployment.flow.rehearse import Rehearsed

_LOOK = 0.5  # seconds between two looks at the app


@click.command("rehearse", context_settings=EXAMPLE)
@click.argument("tag", required=False, shell_complete=tags)
@click.option("--keep", is_flag=True, help="Leave the app running in the copy until Ctrl-C, and print its address.")
@upgrade_options
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, tag: str | None, keep: bool, wait: float, **values: Any) -> None:
    """Try a release on a copy of the app and its data.

    The release is TAG, or the newest.

    Its migration runs on scratch databases, made from fresh dumps; then the app is started and its health
    asked. Nothing live is touched, and all of it is removed at the end. The release stays prepared.

    \b
    Example:
      gitdeploy rehearse v1.3.0
      gitdeploy rehearse v1.3.0 --keep     # and look at it
    """
    if keep and screen.as_json:
        raise UsageError(tr("--keep prints an address and waits for Ctrl-C, so it can't be used with --json."))
    app = screen.app()
    caller = screen.caller(f"rehearse {tag or ''}".strip(), wait=wait)
    rehearsed = app.rehearse(tag, to_options(values), keep=keep, caller=caller)
    try:
        screen.deployment_result(rehearsed.result)
        if rehearsed.address:
            _wait(screen, rehearsed)
    finally:
        rehearsed.close()


def _wait(screen: Screen, rehearsed: Rehearsed) -> None:
    """Until somebody ends it, or it ends."""
    port = rehearsed.address.rstrip("/").rpartition(":")[2]
    screen.write(f"{rehearsed.address}\n")
    screen.message(
        tr(
            "The app runs in the copy until you press Ctrl-C. From your own computer:\n  ssh -N -L {port}:127.0.0.1:{port} {here}",
            port=port,
            here=login(),
        )
    )
    with suppress(Interrupted):
        while (why := rehearsed.ended()) is None:
            interruption.sleep(_LOOK)
        screen.message(tr("{why}.", why=why))
