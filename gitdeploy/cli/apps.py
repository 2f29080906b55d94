"""`gitdeploy apps`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitdeploy.cli.completing import app_names
from gitdeploy.cli.marks import action_title, status_title
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen
from gitdeploy.messages import joined, tr
from gitdeploy.several import listed
from gitdeploy.system.ourselves import refuse_changeable
from gitdeploy.text import clean, moment_text, path_text, shell_word
from gitdeploy.versions import CodeState

if TYPE_CHECKING:
    from gitdeploy.several.summary import Row


@click.group("apps", context_settings=EXAMPLE, invoke_without_command=True)
@global_options
@pass_screen
@click.pass_context
def command(context: click.Context, /, screen: Screen) -> None:
    """The apps on this server, each with its state.

    Its version, an update that is available, its last deployment and its health. The list is /etc/gitdeploy/apps.yaml, or the
    file that GITDEPLOY_APPS names. Root looks at each app as its owner; an app of somebody else's shows its commit only.

    \b
    Example:
      gitdeploy apps
      gitdeploy apps add /srv/shop
      gitdeploy -A shop upgrade v1.2.9.1
    """
    if context.invoked_subcommand is not None:
        return
    found = listed.read_list()
    if not found.apps:
        file = path_text(str(found.file))
        screen.result([], tr("{file} lists no app yet.  Add one: gitdeploy apps add DIR", file=file))
        return
    if os.geteuid() == 0:
        refuse_changeable(Path("/"))
    from gitdeploy.several.looking import look_at_each

    rows = look_at_each(found.apps)
    table = screen.table([_cells(row) for row in rows], ("NAME", "VERSION", "UPDATE", "LAST DEPLOYMENT", "HEALTH"))
    notes = [line for row in rows for line in _notes(row)]
    screen.result([row.as_dict() for row in rows], joined("\n", [table, *notes]))


def _cells(row: Row) -> tuple[str, ...]:
    live = CodeState(row.version, row.tag, row.commit or "")
    return (row.name, clean(live.name) or "-", _update(row), _last(row), _health(row))


def _update(row: Row) -> str:
    if row.update_available is None:
        return "-" if row.error or row.limited else tr("never checked")
    return clean(str(row.latest_version)) if row.update_available else tr("none")


def _last(row: Row) -> str:
    if row.running:
        return tr("running now")
    if row.interrupted:
        return tr("interrupted")
    last = row.last_deployment
    if last is None:
        return "-"
    return tr(
        "{action}: {status}, {when}",
        action=action_title(last.action),
        status=status_title(last.status),
        when=moment_text(last.ended_at or last.started_at),
    )


def _health(row: Row) -> str:
    return {
        "healthy": tr("healthy"),
        "unhealthy": tr("unhealthy"),
        "unconfigured": tr("no check configured"),
    }.get(row.health.state, tr("not known"))


def _notes(row: Row) -> list[str]:
    """What the table has no room for: why something is as it is."""
    found = [row.health.sentence]
    if row.error:
        found = [row.error.sentence, row.error.way]
    elif row.limited:
        found = [row.limited.sentence]
    if row.paused:
        found.append(tr("Deployments are paused: gitdeploy -A {name} status", name=row.name))
    if row.interrupted:
        found.append(tr("A deployment was interrupted: gitdeploy -A {name} recover", name=row.name))
    return [tr("{name}: {why}", name=row.name, why=why) for why in found if why]


@command.command("add", context_settings=EXAMPLE)
@click.argument("checkout", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Its name in the list, instead of its folder's.")
@global_options
@pass_screen
def add(screen: Screen, /, checkout: Path, name: str | None) -> None:
    """List the app whose checkout DIR is.

    Its name is the folder's, unless you choose one. Nothing of the app is read or changed.

    \b
    Example:
      sudo gitdeploy apps add /srv/shop
      sudo gitdeploy apps add /srv/shop-staging --name staging
    """
    made, new = listed.add(screen.folder / checkout, name)
    shown = shell_word(str(made.folder))
    text = (
        tr("{folder} is listed as {name}.  Its state: gitdeploy -A {name} status", folder=shown, name=made.name)
        if new
        else tr("{folder} is listed as {name} already.", folder=shown, name=made.name)
    )
    screen.result({"name": made.name, "path": str(made.folder), "added": new}, text)


@command.command("remove", context_settings=EXAMPLE)
@click.argument("name", shell_complete=app_names)
@global_options
@pass_screen
def remove(screen: Screen, /, name: str) -> None:
    """Take an app off the list. The app itself stays as it is.

    \b
    Example:
      sudo gitdeploy apps remove staging
    """
    gone = listed.remove(name)
    screen.result(
        {"name": gone.name, "path": str(gone.folder), "removed": True},
        tr("{name} is no longer listed; {folder} is as it was.", name=gone.name, folder=shell_word(str(gone.folder))),
    )
