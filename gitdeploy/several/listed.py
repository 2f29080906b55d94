"""The list of the apps on this server: /etc/gitdeploy/apps.yaml, or the file that GITDEPLOY_APPS names.

Whoever may write it decides for whom root works, so a list that others can change is refused. Nothing of an app is read
here: its folder may be another user's.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitdeploy.config.apps_list import AppsList, Listed, not_a_name, parse_list
from gitdeploy.config.document import LARGEST, Table
from gitdeploy.config.parsing import read_document
from gitdeploy.config.reading import read_small_file
from gitdeploy.errors import ConfigError, DeploymentFailed, UsageError
from gitdeploy.messages import tr
from gitdeploy.site.site import find_root
from gitdeploy.system.durable import write_durably
from gitdeploy.system.trusted import Weak, group_name, weak_parts
from gitdeploy.text import path_text, shell_word

VARIABLE = "GITDEPLOY_APPS"
USUAL = Path("/etc/gitdeploy/apps.yaml")
_PLAIN = re.compile(r"/[A-Za-z0-9_./+-]*")
_HEADER = """\
# The apps on this server: `gitdeploy apps` lists them, `gitdeploy -A NAME ...` works in one of them,
# `gitdeploy web --all` serves one page for all (its settings are below `web`, as in a deploy.yaml).
"""


def list_file() -> Path:
    """Where the list is."""
    return Path(os.path.abspath(os.environ.get(VARIABLE) or USUAL))


def read_list(file: Path | None = None) -> AppsList:
    """The list in FILE (else the usual one); empty where there is none. Raises `ConfigError` with every problem of it, and
    for a file that others than root and this process's user can change."""
    file = file or list_file()
    _refuse_changeable(file)
    raw = read_small_file(file, LARGEST)
    return parse_list(raw, file) if raw is not None else AppsList(file)


def find_app(name: str) -> Path:
    """The folder of the app called NAME in the list. Raises `NotFound`, `ConfigError`."""
    return read_list().find(name).folder


def add(folder: Path, name: str | None = None) -> tuple[Listed, bool]:
    """List the app whose checkout FOLDER is in as NAME, else by its folder's name; False beside it where it was listed.
    Raises `UsageError` for a name that is taken or can't be one, `ConfigError`, `DeploymentFailed`."""
    root = find_root(folder)
    made = Listed(name or _name_of(root), root)
    if (problem := not_a_name(made.name)) is not None:
        raise UsageError(problem, tr("Choose one: gitdeploy apps add DIR --name NAME"))
    with _only_writer() as (listed, text):
        before = next((each for each in listed.apps if each.folder == root or each.name == made.name), None)
        if before is not None:
            if before.folder == root and name in (None, before.name):
                return before, False
            taken = tr(
                "{file} lists {folder} as `{name}`.",
                file=path_text(str(listed.file)),
                folder=path_text(str(before.folder)),
                name=before.name,
            )
            raise UsageError(
                taken,
                tr("Choose another name: gitdeploy apps add DIR --name NAME")
                if before.folder != root
                else tr("To rename it, remove it first: gitdeploy apps remove {name}", name=before.name),
            )
        _write(listed, _with_entry(text, listed, made), (*listed.apps, made))
    return made, True


def remove(name: str) -> Listed:
    """Take the app called NAME off the list; nothing of the app is touched. Raises `NotFound`, `ConfigError`."""
    with _only_writer() as (listed, text):
        gone = listed.find(name)
        lines = text.splitlines(keepends=True)
        first, last = _lines_of(text, name)
        _write(listed, "".join(lines[: first - 1] + lines[last:]), tuple(each for each in listed.apps if each != gone))
    return gone


