"""The command line: parse, call App, render. No logic."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path
from typing import Any

import click

from gitdeploy import __version__
from gitdeploy.cli import language
from gitdeploy.cli.completing import app_names
from gitdeploy.cli.options import folder_of
from gitdeploy.cli.screen import Screen
from gitdeploy.errors import GitDeployError, Interrupted, UsageError
from gitdeploy.messages import tr
from gitdeploy.system import interruption
from gitdeploy.system.environment import refuse_gone_folder
from gitdeploy.text import nearest, redact

COMMANDS = (
    "init", "status", "check", "releases", "plan", "upgrade", "prepare", "rehearse", "backup", "backups", "restore", "rollback", "recover", "contract",
    "skip", "unskip", "lock", "unlock", "log", "prune", "hooks", "doctor", "config", "notify", "apps", "web", "watch", "fleet",
    "demo", "completion", "self",
)  # fmt: skip
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """Subcommands, each imported only when it is called: one file a command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"gitdeploy.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return language.translate(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if isinstance(ctx.obj, Screen):
            ctx.obj.words = list(args)
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := nearest(args[0], COMMANDS):
                raise click.UsageError(
                    tr("{message} Did you mean `{near}`?", message=error.message, near=near[0]), ctx
                ) from error
            raise


@click.command(cls=Commands, context_settings=SETTINGS)
@click.option("-C", "folder", metavar="DIR", help="As if started in DIR: the app's checkout.")
@click.option(
    "-A",
    "app_name",
    metavar="NAME",
    shell_complete=app_names,
    help="The app NAME of `gitdeploy apps`, instead of -C DIR.",
)
@click.option("--config", "config_file", metavar="FILE", help="deploy.yaml, where it isn't in the checkout.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors and results.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Everything that children print; the traceback of an unforeseen error."
)
@click.option("--no-color", is_flag=True, help="No colours (as with NO_COLOR).")
@click.option(
    "--lang", expose_value=False, callback=language.known_language, metavar="LANG",
    help="Speak en or zh (else as GITDEPLOY_LANG or the locale says).",
)  # fmt: skip
@click.version_option(__version__, "-V", "--version", message="gitdeploy %(version)s")
@click.pass_context
def cli(
    context: click.Context,
    folder: str | None,
    app_name: str | None,
    config_file: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    no_color: bool,
) -> None:
    """Upgrade a Python web app that lives in a git checkout, and roll back automatically when anything fails.

    \b
    Example:
      cd /srv/my-app
      gitdeploy check
      gitdeploy upgrade v1.2.9.1
      gitdeploy rollback
    """
    screen: Screen = context.obj
    if app_name is not None:
        if folder is not None:
            raise click.UsageError("-A and -C exclude each other.")
        screen.folder = folder_of(app_name)
    else:
        if not os.path.isabs(folder or "."):
            refuse_gone_folder()
        screen.folder = Path(folder or ".")
    screen.config_file = Path(config_file) if config_file else None
    screen.as_json = as_json or screen.as_json
    screen.quiet, screen.verbose, screen.no_color = quiet, verbose, no_color


def run(arguments: list[str]) -> int:
    """Parse, call, render; every expected error ends here with its exit code."""
    language.choose(arguments)
    language.translate(cli)
    screen = Screen(as_json="--json" in arguments, verbose="-v" in arguments or "--verbose" in arguments)
    try:
        cli.main(args=arguments, prog_name="gitdeploy", standalone_mode=False, obj=screen)
        code = screen.exit_code
    except GitDeployError as error:
        screen.error(error)
        code = error.exit_code
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        if screen.as_json:
            screen.error(
                UsageError(
                    tr("No command is named."),
                    tr("See: {command_path} --help", command_path=error.ctx.command_path) if error.ctx else "",
                )
            )
        else:
            screen.write(error.format_message() + "\n")
        code = 2
    except (click.Abort, KeyboardInterrupt):
        number = interruption.received() or signal.SIGINT
        if screen.as_json:
            screen.error(Interrupted(number, tr("Interrupted; nothing was changed.")))
        else:
            screen.write_error(tr("Interrupted; nothing was changed.\n"))
        code = 128 + number
    except click.ClickException as error:
        if screen.as_json:
            screen.error(UsageError(language.problem(error)))
        else:
            screen.write_error(tr("Error: {problem}\n", problem=language.problem(error)))
            if isinstance(error, click.UsageError) and error.ctx is not None:
                screen.write_error(tr("See: {command_path} --help\n", command_path=error.ctx.command_path))
        code = 2
    except OSError as error:
        code = _refused(screen, error)
    except Exception as error:  # noqa: BLE001  # the edge: no traceback reaches a user unasked
        code = _unexpected(screen, error)
    screen.end_run(code)
    return code


def _traceback() -> str:
    import traceback

    return redact(traceback.format_exc())


def _refused(screen: Screen, error: OSError) -> int:
    """A file or folder that the system refuses: what, why, and where to look."""
    from gitdeploy.system.refusal import system_refusal

    if (told := system_refusal(error)) is None:
        return _unexpected(screen, error)
    screen.error(told)
    if screen.verbose:
        screen.write_error(_traceback())
    return told.exit_code


def _unexpected(screen: Screen, error: Exception) -> int:
    """Something that gitdeploy did not foresee: one line, and the rest with -v."""
    problem = GitDeployError(
        tr(
            "gitdeploy met an error that it did not foresee: {kind}: {error}",
            kind=type(error).__name__,
            error=redact(str(error)),
        ),
        tr("Run the command again with -v for the traceback, and report it. `gitdeploy status` shows what is live."),
    )
    screen.error(problem)
    if screen.verbose:
        screen.write_error(_traceback())
    return 1
