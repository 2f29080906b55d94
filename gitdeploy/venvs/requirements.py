"""What a release wants installed: its requirements files, everything that they include, and a key for reuse."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from gitdeploy.messages import tr
from gitdeploy.venvs.described import WHOLE_LOCKS
from gitdeploy.venvs.interpreters import Wanted
from gitdeploy.venvs.itself import Own, own_installs
from gitdeploy.venvs.live import LiveVenv, interpreter_identity, packages
from gitdeploy.venvs.origins import Origin, not_ours
from gitdeploy.venvs.reading import INDEX_OPTIONS, ITSELF, UV_INDEX_OPTIONS, Scan, TreeReader, split_option
from gitdeploy.venvs.settings import VenvConfig, read_settings

DEFAULT_FILES = ("requirements.txt",)


class Requirements(Struct, frozen=True):
    """What the release wants.

    files: every file reached by -r and -c, path from the root to bytes; roots and constraints: the ones to name to the
    installer. key: equal keys mean an equal venv. pins: name to version of the `==` lines. names: package to whether its
    line has no marker. needs_tree: the release's own files are installed (`-e .`, `./lib`, `wheels/x.whl`).
    sources: the files that say what is installed, as the configuration names them or as they were found. itself: folders of
    the release that are installed as packages though no file names them; extras: with which ones. alone: a root that is installed automatically and
    without what it depends on, since all else has hashes. locked: the roots are locks, which name every package that they
    need, so that no installer has to look for more. index_options: lines that say where packages come from. hashed: a line has a hash. pip_only: why uv can't do it.
    unpinned: package to what its line asks of the version (`>=2`; empty: nothing) where no `==` line fixes it.
    variables: `${NAME}` in the files. origins: addresses of packages that aren't at an index of this server's. problems: sentences; with any, there is nothing to be installed.
    """

    files: Mapping[str, bytes]
    key: str
    pins: Mapping[str, str]
    needs_tree: bool
    index_options: tuple[str, ...]
    hashed: bool
    problems: tuple[str, ...]
    roots: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    names: Mapping[str, bool] = field(default_factory=dict)
    pip_only: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    unpinned: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    itself: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    extras: tuple[str, ...] = ()
    later: str = ""
    locked: bool = False

    def key_with(self, interpreter: str) -> str:
        """The key of a venv of these requirements with INTERPRETER (an `interpreter_identity`), where that was not there
        yet when they were read."""
        if not self.later:
            return self.key
        parts = json.loads(self.later)
        return _hashed(parts | {"python": f"{parts['python']} {interpreter}"})

    @property
    def nothing(self) -> bool:
        """Whether nothing says what is to be installed."""
        return not self.roots and not self.alone


def read_requirements(
    reader: TreeReader,
    config: VenvConfig,
    live: LiveVenv | None,
    *,
    root: Path | None = None,
    other: Wanted | None = None,
) -> Requirements:
    """Read what the release behind READER wants; only uv's exporter is started, for an `uv.lock`. Problems are in the
    result. ROOT: the checkout, whose own packages in the venv are renewed. OTHER: the interpreter of the venv to come, where that isn't
    the live one's."""
    python = live.python if live is not None else None
    owns = own_installs(live.real, root) if live is not None and root is not None else []
    extras = _extras_of(owns, live) if config.itself == "auto" and not config.extras else ()
    scan = Scan(reader, config, other.version or None if other is not None else python, extras)
    sources = tuple(config.requirements)
    if not sources and config.itself != "never" and any(own.path == "." for own in owns):
        sources = scan.found_lock()
    for path in sources:
        scan.file(path, tr("the configuration"), optional=sources == DEFAULT_FILES)
    for path in config.constraints:
        scan.file(path, tr("the configuration"), constraint=True)
    itself = scan.itself(owns)
    key, later = _key(scan, config, live, sources, other)
    roots = tuple(scan.written.get(path, path) for path in sources if path in scan.files)
    alone = (ITSELF,) if itself and scan.hashed else ()
    locks = [os.path.basename(path) in WHOLE_LOCKS for path in sources if path in scan.files]
    return Requirements(
        files=scan.files,
        key=key,
        later=later,
        pins=scan.pins,
        needs_tree=bool(scan.local) or scan.whole_tree,
        index_options=tuple(scan.index_options),
        hashed=scan.hashed,
        problems=tuple(scan.problems),
        roots=roots if alone or not itself else (*roots, ITSELF),
        constraints=tuple(path for path in config.constraints if path in scan.files),
        names=scan.names,
        pip_only=tuple(dict.fromkeys(scan.pip_only)),
        variables=tuple(sorted(scan.variables)),
        unpinned={name: wanted for name, wanted in scan.unpinned.items() if name not in scan.pins},
        sources=tuple(path for path in sources if path in scan.files),
        itself=itself,
        alone=alone,
        origins=tuple(not_ours(scan.origins, config.allow_sources, _indexes(live))) if scan.origins else (),
        extras=scan.extras if itself else (),
        locked=bool(locks) and all(locks) and (bool(alone) or not itself),
    )


def _indexes(live: LiveVenv | None) -> list[str]:
    """The indexes that are set on this server."""
    settings = read_settings(live.real if live else None)
    return [*settings.uv_environment.values(), *settings.pip_environment.values()]


def _extras_of(owns: Sequence[Own], live: LiveVenv | None) -> tuple[str, ...]:
    """The extras that the app itself was installed with, by what LIVE holds."""
    name = next((own.name for own in owns if own.path == "."), None)
    if name is None or live is None:
        return ()
    from gitdeploy.venvs.extras import seen_extras

    return seen_extras(live.real, name, packages(live.real), live.python)


def index_options_in(words: Sequence[str]) -> list[str]:
    """Those of an installer's arguments that say where packages come from, with their values."""
    found, waiting = [], list(words)
    while waiting:
        option, value = split_option(waiting.pop(0))
        if option in (*INDEX_OPTIONS, *UV_INDEX_OPTIONS):
            found.append(f"{option} {waiting.pop(0) if value is None and waiting else value or ''}".rstrip())
    return found


def _key(
    scan: Scan, config: VenvConfig, live: LiveVenv | None, sources: tuple[str, ...], other: Wanted | None
) -> tuple[str, str]:
    """The key, and what it is made of where the interpreter isn't there yet."""
    settings = read_settings(live.real if live else None)
    parts: dict[str, Any] = {
        "files": {
            name: hashlib.sha256(data).hexdigest()
            for name, data in sorted(scan.files.items())
            if name not in scan.written
        },
        "local": sorted(scan.local.items()),
        "roots": [list(sources), list(config.constraints)],
        "python": _wanted_interpreter(config, live, other),
        "installer": [config.installer, config.exact, list(config.extra_args), list(settings.fingerprint)],
    }
    # Only what is set, so that the keys of venvs that were built before these settings came stay as they are.
    chosen = [[*config.groups], [*config.extras], sorted(config.env.items()), [*config.path_dirs]]
    if any(chosen):
        parts["chosen"] = chosen
    later = json.dumps(parts | {"python": config.python}) if other is not None and other.path is None else ""
    return _hashed(parts), later


def _hashed(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _wanted_interpreter(config: VenvConfig, live: LiveVenv | None, other: Wanted | None) -> str:
    wanted = config.python or ""
    if other is not None:
        return f"{wanted} {other.identity}"
    if live is not None and live.problem is None:
        return f"{wanted} {interpreter_identity(live.real)}"
    return wanted
