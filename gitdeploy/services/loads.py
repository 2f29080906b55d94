"""Which part of an app a command of its service loads, so that the same can be loaded to see whether it can be.

`gunicorn app:app`, `uvicorn api.main:app`, `flask run`, `manage.py runserver`, `celery -A shop worker`, `python worker.py`:
of a plain script only its imports, since what else it does is its work.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from gitdeploy.messages import tr
from gitdeploy.text import clean, path_text, redact

Kind = Literal["gunicorn", "object", "flask", "django", "celery", "script", "module"]

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
_SHELL = re.compile(r"(?:ba|da|k|z)?sh")
_SPEC = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_][\w.]*(?:\(.*\))?")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_TITLE = re.compile(r"gunicorn: master \[(.+)\]")
_PYTHON_TAKES_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_SERVERS = ("uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "waitress")
_DJANGO = re.compile(rb"^\s*(?:from|import)\s+django\b", re.MULTILINE)
_LARGEST = 1 << 20  # bytes of a manage.py or a uwsgi.ini that are read
_NAMED_BY_UWSGI = {"-w": "module", "--wsgi": "module", "--module": "module", "--wsgi-file": "file", "--file": "file"}


class Load(Struct, frozen=True):
    """What is loaded, and how: `words` are the arguments of `kind`; `folder` is the working directory, absolute; `shown` is
    said of it: `gunicorn app:app`."""

    kind: Kind
    words: tuple[str, ...]
    folder: str
    shown: str


def loads_of(words: Sequence[str], folder: Path, root: Path, venv: Path) -> list[Load]:
    """What the command WORDS, started in FOLDER, loads of the app in ROOT with the Python of VENV: empty where that can't
    be told, or where another Python does."""
    found = [load for load in _of_command(list(words), folder, venv) if _inside(load, root)]
    serves = any(load.kind in ("gunicorn", "object") for load in found)
    if serves and _is_django(folder / "manage.py"):
        found.append(_django("manage.py", folder))
    return found


def _inside(load: Load, root: Path) -> bool:
    top = os.path.realpath(root)
    places = [load.folder, *([os.path.join(load.folder, load.words[0])] if load.kind == "script" else [])]
    return all(f"{os.path.realpath(place)}/".startswith(f"{top}/") for place in places)


def _of_command(words: list[str], folder: Path, venv: Path) -> Iterator[Load]:
    while words and (re.fullmatch(r"\w+=.*", words[0]) or words[0] in ("exec", "env", "/usr/bin/env")):
        words = words[1:]
    if not words:
        return
    if (title := _TITLE.fullmatch(words[0])) is not None:
        if _SPEC.fullmatch(title[1]):
            yield _load("object", (title[1], ""), folder, tr("gunicorn {title}", title=title[1]))
        return
    program, rest = words[0], words[1:]
    name = os.path.basename(program)
    if _SHELL.fullmatch(name):
        yield from _of_shell(rest, folder, venv)
    elif not _is_the_venvs(program, folder, venv) and name != "uwsgi":
        return
    elif _PYTHON.fullmatch(name):
        yield from _of_python(rest, folder)
    else:
        yield from _of_program(name, rest, folder)


def _of_shell(rest: list[str], folder: Path, venv: Path) -> Iterator[Load]:
    """`sh -c "exec gunicorn app:app"`; what only a shell can tell is left to it."""
    text = " ".join(rest[1:]) if rest[:1] == ["-c"] else ""
    if text and not set(text) & set(";|&$<>`\n"):
        with suppress(ValueError):
            yield from _of_command(shlex.split(text), folder, venv)


def _is_the_venvs(program: str, folder: Path, venv: Path) -> bool:
    """Whether PROGRAM is one of the venv: by its path, or, named without one, because the venv has it."""
    if "/" not in program:
        return os.path.exists(venv / "bin" / program)
    path = os.path.normpath(folder / program)
    return any(path.startswith(f"{place}/") for place in (venv, os.path.realpath(venv), os.path.realpath(venv.parent)))


def _of_python(rest: list[str], folder: Path) -> Iterator[Load]:
    while rest and rest[0].startswith("-"):
        if rest[0] == "-m" and len(rest) > 1:
            yield from _of_program(rest[1], rest[2:], folder, module=True)
            return
        if rest[0] == "-c":
            return
        rest = rest[2:] if rest[0] in _PYTHON_TAKES_VALUE else rest[1:]
    if not rest:
        return
    script, arguments = rest[0], rest[1:]
    outer = os.path.basename(os.path.dirname(os.path.normpath(folder / script)))
    if os.path.basename(script) == "__main__.py":  # what a gunicorn of `python -m gunicorn` starts on USR2
        yield from _of_program(outer, arguments, folder, module=True)
    elif outer == "bin":
        yield from _of_program(os.path.basename(script), arguments, folder)
    elif os.path.basename(script) == "manage.py" and _is_django(folder / script):
        yield _django(script, folder)
    elif script.endswith(".py"):
        yield _load("script", (script,), folder, tr("the imports of {script}", script=path_text(script)))


def _of_program(name: str, rest: list[str], folder: Path, *, module: bool = False) -> Iterator[Load]:
    if name == "gunicorn":
        yield _load("gunicorn", tuple(rest), folder, f"gunicorn {_spec(rest) or ''}".rstrip())
    elif name in _SERVERS:
        if (spec := _spec(rest)) is not None:
            folder = Path(folder, _option(rest, "--app-dir") or "")
            called = "--factory" in rest or "--call" in rest
            yield _load("object", (spec, "call" if called else ""), folder, f"{name} {spec}")
    elif name == "uwsgi":
        yield from _of_uwsgi(rest, folder)
    elif name == "flask":
        if "run" in rest:
            yield _load("flask", (*rest[: rest.index("run")], "routes"), folder, tr("flask routes"))
    elif name == "celery":
        if app := _option(rest, "-A", "--app"):
            yield _load("celery", (app.partition(":")[0],), folder, tr("celery -A {app}", app=app))
    elif module and _MODULE.fullmatch(name):
        yield _load("module", (name,), folder, tr("the imports of python -m {name}", name=name))


def _of_uwsgi(rest: list[str], folder: Path) -> Iterator[Load]:
    said: dict[str, str] = {}
    for word, value in zip(rest, (*rest[1:], ""), strict=True):
        option, mark, after = word.partition("=")
        value = after if mark else value
        if option in _NAMED_BY_UWSGI:
            said[_NAMED_BY_UWSGI[option]] = value
        elif option in ("--callable", "--chdir"):
            said[option[2:]] = value
        elif word.endswith(".ini") or (option == "--ini" and value.endswith(".ini")):
            said = {**_of_ini(folder / (word if word.endswith(".ini") else value)), **said}
    folder = Path(folder, said.get("chdir", ""))
    if module := said.get("module", ""):
        spec = (
            module if ":" in module else tr("{module}:{said}", module=module, said=said.get("callable", "application"))
        )
        if _SPEC.fullmatch(spec):
            yield _load("object", (spec, ""), folder, tr("uwsgi {spec}", spec=spec))
    elif file := said.get("file", ""):
        yield _load("script", (file,), folder, tr("the imports of {file}", file=path_text(file)))


def _of_ini(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        if path.stat().st_size <= _LARGEST:
            parser.read_string(path.read_text("utf-8"))
    if not parser.has_section("uwsgi"):
        return {}
    keys = {"module": "module", "wsgi": "module", "wsgi-file": "file", "callable": "callable", "chdir": "chdir"}
    found = {name: parser.get("uwsgi", key) or "" for key, name in keys.items() if parser.has_option("uwsgi", key)}
    return {name: value for name, value in found.items() if value and "%" not in value}


def _spec(rest: Sequence[str]) -> str | None:
    """`app:app`; a module alone only where it stands last and is not an option's value."""
    named = [word for word in rest if _SPEC.fullmatch(word)]
    if named:
        return named[-1]
    before = rest[-2] if len(rest) > 1 else ""
    alone = bool(rest) and _MODULE.fullmatch(rest[-1]) and (not before.startswith("-") or "=" in before)
    return rest[-1] if alone else None


def _option(rest: Sequence[str], *names: str) -> str | None:
    for word, value in zip(rest, (*rest[1:], ""), strict=True):
        option, mark, after = word.partition("=")
        if option in names:
            return after if mark else value
    return None


def _is_django(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return bool(_DJANGO.search(file.read(_LARGEST)))
    except OSError:
        return False


def _django(script: str, folder: Path) -> Load:
    return _load(
        "django", (script, "check", "--deploy"), folder, tr("{script} check --deploy", script=path_text(script))
    )


def _load(kind: Kind, words: tuple[str, ...], folder: Path, shown: str) -> Load:
    return Load(kind, words, str(folder), redact(clean(shown, limit=80)))
