"""`gitdeploy config`."""

from __future__ import annotations

import json

import click

from gitdeploy.cli.options import EXAMPLE, json_option, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.config import schema as make


@click.group("config", context_settings=EXAMPLE)
def command() -> None:
    """Show every setting and where it came from.

    `schema` describes deploy.yaml.

    \b
    Example:
      gitdeploy config show
      gitdeploy config schema > deploy.schema.json
    """


@command.command("show", context_settings=EXAMPLE)
@json_option
@pass_screen
def show(screen: Screen) -> None:
    """Every effective setting and where it came from, secrets masked."""
    rows = screen.app().site.config.effective()
    document = [{"key": key, "value": value, "from": origin} for key, value, origin in rows]
    table = screen.table(
        [(key, json.dumps(value, ensure_ascii=False), origin) for key, value, origin in rows], ("KEY", "VALUE", "FROM")
    )
    screen.result(document, table)


@command.command("schema", context_settings=EXAMPLE)
@json_option
@pass_screen
def schema(screen: Screen) -> None:
    """JSON Schema of deploy.yaml."""
    document = make()
    screen.result(document, json.dumps(document, indent=2))
