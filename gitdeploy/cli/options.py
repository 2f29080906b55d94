"""Options that several commands share, and how they become `Options`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gitdeploy.cli.completing import app_names
from gitdeploy.cli.language import known_language
from gitdeploy.cli.screen import Screen
from gitdeploy.deployment.plan.options import Options
from gitdeploy.messages import tr

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLE = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
pass_screen = click.pass_obj


def global_options(command: F) -> F:
    """The flags that stand before a command's name, behind it too. Help shows them once, at `gitdeploy --help`."""

    def note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        screen = context.find_object(Screen)
        if screen is None or not value:
            return
        if parameter.name == "lang":
            known_language(context, parameter, value)  # chosen before anything was parsed
            return
        if parameter.name == "folder":
            screen.folder = Path(value)
        elif parameter.name == "app_name":
            screen.folder = folder_of(value)
        elif parameter.name == "config_file":
            screen.config_file = Path(value)
        else:
            setattr(screen, str(parameter.name), True)

    def add(*names: str, **kind: Any) -> None:
        nonlocal command
        command = click.option(*names, expose_value=False, callback=note, **kind)(command)

    add("--json", "as_json", is_flag=True, help=tr("One JSON document."))
    add("-q", "--quiet", is_flag=True, hidden=True)
    add("-v", "--verbose", is_flag=True, hidden=True)
    add("--no-color", is_flag=True, hidden=True)
    add("--lang", "lang", hidden=True)
    add("-C", "folder", hidden=True)
    add("-A", "app_name", hidden=True, shell_complete=app_names)
    add("--config", "config_file", hidden=True)
    return command


def folder_of(name: str) -> Path:
    """The checkout of the app that `gitdeploy apps` lists as NAME. Raises `NotFound`, `ConfigError`."""
    from gitdeploy.several.listed import find_app

    return find_app(name)


def wait_option(command: F) -> F:
    return click.option(
        "--wait", type=click.FloatRange(0, 86400), default=0.0, metavar="SECONDS", help="Wait so long for the lock."
    )(command)


def yes_option(command: F) -> F:
    return click.option("-y", "--yes", is_flag=True, help="Don't ask.")(command)


def identity_option(command: F) -> F:
    return click.option(
        "--identity", metavar="FILE", help="age identity to decrypt the backup's data with. Default: backup.identity."
    )(command)


def identity_words(options: Options) -> tuple[str, ...]:
    """The same for a process that runs elsewhere, in another folder."""
    return () if options.identity is None else ("--identity", str(options.identity))


def _pinned_keys(_context: click.Context, _parameter: click.Parameter, keys: tuple[str, ...]) -> tuple[str, ...]:
    if keys:
        from gitdeploy.site.policy import require_pinned

        require_pinned(keys)
    return keys


def upgrade_options(command: F) -> F:
    """What decides about an upgrade, its plan and its preparation alike."""
    for option in (
        click.option("--allow-downgrade", is_flag=True, help="Install an older release than the live one."),
        click.option("--discard-local-changes", is_flag=True, help="Only the backup keeps local changes."),
        click.option("--merge-local-changes", is_flag=True, help="Merge local changes into the release."),
        click.option("--rebuild-venv", is_flag=True, help="Build the venv from nothing."),
        click.option("--no-restart", is_flag=True, help="Leave the service alone."),
        click.option("--no-hooks", is_flag=True, help="Run no hooks."),
        click.option("--no-rollback", is_flag=True, help="Leave a failed deployment as it is, for looking at it."),
        click.option("--accept-moved-tag", is_flag=True, help="Take a tag's new commit."),
        click.option(
            "--accept-config",
            multiple=True,
            metavar="KEY",
            callback=_pinned_keys,
            help="Let the release change this pinned setting; repeatable.",
        ),
        click.option("--skip-stops", is_flag=True, help="Go past releases that may not be skipped."),
        click.option(
            "--skip-contract", is_flag=True, help="Go on though the second half of the live release's migrations waits."
        ),
        click.option("--unhealthy", is_flag=True, help="Upgrade though the app is down or its health check fails now."),
        click.option(
            "--migrate",
            type=click.Choice(("auto", "first", "never")),
            default="auto",
            help="first: the second half of the migrations waits for `contract`. never: another host migrates.",
        ),
    ):
        command = option(command)
    return command


def to_options(values: dict[str, Any]) -> Options:
    """Raises `UsageError` for options that exclude each other."""
    if values.get("discard_local_changes") and values.get("merge_local_changes"):
        raise click.UsageError("--discard-local-changes and --merge-local-changes exclude each other.")
    policy: Any = None
    if values.get("discard_local_changes"):
        policy = "discard"
    elif values.get("merge_local_changes"):
        policy = "merge"
    return Options(
        allow_downgrade=bool(values.get("allow_downgrade")),
        local_changes=policy,
        rebuild_venv=bool(values.get("rebuild_venv")),
        restart=not values.get("no_restart"),
        hooks=not values.get("no_hooks"),
        roll_back=not values.get("no_rollback"),
        accept_moved_tag=bool(values.get("accept_moved_tag")),
        with_data=bool(values.get("with_data")),
        unhealthy=bool(values.get("unhealthy")),
        skip_stops=bool(values.get("skip_stops")),
        skip_contract=bool(values.get("skip_contract")),
        accept_config=tuple(values.get("accept_config") or ()),
        identity=Path(values["identity"]).absolute() if values.get("identity") else None,
        migrate=values.get("migrate") != "never",
        half=values.get("migrate") == "first",
    )
