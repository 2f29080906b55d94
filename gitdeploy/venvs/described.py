"""The names of files by which an app says what it needs, apart from what is in them."""

from __future__ import annotations

import os
import re

# What an app's folder may have beside requirements files, the best first: the lock decides where there is one.
LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock")
WHOLE_LOCKS = frozenset(LOCKS) - {"pylock.toml"}  # those whose every package is read here; uv reads pylock.toml itself
PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")
_OTHERS = ("Pipfile", "environment.yml", "environment.yaml", "conda-lock.yml")
PYLOCK = re.compile(r"pylock(?:\.[^.]+)?\.toml")
_REQUIREMENTS = re.compile(r"(?:[\w.-]*requirements[\w.-]*|requirements/[\w./-]+)\.(?:txt|in)")


def is_known(path: str) -> bool:
    """Whether PATH is a lock or a project file, by its name."""
    name = os.path.basename(path)
    return name in (*LOCKS, *PROJECTS, *_OTHERS) or PYLOCK.fullmatch(name) is not None


def says_needs(path: str) -> bool:
    """Whether the file PATH says what an app needs, by its name alone."""
    name = os.path.basename(path)
    return is_known(path) or any(_REQUIREMENTS.fullmatch(text) for text in (name, "/".join(path.split("/")[-2:])))


def can_install(path: str) -> bool:
    """Whether `venv.requirements` may name PATH."""
    name = os.path.basename(path)
    return name not in (*_OTHERS, "setup.py", "setup.cfg")
