"""Services in a plan: a process that takes up new code without ending may stay on the venv that it was started from."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from gitdeploy.checkout.changes import Problem
from gitdeploy.deployment.site import Site
from gitdeploy.services import Service
from gitdeploy.services.pidfile import PidFile
from gitdeploy.text import clean, path_text


def staying_behind(site: Site, services: Sequence[Service]) -> tuple[list[Problem], list[str]]:
    """Problems and warnings about processes that would go on with an old venv once another is live."""
    problems: list[Problem] = []
    warnings: list[str] = []
    link = site.venv_link
    for service in services:
        if link is None or not isinstance(service, PidFile) or (found := service.goes_on()) is None:
            continue
        pid, words, program = found
        if _inside(words[0], site.state.venvs):
            problems.append(
                Problem(
                    f"{service.name}: process {pid} was started as {path_text(words[0])}, so after {service.signal} it "
                    "would have that venv's packages, not the new ones.",
                    f"Stop it, then start it once as:  {_command(link, words)}",
                )
            )
        elif _inside(program, site.state.venvs):
            name = os.path.basename(program)
            warnings.append(
                f"{service.name}: process {pid} runs {path_text(program)}, and may start that very file again on "
                f"{service.signal}. For uWSGI, set binary-path to {path_text(f'{link}/bin/{name}')}."
            )
    return problems, warnings


def _inside(path: str, folder: Path) -> bool:
    return any(path.startswith(f"{place}/") for place in (folder, os.path.realpath(folder)))


def _command(link: Path, words: Sequence[str]) -> str:
    """The same command by the interpreter that the live venv's link leads to."""
    return clean(shlex.join([f"{link}/bin/{os.path.basename(words[0])}", *words[1:]]), limit=500)
