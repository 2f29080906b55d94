"""`gitdeploy init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import render, tr
from gitdeploy.text import count, listing, padded

if TYPE_CHECKING:
    from gitdeploy.app.drafted import Drafted


@click.command("init", context_settings=EXAMPLE)
@click.option("--print", "only_print", is_flag=True, help="Only show the deploy.yaml; write nothing.")
@click.option("--force", is_flag=True, help="Replace a deploy.yaml that is there.")
@global_options
@pass_screen
def command(screen: Screen, /, only_print: bool, force: bool) -> None:
    """Look at the checkout and write a deploy.yaml for it.

    Each line says why it is there; what isn't sure stands commented with a question. Then what was written is tried, and
    what fails is shown. Nothing of the app is executed; `.gitdeploy/` is set up too.

    \b
    Example:
      cd /srv/my-app
      gitdeploy init --print
      gitdeploy init
    """
    app = screen.app()
    if only_print:
        draft = app.draft()
        screen.result({"text": draft.text, "written": None, "recognised": draft.recipe}, draft.text)
        return
    done = app.init(force=force)
    data = {
        "text": done.draft.text,
        "written": str(done.path),
        "recognised": done.draft.recipe,
        "tried": [each.as_dict() for each in done.tried],
        "asks": list(done.asks),
    }
    screen.result(data, tr("Written: {done}", done=done.path))
    for text in _said(done):
        screen.message(text)


def _said(done: Drafted) -> list[str]:
    """What a person is told of the file that was written."""
    said = [tr("Recognised: {recipe}", recipe=done.draft.recipe)] if done.draft.recipe else []
    for each in done.tried:
        said.append(
            tr(
                "{holds} {about} {each_message}",
                holds=padded(render(tr("ok") if each.holds else tr("FAILED")), 7),
                about=f"{each.about:<9}",
                each_message=each.message,
            )
        )
        if each.hint and not each.holds:
            said.append(tr("{what}{each_hint}", what=f"{'':18}", each_hint=each.hint))
    if done.asks:
        said.append(
            tr(
                "{count} to decide, commented in the file: {asks}",
                count=count(len(done.asks), "setting"),
                asks=listing(list(done.asks), 8),
            )
        )
    if done.tracked:
        said.append(
            tr("The releases of this app bring this file. Commit the change where the app is developed, not here.")
        )
    else:
        said.append(
            tr(
                "The file is untracked, and stays as it is with every upgrade. To have it come with the releases, commit it where the "
                "app is developed, not here."
            )
        )
    return [*said, tr("Read it, then: gitdeploy doctor")]
