"""`gitdeploy hooks`."""

from __future__ import annotations

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.text import count


@click.group("hooks", context_settings=EXAMPLE, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context) -> None:
    """List what runs when; run a stage's hooks now; install a ready one.

    \b
    Example:
      gitdeploy hooks
      gitdeploy hooks run post-deploy
    """
    if context.invoked_subcommand is not None:
        return
    screen: Screen = context.obj
    found = screen.app().hooks()
    table = screen.table(
        [(hook.stage, hook.name, hook.owner, hook.mode, hook.problem or "") for hook in found],
        ("STAGE", "HOOK", "OWNER", "MODE", "PROBLEM"),
    )
    document = [
        {"stage": hook.stage, "name": hook.name, "owner": hook.owner, "mode": hook.mode, "problem": hook.problem}
        for hook in found
    ]
    screen.result(document, table if found else "No hooks. A file hooks/post-deploy (executable) would be one.")


@command.command("run", context_settings=EXAMPLE)
@click.argument("stage")
@pass_screen
def run_stage(screen: Screen, /, stage: str) -> None:
    """Run the hooks of STAGE now."""
    ran = screen.app().run_hooks(stage, on_line=lambda text: screen.message(f"  {text}"))
    screen.result({"ran": ran}, f"{count(ran, 'hook')} ran.")
