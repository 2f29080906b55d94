"""What a rehearsal makes, and how it goes away: a folder, scratch databases, processes.

It is put down in the database before it is made, and taken from there once it is gone; so whatever a killed rehearsal left, the
next command finds and removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct, field, json, to_builtins

from gitdeploy.databases import open_databases
from gitdeploy.databases.scratch import Scratch, scratch_of
from gitdeploy.deployment.record.events import Line, Listener
from gitdeploy.deployment.record.journal import left_running
from gitdeploy.errors import GitDeployError
from gitdeploy.messages import tr
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.site import Site
from gitdeploy.state import Database
from gitdeploy.system import faultpoints, interruption, markers
from gitdeploy.system.proc import Identity
from gitdeploy.text import clean, listing

_OPEN = "rehearsing"  # in the database: deployment -> what it has made
COPY = "app"
Key = tuple[str, str]  # where a scratch database is, and its name there


class Ground(Struct):
    """The place of one rehearsal: `folder` holds the copy, dumps and logs; `scratches` are the databases that were begun,
    `unreached` those of which it can't be told now how they are reached."""

    site: Site
    database: Database
    deployment: int
    scratches: list[Scratch] = field(default_factory=list)
    unreached: list[Key] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.site.state.rehearsals / str(self.deployment)

    @property
    def copy(self) -> Path:
        """The copy of the checkout."""
        return self.folder / COPY

    @property
    def dumps(self) -> Path:
        return self.folder / "dumps"

    def begin(self) -> None:
        """Make the folder. Raises OSError."""
        self._put_down()
        self.site.state.rehearsals.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        self.dumps.mkdir(mode=0o700)
        faultpoints.point("rehearsal begun")

    def will_make(self, scratch: Scratch) -> None:
        """SCRATCH is about to be made: from now on it is removed with the rest."""
        self.scratches.append(scratch)
        self._put_down()
        faultpoints.point("scratch put down")

    def remove(self) -> list[str]:
        """All of it goes; sentences about what could not be removed, which the next command tries again."""
        with interruption.shield():
            left, said = [], []
            for scratch in self.scratches:
                try:
                    scratch.drop()
                    faultpoints.point("scratch dropped")
                except (GitDeployError, OSError) as error:
                    left.append(scratch)
                    said.append(_still_there(scratch.bare, error))
            self.scratches = left
            _remove_folder(self.folder)
            faultpoints.point("rehearsal's folder removed")
            if left or self.unreached:
                self._put_down(owned=False)
            else:
                _change(self.database, lambda found: found.pop(str(self.deployment), None))
            return said

    def _put_down(self, *, owned: bool = True) -> None:
        owner = to_builtins(Identity.own()) if owned else None
        entry = {"owner": owner, "scratch": [*map(_key, self.scratches), *self.unreached]}
        _change(self.database, lambda found: found.update({str(self.deployment): entry}))


@contextmanager
def held(ground: Ground, say: Callable[[str], object]) -> Iterator[Ground]:
    """GROUND, made, while the block runs; what of it could not be removed is told to SAY."""
    try:
        ground.begin()
        yield ground
    finally:
        for sentence in ground.remove():
            say(sentence)


def sweep(site: Site, database: Database, listener: Listener) -> None:
    """Remove what killed rehearsals left. What can't be removed now stays put down, and is said."""
    text = database.meta_get(_OPEN)
    found: dict[str, dict[str, Any]] = json.decode(text) if text else {}
    for name, entry in found.items():
        if entry["owner"] is not None and Identity(**entry["owner"]).alive():
            continue  # it is still being looked at (rehearse --keep)
        markers.end_marked(*left_running(database.records(int(name))))
        ground = Ground(site, database, int(name))
        said = _find(ground, [(where, bare) for where, bare in entry["scratch"]])
        for sentence in [*said, *ground.remove()]:
            listener(Line(sentence, "warning"))
    with suppress(OSError):
        for folder in os.listdir(site.state.rehearsals):
            if folder not in found:
                _remove_folder(site.state.rehearsals / folder)


def _key(scratch: Scratch) -> Key:
    """By which SCRATCH is put down: two servers may have one of the same name."""
    database = scratch.database
    return ("sqlite" if database.kind == "sqlite" else database.identity, scratch.bare)


def _find(ground: Ground, keys: list[Key]) -> list[str]:
    """GROUND has the scratch databases KEYS as they can be reached now; sentences about the others."""
    if not keys:
        return []
    site, known = ground.site, dict[Key, Scratch]()
    failed: GitDeployError | OSError | None = None
    for entry in site.config.backup.databases:
        try:
            for live in open_databases([entry], site.root, app_environment(site)):
                scratch = scratch_of(live, ending(ground.deployment), ground.folder, site.root, ground.copy)
                known[_key(scratch)] = scratch
        except (GitDeployError, OSError) as error:
            failed = error
    ground.scratches = [known[key] for key in keys if key in known]
    unknown = [key for key in keys if key not in known and key[0] != "sqlite"]  # a file goes with the folder
    if unknown and failed is not None:
        ground.unreached = unknown
        return [_still_there(name, failed) for _, name in unknown]
    if not unknown:
        return []
    return [
        tr(
            "A rehearsal was killed, and backup.databases no longer leads to what it left: {unknown}. Drop it by hand.",
            unknown=listing([clean(name) for _, name in unknown], 5),
        )
    ]


def ending(deployment: int) -> str:
    """Of the names of a rehearsal's scratch databases."""
    return f"r{deployment}"


def _still_there(name: str, error: GitDeployError | OSError) -> str:
    message = error.message if isinstance(error, GitDeployError) else f"{error.strerror or error}."
    return tr(
        "The scratch database {name} could not be removed: {message} The next command tries again.",
        name=clean(name),
        message=message,
    )


def _change(database: Database, change: Callable[[dict[str, Any]], object]) -> None:
    def changed(text: str | None) -> str | None:
        found: dict[str, Any] = json.decode(text) if text else {}
        change(found)
        return json.encode(found).decode() if found else None

    database.meta_change(_OPEN, changed)


def _remove_folder(folder: Path) -> None:
    """Also what is in folders that nobody may write to."""
    for base, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(base, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
