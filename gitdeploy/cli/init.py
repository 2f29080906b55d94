"""`gitdeploy init`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen
from gitdeploy.cli.screen import Screen


@click.command("init", context_settings=EXAMPLE)
@click.option("--print", "only_print", is_flag=True, help="Only show the deploy.yaml; write nothing.")
@click.option("--force", is_flag=True, help="Replace a deploy.yaml that is there.")
@json_option
@pass_screen
def command(screen: Screen, /, only_print: bool, force: bool) -> None:
    """Look at the checkout and write a deploy.yaml for it.

    It is commented and drafted from what is found there; `.gitdeploy/` is set up too.

    \b
    Example:
      cd /srv/my-app
      gitdeploy init --print
      gitdeploy init
    """
    app = screen.app()
    if only_print:
        text = app.draft()
        screen.result({"text": text, "written": None}, text)
        return
    path, text = app.init(force=force)
    screen.result({"text": text, "written": str(path)}, f"Written: {path}")
    screen.message("Read it, commit it (it belongs to the release), then: gitdeploy doctor")
