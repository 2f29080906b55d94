"""`gitdeploy config example` and `config edit`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import click

from gitdeploy.cli.options import EXAMPLE, global_options, pass_screen
from gitdeploy.cli.screen import Screen, is_terminal
from gitdeploy.config import FILE_NAME, Config
from gitdeploy.errors import ConfigError, GitDeployError, UsageError
from gitdeploy.messages import joined, tr
from gitdeploy.site import editing
from gitdeploy.site.caller import performer
from gitdeploy.site.site import find_root
from gitdeploy.text import shell_word


@click.command("example", context_settings=EXAMPLE)
@global_options
@pass_screen
def example(screen: Screen, /) -> None:
    """Print a deploy.yaml with every setting.

    Each with its default and what it is for.

    \b
    Example:
      gitdeploy config example | less
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "deploy.yaml.example", package.parent / "deploy.yaml.example")
    text = next((place.read_text(encoding="utf-8") for place in places if place.is_file()), None)
    if text is None:
        raise GitDeployError(
            tr("This installation of gitdeploy lacks deploy.yaml.example."),
            tr("Install it anew, from where `gitdeploy self` says it came."),
        )
    screen.result({"text": text}, text.rstrip("\n"))


@click.command("edit", context_settings=EXAMPLE)
@global_options
@pass_screen
def edit(screen: Screen, /) -> None:
    """Edit deploy.yaml; it is checked before it is saved.

    $VISUAL or $EDITOR gets a copy. What can't be read is not saved: you are shown the line and may go on. Nor is it saved over
    a change that somebody else made meanwhile, or while a deployment runs.

    \b
    Example:
      gitdeploy config edit
    """
    screen.become_owner()
    root = find_root(screen.folder)
    file = screen.config_file or root / FILE_NAME
    editing.require_owner(root)
    if not (is_terminal(sys.stdin) or os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise UsageError(  # an editor of the system's would wait for ever for keys that nobody presses
            tr("This is not a terminal, and neither VISUAL nor EDITOR names an editor that works without one."),
            tr("Run it in a terminal, or name one: EDITOR=/path/of/a/script gitdeploy config edit"),
        )
    with editing.only_editor(root):
        before = editing.content(file)
        folder = Path(tempfile.mkdtemp(prefix="gitdeploy-"))
        copy = folder / FILE_NAME
        copy.write_bytes(before)
        try:
            made = _edited(screen, copy, before, root)
            if made is not None:
                editing.save(root, file, before, copy.read_bytes(), who=performer())
        except (GitDeployError, click.ClickException) as error:
            if copy.read_bytes() == before:
                _remove(copy)
            elif isinstance(error, GitDeployError):
                error.details = (*error.details, tr("What you wrote is in {copy}", copy=shell_word(str(copy))))
            raise
        _remove(copy)
    if made is None:
        screen.result({"saved": False, "changes": []}, tr("Nothing was changed."))
        return
    changes = _changes(before, made, root)
    lines = [f"{key}: {old} -> {new}" for key, old, new in changes]
    if editing.is_tracked(root, file):
        lines.append(
            tr("deploy.yaml is tracked, so this is a local change: make it in the development repository as well.")
        )
    document = [{"key": key, "from": old, "to": new} for key, old, new in changes]
    screen.result({"saved": True, "changes": document}, joined("\n", [tr("Saved."), *lines]))


def _edited(screen: Screen, copy: Path, before: bytes, root: Path) -> Config | None:
    """What the editor made of COPY, once it can be read; None where it is as BEFORE. Raises `ConfigError`."""
    while True:
        click.edit(filename=str(copy))
        after = copy.read_bytes()
        if after == before:
            return None
        try:
            return editing.checked(after, root)
        except ConfigError as error:
            screen.error(error)
            try:
                again = screen.confirm(tr("Go on editing?"))
            except UsageError:
                again = False
            if not again:
                raise ConfigError(tr("What you wrote is not valid, so deploy.yaml was not saved.")) from error


def _changes(before: bytes, made: Config, root: Path) -> list[tuple[str, str, str]]:
    """(key, what it was, what it is) of each setting that is another now, secrets masked."""
    try:
        old = {key: value for key, value, _ in editing.checked(before, root).effective()}
    except ConfigError:
        return []
    shown = ((key, old.get(key), value) for key, value, _ in made.effective())
    dumped = ((key, *(json.dumps(each, ensure_ascii=False) for each in pair)) for key, *pair in shown)
    return [(key, then, now) for key, then, now in dumped if then != now]


def _remove(copy: Path) -> None:
    for left in (*copy.parent.iterdir(),):  # an editor's own backup too
        left.unlink()
    copy.parent.rmdir()