def _refuse_changeable(file: Path) -> None:
    """Only root, and whoever this is, may be able to change FILE and the folders on the way to it."""
    me, group = os.geteuid(), os.getegid()

    def ours(found: Weak) -> bool:
        if found.uid not in (0, me):
            return False
        return not found.mode & 0o002 and not (found.mode & 0o020 and (me == 0 or found.gid != group))

    bad = next((found for found in weak_parts(file) if not ours(found)), None)
    if bad is None:
        return
    place = shell_word(bad.path)
    raise ConfigError(
        tr(
            "The list of apps {file} is not read: {who} can change {found} (mode {mode}).",
            file=path_text(str(file)),
            who=bad.who if bad.uid != me or me == 0 else _own_writers(bad),
            found=path_text(bad.path),
            mode=f"{bad.mode:04o}",
        ),
        tr("Look at what is there, then: chown root {place}", place=place)
        if bad.uid not in (0, me)
        else tr("Look at what is there, then: chmod go-w {place}", place=place),
    )


def _own_writers(bad: Weak) -> str:
    """Who else can change what is this user's own."""
    return "everybody" if bad.mode & 0o002 else tr("the group {group_name}", group_name=group_name(bad.gid))


# ---- writing ----


@contextmanager
def _only_writer() -> Iterator[tuple[AppsList, str]]:
    """The list and its text, while nobody else writes it."""
    file = list_file()
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for a moment only
        listed = read_list(file)
        raw = read_small_file(file, LARGEST)
        yield listed, (raw or b"").decode("utf-8-sig")
    finally:
        os.close(descriptor)


def _write(listed: AppsList, text: str, wanted: tuple[Listed, ...]) -> None:
    """TEXT in the list's place, if it says WANTED and else what it said before."""
    try:
        after: AppsList | None = parse_list(text.encode(), listed.file)
    except ConfigError:
        after = None
    if after != AppsList(listed.file, wanted, listed.web):
        raise ConfigError(
            tr("{file} is written in a way that this command can't change.", file=path_text(str(listed.file))),
            tr("Change it in an editor: below `apps`, one line `name: /folder` for each app."),
        )
    try:
        write_durably(listed.file, text.encode(), 0o644)
        os.chmod(listed.file, 0o644)  # whatever the umask: each user's `gitdeploy apps` reads it
    except OSError as error:
        raise _unwritable(listed.file, error) from error


def _unwritable(file: Path, error: OSError) -> DeploymentFailed:
    return DeploymentFailed(
        tr("{file} can't be written: {strerror}.", file=path_text(str(file)), strerror=error.strerror),
        tr('Do it as root; or keep a list of your own: export {variable}="$HOME/apps.yaml"', variable=VARIABLE),
    )


def _with_entry(text: str, listed: AppsList, made: Listed) -> str:
    """TEXT with a line for MADE, everything else in it as it was."""
    folder = str(made.folder)
    if not folder.isprintable():
        raise UsageError(tr("A folder with this name can't be listed: {folder}", folder=path_text(folder)))
    quoted = folder if _PLAIN.fullmatch(folder) else "'" + folder.replace("'", "''") + "'"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if listed.apps:
        _, at = _lines_of(text, listed.apps[-1].name)
        before = lines[_lines_of(text, listed.apps[-1].name)[0] - 1]
        indent = before[: len(before) - len(before.lstrip())]
    else:
        at = next((number for number, line in enumerate(lines, 1) if re.match(r"apps *:", line)), 0)
        indent = "  "
        if not at:
            lines = [*(lines or [_HEADER]), "apps:\n"]
            at = len(lines)
    return "".join([*lines[:at], f"{indent}{made.name}: {quoted}\n", *lines[at:]])


def _lines_of(text: str, name: str) -> tuple[int, int]:
    """The first and last line, from 1, of the entry NAME."""
    _, apps = read_document(text.encode()).entries["apps"]
    assert isinstance(apps, Table)
    line, value = apps.entries[name]
    return line, value.line


def _name_of(root: Path) -> str:
    """A name made of the folder's: `otrs.web` becomes `otrs-web`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", root.name).strip("-_")[:40] or "app"
