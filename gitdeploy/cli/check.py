"""`gitdeploy check`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.text import clean


@click.command("check", context_settings=EXAMPLE)
@click.option("--force", is_flag=True, help="Ask the source, whatever the cache says.")
@click.option("--exit-code", is_flag=True, help="Exit with 100 when there is an update.")
@json_option
@pass_screen
def command(screen: Screen, /, force: bool, exit_code: bool) -> None:
    """Is there a newer release?

    \b
    Example:
      gitdeploy check
      gitdeploy check --exit-code || notify-me
    """
    result = screen.app().check(force=force)
    if result.warning:
        screen.message(f"Warning: {result.warning}")
    if result.update_available:
        text = f"{result.latest_tag} is available; {result.current_version or 'an unknown version'} is live."
        if result.release_notes:
            text += "\n\n" + clean(result.release_notes, lines=True, limit=4000)
        text += f"\n\nUpgrade: gitdeploy upgrade {result.latest_tag}"
    else:
        text = f"{result.current_version or 'What is live'} is the newest release."
    screen.result(result.as_dict(), text)
    if exit_code and result.update_available:
        screen.exit_code = 100
