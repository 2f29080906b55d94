"""`gitdeploy recover`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen, wait_option
from gitdeploy.cli.screen import Screen


@click.command("recover", context_settings=EXAMPLE)
@click.option("--boot", is_flag=True, help="At boot: before the app starts, so services are not restarted.")
@click.option("--again", is_flag=True, help="Try again what failed three times the same way.")
@click.option("--print-unit", is_flag=True, help="Show the systemd unit that does this at boot, and where it goes.")
@click.option("--install-unit", is_flag=True, help="Write that unit and enable it (root).")
@wait_option
@json_option
@pass_screen
def command(screen: Screen, /, boot: bool, again: bool, print_unit: bool, install_unit: bool, wait: float) -> None:
    """Finish or undo an interrupted deployment. Every command that changes the app does this first by itself.

    \b
    Example:
      gitdeploy recover
      sudo gitdeploy recover --install-unit     # and at every boot, before the app starts
    """
    if print_unit or install_unit:
        _unit(screen, install=install_unit)
        return
    result = screen.app().recover(caller=screen.caller("recover", wait=wait), boot=boot, again=again)
    if result is None:
        screen.result({"status": "nothing_to_do"}, "Nothing to recover: no deployment was interrupted.")
        return
    screen.result(result.as_dict(), result.sentence)


def _unit(screen: Screen, *, install: bool) -> None:
    unit = screen.app().boot_unit()
    files = {str(path): text for path, text in unit.files()}
    if not install:
        screen.result({"unit": unit.instance, "files": files, "installed": False}, unit.text())
        return
    written = unit.install()
    lines = [f"Written: {path}" for path in written]
    order = f", before {', '.join(unit.before)}" if unit.before else ""
    lines.append(f"Enabled: {unit.instance} runs at every boot{order}.")
    screen.result({"unit": unit.instance, "files": files, "installed": True}, "\n".join(lines))
