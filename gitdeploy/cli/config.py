"""`gitdeploy config`."""

from __future__ import annotations

import json

import click

from gitdeploy.cli.config_file import edit, example
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.config import schema as make
from gitdeploy.config.pins import WHO_DECIDES
from gitdeploy.messages import joined, tr


@click.group("config", context_settings=EXAMPLE)
def command() -> None:
    """Show every setting and where it came from.

    `schema` describes deploy.yaml; `accept` lets a pinned setting be another.

    \b
    Example:
      gitdeploy config show
      gitdeploy config edit
      gitdeploy config example | less
      gitdeploy config schema > deploy.schema.json
    """


command.add_command(example)
command.add_command(edit)


@command.command("show", context_settings=EXAMPLE)
@global_options
@pass_screen
def show(screen: Screen) -> None:
    """Every effective setting and where it came from, secrets masked."""
    site = screen.app().site
    site.require_reader()  # of what is pinned
    config = site.config
    rows = config.effective()
    pinned = [key for key, who in WHO_DECIDES.items() if who != "release" and config.pins is not None]
    document = [{"key": key, "value": value, "from": origin, "pinned": key in pinned} for key, value, origin in rows]
    table = screen.table(
        [(key, json.dumps(value, ensure_ascii=False), origin) for key, value, origin in rows], ("KEY", "VALUE", "FROM")
    )
    screen.result(document, table)


@command.command("schema", context_settings=EXAMPLE)
@global_options
@pass_screen
def schema(screen: Screen) -> None:
    """JSON Schema of deploy.yaml."""
    document = make()
    screen.result(document, json.dumps(document, indent=2))


@command.command("accept", context_settings=EXAMPLE)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--release", metavar="TAG", help="Agree to what this release changes; pinned when it goes live.")
@global_options
@pass_screen
def accept(screen: Screen, keys: tuple[str, ...], release: str | None) -> None:
    """Pin what deploy.yaml says of KEY now.

    That is how a pinned setting changes where a release's deploy.yaml says another, and how signatures stop being wanted.

    \b
    Example:
      gitdeploy config accept source.repo source.remote
      gitdeploy config accept source.repo --release v2.0.0
    """
    changes = screen.app().accept_config(keys, release)
    document = [{"key": each.key, "from": each.pinned, "to": each.said} for each in changes]
    when = tr(", once {release} is live", release=release) if release else ""
    lines = [
        tr("{key}: {said} instead of {pinned}{when}", key=each.key, said=each.said, pinned=each.pinned, when=when)
        for each in changes
    ]
    screen.result({"accepted": document}, joined("\n", lines) or "Pinned.")
