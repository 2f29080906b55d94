"""`gitdeploy backups`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import click

from gitdeploy.backups import encrypted
from gitdeploy.backups.store import Backup
from gitdeploy.cli.completing import backup_ids
from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen, yes_option
from gitdeploy.cli.screen import Screen, is_terminal, row
from gitdeploy.deployment.plan.data_release import data_name, own_data
from gitdeploy.errors import Declined, DeploymentFailed, UsageError
from gitdeploy.messages import joined, render, tr
from gitdeploy.site.status import BackupRow
from gitdeploy.text import clean, count, listing, moment_text, padded, path_text, shell_word, size_text

_HOLDS = {"code": tr("code"), "venv": tr("venv"), "data": tr("data")}


def _held(backup: Backup) -> list[str]:
    """What it holds; whose its data are, where they are another release's than its code."""
    return [
        tr("data of {data_name}", data_name=data_name(backup))
        if word == "data" and not own_data(backup)
        else _HOLDS.get(word, word)
        for word in backup.holds
    ]


def _size(held: BackupRow) -> str:
    if held.whole <= held.size:
        return size_text(held.size)
    shared = size_text(held.whole - held.size)
    return tr("{size}, and {shared} that other backups hold too", size=size_text(held.size), shared=shared)


@click.group("backups", context_settings=EXAMPLE, invoke_without_command=True)
@global_options
@pass_screen
@click.pass_context
def command(context: click.Context, /, screen: Screen) -> None:
    """List the backups, newest first. The size is what deleting one would free.

    \b
    Example:
      gitdeploy backups
      gitdeploy backups diff latest
      gitdeploy backups export latest /mnt/elsewhere/shop.backup
      gitdeploy restore 20261123-101500-v1.2.9
    """
    if context.invoked_subcommand is not None:
        return
    rows = screen.app().backups()
    if not rows:
        screen.result([], tr("There is no backup yet. Every upgrade makes one; `gitdeploy backup` makes one now."))
        return
    table = screen.table(
        [
            (
                held.backup.id,
                held.backup.version or held.backup.commit[:8],
                datetime.fromisoformat(held.backup.created_at).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                size_text(held.size),
                joined(", ", [*_held(held.backup), *([tr("encrypted")] if held.encrypted else [])]),
                clean(held.backup.label or held.backup.reason, limit=60),
            )
            for held in rows
        ],
        ("ID", "VERSION", "CREATED", "SIZE", "HOLDS", "LABEL"),
    )
    screen.result([held.as_dict() for held in rows], table)


