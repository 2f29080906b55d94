"""What `init` looks at, once for all of the draft: tracked files, venv, units, processes, the app's environment, its
settings. Nothing of the app is executed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitdeploy import venvs
from gitdeploy.checkout.git import Repository
from gitdeploy.config import ServiceConfig
from gitdeploy.services.environment import of_the_app
from gitdeploy.services.opened import app_processes
from gitdeploy.services.units import discover, unit_settings
from gitdeploy.site.app_environment import app_environment
from gitdeploy.site.site import Site
from gitdeploy.system import proc
from gitdeploy.upkeep.drafting.python_files import Settings, module_file

_DJANGO = re.compile(r"\bdjango\b|DJANGO_SETTINGS_MODULE")
_SETTINGS_MODULE = "DJANGO_SETTINGS_MODULE"
_NOT_THE_APPS = frozenset("test tests docs doc example examples demo sandbox testproject test_project".split())
_FLASK_FILES = (
    "config.py settings.py default_settings.py app.py wsgi.py main.py application.py instance/config.py config/__init__.py "
    "app/__init__.py app/config.py app/settings.py"
).split()


class Seen(Struct, frozen=True):
    """names: tracked files. units: systemd units that run from here, the one that serves first. commands: what runs the
    app, its words, of processes and of units. environment: the app's own variables; told: those of them that hooks and
    dumps are told too. packages: the venv's, name to version. manage: Django's manage.py."""

    site: Site
    names: tuple[str, ...]
    units: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    processes: tuple[int, ...]
    environment: Mapping[str, str]
    told: Mapping[str, str]
    packages: Mapping[str, str]
    manage: str | None
    settings: Settings

    @property
    def root(self) -> Path:
        return self.site.root

    def has_program(self, name: str) -> bool:
        """Whether the venv has a program NAME."""
        link = self.site.venv_link
        return link is not None and os.access(link / "bin" / name, os.X_OK)

    def has(self, path: str) -> bool:
        """Whether the checkout has PATH, tracked or not."""
        return (self.root / path).exists()


def look(site: Site, settings_files: Iterable[str] = ()) -> Seen:
    """Look at the checkout of SITE and what runs from it. SETTINGS_FILES: more files that hold the app's settings, as a
    recipe knows them. Starts no process but git."""
    names = tuple(tracked(site.repository))
    units = _units(site)
    pids = tuple(app_processes((), site.root, site.venv_link))
    asked = site
    if not site.config.service.kinds and units:
        service = ServiceConfig(systemd=tuple(unit.removesuffix(".service") for unit in units))
        asked = replace(site, config=replace(site.config, service=service))
    told = app_environment(asked)
    running: dict[str, str] = {}
    for pid in pids:
        running = {**proc.environment(pid), **running}
    environment = {**of_the_app(running), **told}
    live = site.live_venv()
    packages = venvs.packages(live.real) if live is not None and live.real.is_dir() else {}
    settings = Settings(site.root, environment)
    manage = _manage(site.root, names)
    for file in (*_django_files(site.root, manage, environment), *settings_files):
        settings.read(file)
    if manage is None:
        for file in _flask_files(site.root, names):
            settings.read(file)
    commands = tuple(dict.fromkeys((*_running_commands(pids), *_unit_commands(units))))
    return Seen(site, names, units, commands, pids, environment, told, packages, manage, settings)


def tracked(repository: Repository) -> list[str]:
    """The names of all tracked files."""
    return [os.fsdecode(name) for name in repository.output("ls-files", "-z").split(b"\0") if name]


# ---- what runs it ----


def _units(site: Site) -> tuple[str, ...]:
    """Those that go on running: a timer's own unit ends by itself and takes the new code the next time."""
    found = [
        unit for unit in discover(site.root, site.venv_link) if "oneshot" not in unit_settings(unit).get("Type", ())
    ]
    return tuple(sorted(found, key=lambda unit: not any(map(serves, _unit_commands((unit,))))))


def serves(words: tuple[str, ...]) -> bool:
    """Whether the command WORDS starts a web server."""
    servers = "gunicorn uvicorn hypercorn daphne granian waitress-serve uwsgi runserver flask"
    return any(os.path.basename(word) in servers.split() for word in words[:6])


def _unit_commands(units: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for unit in units:
        for text in unit_settings(unit).get("ExecStart", ()):
            try:
                yield tuple(shlex.split(text.lstrip("-@:+!~")))
            except ValueError:
                continue


def _running_commands(pids: Iterable[int]) -> Iterator[tuple[str, ...]]:
    yield from (tuple(words) for pid in pids if (words := proc.command_line(pid)))


# ---- the framework ----


def _manage(root: Path, names: Iterable[str]) -> str | None:
    """Django's manage.py, the one nearest to the root: other frameworks' apps have a file of that name too."""
    found = sorted(
        (name for name in names if os.path.basename(name) == "manage.py" and name.count("/") <= 3),
        key=lambda name: (name.count("/"), name),
    )
    for name in found:
        if _NOT_THE_APPS.isdisjoint(name.split("/")[:-1]) and _DJANGO.search(text_of(root / name)):
            return name
    return None


def settings_module(root: Path, manage: str | None, environment: Mapping[str, str]) -> str | None:
    """The module that Django's settings come from, as the app's environment or else manage.py says."""
    if manage is None:
        return None
    if named := environment.get(_SETTINGS_MODULE):
        return named
    read = Settings(root, environment)
    text = text_of(root / manage)
    if (said := re.search(rf"{_SETTINGS_MODULE}[\"'],\s*[\"']([\w.]+)[\"']", text)) is not None:
        return said[1]
    read.read(manage)
    return read.text(_SETTINGS_MODULE)


def _django_files(root: Path, manage: str | None, environment: Mapping[str, str]) -> Iterator[str]:
    module = settings_module(root, manage, environment)
    if manage is None or module is None:
        return
    folder = (root / manage).parent
    for place in (folder, root, root / "src"):
        if (found := module_file(place, module.split("."))) is not None:
            yield os.path.relpath(found, root)
            return


def _flask_files(root: Path, names: Iterable[str]) -> list[str]:
    """Files in which apps without Django keep their settings, near the root."""
    has = partial(_exists, root)
    near = [
        name
        for name in names
        if name.count("/") == 1 and os.path.basename(name) in ("config.py", "settings.py", "__init__.py")
    ]
    apps = [name for name in near if _NOT_THE_APPS.isdisjoint(name.split("/"))]
    return [*filter(has, _FLASK_FILES), *apps[:12]]


def _exists(root: Path, name: str) -> bool:
    return (root / name).is_file()


def text_of(file: Path, most: int = 200_000) -> str:
    """The beginning of FILE, up to MOST characters; empty where it can't be read."""
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(most)
    except OSError:
        return ""
