"""`gitdeploy hooks`."""

from __future__ import annotations

import click

from gitdeploy.cli.completing import hook_names, stages
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import UsageError
from gitdeploy.hooks import library as ready_hooks
from gitdeploy.hooks.library import library
from gitdeploy.hooks.running import FOLDER, STAGES
from gitdeploy.messages import joined, sentence_of, tr
from gitdeploy.text import count, path_text

NO_FOLDER = (
    tr("deploy.yaml names no folder of hooks."),
    tr("To have one, write into deploy.yaml:  hooks: {{dir: {folder}}}", folder=FOLDER),
)


@click.group("hooks", context_settings=EXAMPLE, invoke_without_command=True)
@global_options
@click.pass_context
def command(context: click.Context) -> None:
    """List, run and install hooks.

    List what runs when; run a stage's hooks now; copy a ready one.

    \b
    Example:
      gitdeploy hooks
      gitdeploy hooks library
      gitdeploy hooks install django-migrate
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
    screen.result(document, table if found else _none(screen.app().site.config.hooks.dir))


def _none(folder: str | None) -> str:
    if folder is None:
        return tr("No hooks. {why} {way}", why=NO_FOLDER[0], way=NO_FOLDER[1])
    return tr("No hooks. A file {folder}/post-deploy (executable) would be one.", folder=path_text(folder))


@command.command("run", context_settings=EXAMPLE)
@click.argument("stage", shell_complete=stages)
@global_options
@pass_screen
def run_stage(screen: Screen, /, stage: str) -> None:
    """Run the hooks of STAGE now."""
    ran = screen.app().run_hooks(stage, on_line=lambda text: screen.message(f"  {text}"))
    screen.result({"ran": ran}, tr("{count} ran.", count=count(ran, "hook")))


@command.command("library", context_settings=EXAMPLE)
@global_options
@pass_screen
def show_library(screen: Screen, /) -> None:
    """List the ready hooks that `gitdeploy hooks install` copies."""
    found = library()
    rows = [(hook.name, joined(", ", (stage for stage, _ in hook.stages)), sentence_of(hook.about)) for hook in found]
    document = [
        {"name": hook.name, "stages": [stage for stage, _ in hook.stages], "about": hook.about} for hook in found
    ]
    screen.result(document, screen.table(rows, ("NAME", "STAGES", "DOES")))


@command.command("install", context_settings=EXAMPLE)
@click.argument("name", shell_complete=hook_names)
@click.option("--stage", type=click.Choice(STAGES), help="Only for this stage. Default: each where it belongs.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@global_options
@pass_screen
def install_ready(screen: Screen, /, name: str, stage: str | None, force: bool) -> None:
    """Copy the ready hook NAME into the app's hooks folder.

    It is executable there, and runs from the next deployment on.

    \b
    Example:
      gitdeploy hooks install maintenance-on
      gitdeploy hooks install sqlite-dump --stage pre-restore
    """
    hook = ready_hooks.find(name)
    site = screen.app().site
    site.require_owner()
    folder = site.config.hooks.dir
    if folder is None:
        raise UsageError(*NO_FOLDER)
    paths = ready_hooks.install(site.root, folder, hook, stage=stage, force=force)
    screen.result({"installed": paths}, joined("\n", paths))
    screen.message(tr("Look at its settings (the lines at its top), then commit it: the hooks belong to the release."))