@command.command("show", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@global_options
@pass_screen
def show(screen: Screen, /, ref: str) -> None:
    """Show one backup: what it holds, why and when it was made.

    \b
    Example:
      gitdeploy backups show latest
    """
    app = screen.app()
    wanted = app.find_backup(ref)
    folder = app.site.state.backups / wanted.id
    held = next(each for each in app.backups() if each.backup.id == wanted.id)
    document = {
        **held.as_dict(),
        "kept": list(wanted.kept),
        "included": list(wanted.included),
        "not_copied": list(wanted.not_copied),
        "databases": [{"name": each["name"], "size": each["size"]} for each in wanted.dumps],
        "folder": str(folder),
        "encrypted_for": encrypted.recipients(folder),
    }
    databases = [f"{each['name']} ({size_text(each['size'])})" for each in wanted.dumps]
    facts = {
        tr("backup"): wanted.id,
        tr("release"): tr(
            "{release} ({commit})", release=wanted.tag or wanted.version or tr("no version"), commit=wanted.commit[:12]
        ),
        tr("made"): tr("{when}, {why}", when=moment_text(wanted.created_at), why=clean(wanted.reason)),
        tr("label"): clean(wanted.label),
        tr("size"): _size(held),
        tr("kept files"): listing([path_text(path) for path in wanted.kept], 20),
        tr("included"): listing([path_text(path) for path in wanted.included], 20),
        tr("not copied"): listing([path_text(path) for path in wanted.not_copied], 20),
        tr("databases"): listing(databases, 20),
        tr("folder"): path_text(str(folder)),
        tr("encrypted"): listing([clean(each, limit=80) for each in encrypted.recipients(folder)], 20),
    }
    lines = [row(word, value, 12) for word, value in facts.items() if value]
    lines += [row(tr("look inside"), way, 12) for way in encrypted.ways_in(folder)]
    screen.result(document, joined("\n", lines))


_OTHERWISE = {"new": tr("new"), "gone": tr("gone"), "changed": tr("changed")}


@command.command("diff", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@global_options
@pass_screen
def diff(screen: Screen, /, ref: str) -> None:
    """What is otherwise now than in a backup: files, kept and included paths.

    \b
    Example:
      gitdeploy backups diff latest
      git diff refs/gitdeploy/backups/20261123-101500-v1.2.9    # line by line
    """
    found = screen.app().backup_difference(ref)
    lines = [f"{padded(render(_OTHERWISE.get(what, what)), 8)} {path}" for path, what in sorted(found.code.items())]
    for path, (files, size) in found.data.items():
        lines.append(
            tr("changed  {path}: {count}, {size} now", path=path, count=count(files, "file"), size=size_text(size))
        )
    for name, at in found.databases.items():
        lines.append(tr("data     {name}: dumped at {when}", name=path_text(name), when=moment_text(at)))
    screen.result(found.as_dict(), joined("\n", lines) if lines else tr("Nothing is otherwise than in the backup."))


@command.command("label", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@click.argument("text")
@global_options
@pass_screen
def label(screen: Screen, /, ref: str, text: str) -> None:
    """Give a backup a label; it is then never pruned. An empty one takes it away.

    \b
    Example:
      gitdeploy backups label latest "before the audit"
      gitdeploy backups label latest ""
    """
    made = screen.app().label_backup(ref, text, caller=screen.caller(tr("backups label {ref}", ref=ref)))
    said = tr("{backup} is labelled and never pruned.", backup=made.id)
    screen.result({"id": made.id, "label": made.label}, said if made.label else tr("{id} has no label.", id=made.id))


@command.command("delete", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@yes_option
@global_options
@pass_screen
def delete(screen: Screen, /, ref: str, yes: bool) -> None:
    """Delete a backup for good. The running app is not touched.

    \b
    Example:
      gitdeploy backups delete 20261123-101500-v1.2.9
    """
    app = screen.app()
    wanted = app.find_backup(ref)
    if not yes and not screen.confirm(tr("Delete backup {backup} for good?", backup=wanted.id)):
        raise Declined(tr("Nothing was deleted."))
    made = app.delete_backup(wanted.id, caller=screen.caller(tr("backups delete {backup}", backup=wanted.id)))
    screen.result({"id": made.id, "deleted": True}, tr("{backup} is deleted.", backup=made.id))


@command.command("export", context_settings=EXAMPLE)
@click.argument("ref", shell_complete=backup_ids)
@click.argument("file", type=click.Path(dir_okay=False))
@global_options
@pass_screen
def export(screen: Screen, /, ref: str, file: str) -> None:
    """Write a backup to FILE, or to standard output (-), to be kept elsewhere.

    Code and history, kept files with their secrets, dumps: who can read FILE can read those. The venv is not in it, only
    the names of its packages; `restore` builds it from the requirements.

    \b
    Example:
      gitdeploy backups export latest /mnt/elsewhere/shop.backup
      gitdeploy backups export latest - | ssh other 'cat > shop.backup'
    """
    app = screen.app()
    if file == "-":
        if is_terminal(sys.stdout):
            raise UsageError(tr("A backup is not text for a terminal."), tr("Name a file, or pipe it somewhere."))
        with screen.follows(tr("export")):
            app.export_backup(ref, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    place = Path(file)
    if place.exists():
        raise UsageError(tr("{file} is there already.", file=path_text(file)), tr("Name a new file."))
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError as error:
        raise DeploymentFailed(
            tr("{file} can't be written: {why}.", file=path_text(file), why=error.strerror),
            tr("Make its folder: mkdir -p {folder}", folder=shell_word(str(place.parent))),
        ) from error
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        with os.fdopen(descriptor, "wb") as out, screen.follows(tr("export")):
            made = app.export_backup(ref, out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(beside, place)
    except FileNotFoundError as error:  # something of the backup, which was deleted meanwhile
        why = tr(
            "{where}{strerror}.",
            where=tr("{filename}: ", filename=path_text(str(error.filename))),
            strerror=error.strerror,
        )
        raise DeploymentFailed(why, tr("`gitdeploy backups` lists them.")) from error
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        beside.unlink(missing_ok=True)
    size = place.stat().st_size
    way = f"gitdeploy backups import {shell_word(place.name)}"
    said = tr("{backup} is in {file} ({size}). On another server, in the app's checkout: {way}", backup=made.id,
              file=path_text(file), size=size_text(size), way=way)  # fmt: skip
    screen.result({"id": made.id, "file": str(place.absolute()), "size": size}, said)


def _unwritable(file: str, error: OSError) -> DeploymentFailed:
    return DeploymentFailed(
        tr("{file} can't be written: {why}.", file=path_text(file), why=error.strerror), tr("Name another place.")
    )


@command.command("import", context_settings=EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--other-app", is_flag=True, help="Also a backup of an app of another name.")
@global_options
@pass_screen
def import_(screen: Screen, /, file: str, other_app: bool) -> None:
    """Take the backup in FILE among those of this checkout; nothing live changes.

    The file is checked whole: hashes, git's objects, paths. Whoever made it decides what `restore` brings back, so import
    only what you exported.

    \b
    Example:
      gitdeploy backups import shop.backup
      gitdeploy restore 20261123-101500-v1.2.9 --with-data
    """
    caller = screen.caller(tr("backups import"))
    with (
        screen.follows(tr("import")),
        nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source,
    ):
        made = screen.app().import_backup(source, other_app=other_app, caller=caller)
    said = tr("{backup} is here.  Bring it back: gitdeploy restore {backup} --with-data", backup=made.id)
    screen.result({"id": made.id, "label": made.label, "holds": made.holds}, said)
