"""Services in a plan: a process that takes up new code without ending may stay on the venv that it was started from."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.checkout.changes import Problem
from gitdeploy.messages import tr
from gitdeploy.services import Service
from gitdeploy.services.pidfile import PidFile, Running
from gitdeploy.site.site import Site
from gitdeploy.text import clean, path_text

_PRELOAD = re.compile(r"^\s*preload_app\s*=\s*(?:True|1)\b", re.MULTILINE)


def staying_behind(site: Site, services: Sequence[Service], *, venv_changes: bool) -> tuple[list[Problem], list[str]]:
    """Problems and warnings about processes that would go on with old code, or with an old venv once another is live."""
    problems: list[Problem] = []
    warnings: list[str] = []
    for service in services:
        if not isinstance(service, PidFile) or (running := service.goes_on()) is None:
            continue
        problems += _keeping_code(service, running)
        if venv_changes and site.venv_link is not None:
            found = _keeping_venv(service, running, site.venv_link, site.state.venvs)
            if isinstance(found, Problem):
                problems.append(found)
            elif found is not None:
                warnings.append(found)
    return problems, warnings


def _keeping_code(service: PidFile, running: Running) -> list[Problem]:
    """A gunicorn that has loaded the app before it forks gives that same code to the workers that HUP makes."""
    use = tr("Set service.signal to USR2: a second gunicorn takes over when it works.")
    if not running.gunicorn:
        return []
    if service.signal == "USR1":
        return [
            Problem(
                tr(
                    "{service}: gunicorn only opens its log files again on USR1; it keeps the old code.",
                    service=service.name,
                ),
                use,
            )
        ]
    if service.signal == "HUP" and (by := preloaded(running)):
        return [
            Problem(
                tr(
                    "{service}: gunicorn has the app preloaded ({by}), so HUP keeps the old code.",
                    service=service.name,
                    by=by,
                ),
                use,
            )
        ]
    return []


def preloaded(running: Running) -> str | None:
    """By what gunicorn was told to load the app before it forks; None where nothing says so."""
    for words, name in ((running.words, "--preload"), (running.options, "GUNICORN_CMD_ARGS")):
        if "--preload" in words:
            return name
    file = _settings_file(running)
    try:
        found = _PRELOAD.search(file.read_text("utf-8", "replace")) if file.is_file() else None
    except OSError:
        found = None
    return tr("preload_app in {file}", file=path_text(file.name)) if found else None


def _settings_file(running: Running) -> Path:
    words = [*running.options, *running.words]
    for number, word in enumerate(words):
        if word in ("-c", "--config") and number + 1 < len(words):
            return running.folder / words[number + 1].removeprefix("file:")
        if word.startswith("--config="):
            return running.folder / word.partition("=")[2].removeprefix("file:")
    return running.folder / "gunicorn.conf.py"


def _keeping_venv(service: PidFile, running: Running, link: Path, venvs: Path) -> Problem | str | None:
    if _inside(running.words[0], venvs):
        return Problem(
            tr(
                "{service}: process {pid} was started as {words}, so after {signal} it would have that "
                "venv's packages, not the new ones.",
                service=service.name,
                pid=running.pid,
                words=path_text(running.words[0]),
                signal=service.signal,
            ),
            tr("Stop it, then start it once as:  {command}", command=_command(link, running.words)),
        )
    if _inside(running.program, venvs):
        place = f"{link}/bin/{os.path.basename(running.program)}"
        return tr(
            "{service}: process {pid} runs {program}, and may start that very file again on "
            "{signal}. For uWSGI, set binary-path to {place}.",
            service=service.name,
            pid=running.pid,
            program=path_text(running.program),
            signal=service.signal,
            place=path_text(place),
        )
    return None


def _inside(path: str, folder: Path) -> bool:
    return any(path.startswith(f"{place}/") for place in (folder, os.path.realpath(folder)))


def _command(link: Path, words: Sequence[str]) -> str:
    """The same command by the interpreter that the live venv's link leads to."""
    return clean(shlex.join([f"{link}/bin/{os.path.basename(words[0])}", *words[1:]]), limit=500)
