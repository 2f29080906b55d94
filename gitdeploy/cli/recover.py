"""`gitdeploy recover`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, wait_option
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import joined, tr


@click.command("recover", context_settings=EXAMPLE)
@click.option("--boot", is_flag=True, help="At boot: before the app starts, so services are not restarted.")
@click.option("--again", is_flag=True, help="Try again what failed three times the same way.")
@click.option("--no-hooks", is_flag=True, help="Don't run the old release's build hooks.")
@click.option("--no-restart", is_flag=True, help="Leave the service alone; its health isn't checked then.")
@click.option("--no-health", is_flag=True, help="Don't check the old release's health.")
@click.option("--print-unit", is_flag=True, help="Show the systemd unit that does this at boot, and where it goes.")
@click.option("--install-unit", is_flag=True, help="Write that unit and enable it (root).")
@wait_option
@global_options
@pass_screen
def command(screen: Screen, /, print_unit: bool, install_unit: bool, wait: float, **values: bool) -> None:
    """Finish or undo an interrupted deployment. Every command that changes the app does this first, automatically.

    Files and venv come first. Then the old release's build hooks, service and health are settled by what deploy.yaml says
    now: correct it and run this again, or leave a part out.

    \b
    Example:
      gitdeploy recover
      gitdeploy recover --no-health             # where the check itself is wrong
      sudo gitdeploy recover --install-unit     # and at every boot, before the app starts
    """
    if print_unit or install_unit:
        _unit(screen, install=install_unit)
        return
    result = screen.app(recovering=True).recover(
        caller=screen.caller("recover", wait=wait),
        boot=values["boot"],
        again=values["again"],
        hooks=not values["no_hooks"],
        restart=not values["no_restart"],
        health=not values["no_health"],
    )
    if result is None:
        screen.result({"status": "nothing_to_do"}, tr("Nothing to recover: no deployment was interrupted."))
        return
    screen.result(result.as_dict(), result.sentence)


def _unit(screen: Screen, *, install: bool) -> None:
    unit = screen.app().boot_unit()
    files = {str(path): text for path, text in unit.files()}
    if not install:
        screen.result({"unit": unit.instance, "files": files, "installed": False}, unit.text())
        return
    written = unit.install()
    lines = [tr("Written: {path}", path=path) for path in written]
    order = tr(", before {before}", before=", ".join(unit.before)) if unit.before else ""
    lines.append(tr("Enabled: {instance} runs at every boot{order}.", instance=unit.instance, order=order))
    screen.result({"unit": unit.instance, "files": files, "installed": True}, joined("\n", lines))
