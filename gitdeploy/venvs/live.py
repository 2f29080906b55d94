"""What can be known of a venv without changing it: where it is, its Python, its packages, and what is wrong with it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system import completed, environment, process
from gitdeploy.text import clean, path_text

# In hexadecimal digits, since paths may hold anything; importing json would double what the question takes.
_QUESTION = """
import sys
said = sys.prefix, "%d.%d.%d" % sys.version_info[:3], sys.implementation.cache_tag or ""
print("said", *(word.encode("utf-8", "surrogateescape").hex() for word in said), sep=":")
"""
INTERPRETER_LIMIT = 30.0  # seconds that a bare interpreter may take to start
_LIBRARY = re.compile(r"(?:python|pypy)(\d+\.\d+)t?")


class LiveVenv(Struct, frozen=True):
    """The venv that the app uses now.

    link: where the app sees it (absolute); real: the folder behind it. generation: its name below the state directory's
    `venvs`, None for a plain folder (adopted by the first switch) or somebody's own symlink. python: "3.11.7", or "3.11"
    where only the library folder tells. problem: None for a healthy one, else a sentence. target: the symlink's text.
    """

    link: Path
    real: Path
    generation: str | None
    python: str | None
    problem: str | None
    target: str | None = None


def live_venv(link: Path, venvs: Path) -> LiveVenv | None:
    """The venv at LINK with its generation below VENVS; None where there is nothing at all: no link and no generation."""
    try:
        found = link.lstat()
    except (FileNotFoundError, NotADirectoryError):
        known = [python_version(path) for path in sorted(venvs.iterdir()) if path.is_dir()] if venvs.is_dir() else []
        if not known:
            return None
        return LiveVenv(link, link, None, known[-1], tr("The venv {link} is gone.", link=path_text(str(link))))
    target = os.readlink(link) if stat.S_ISLNK(found.st_mode) else None
    real = Path(os.path.realpath(link))
    generation = real.name if target is not None and os.fspath(real.parent) == os.path.realpath(venvs) else None
    if not real.is_dir():
        what = (
            tr("points to {target}, which is not a folder", target=path_text(target))
            if target
            else tr("is not a folder")
        )
        return LiveVenv(
            link, real, generation, None, tr("The venv {link} {what}.", link=path_text(str(link)), what=what), target
        )
    return LiveVenv(link, real, generation, python_version(real), problem(real), target)


def settings_of(venv: Path) -> dict[str, str]:
    """`pyvenv.cfg` as lower-case keys and values; empty where it is missing or unreadable."""
    try:
        lines = (venv / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def python_version(venv: Path) -> str | None:
    """The Python that VENV was made for: "3.11.7" from `pyvenv.cfg`, else "3.11" from its library folder."""
    settings = settings_of(venv)
    for key in ("version", "version_info"):
        if found := re.match(r"\d+\.\d+(?:\.\d+)?", settings.get(key, "")):
            return found[0]
    return next(library_versions(venv), None)


def library_versions(venv: Path) -> Iterator[str]:
    """ "3.11" for each `lib/python3.11/site-packages`."""
    for folder in site_folders(venv):
        if found := _LIBRARY.fullmatch(folder.parent.name):
            yield found[1]


def site_folders(venv: Path) -> list[Path]:
    """The real `site-packages` folders of VENV (`lib64`, where it is a link, is not walked twice)."""
    found = []
    for name in ("lib", "lib64"):
        folder = venv / name
        if folder.is_dir() and not folder.is_symlink():
            found += [site for site in sorted(folder.glob("*/site-packages")) if site.is_dir()]
    return found


def problem(venv: Path) -> str | None:
    """A sentence that says why VENV cannot be used as it is, or None. Starts the interpreter only if its name hides its version."""
    shown = tr("The venv {venv}", venv=path_text(str(venv)))
    if not (venv / "pyvenv.cfg").is_file():
        return tr("{shown} has no pyvenv.cfg, so an installer would write into the base Python.", shown=shown)
    python = venv / "bin" / "python"
    if not os.path.lexists(python):
        return tr("{shown} has no bin/python.", shown=shown)
    behind = os.path.realpath(python)
    if not os.path.exists(behind):
        return tr("{shown} needs the interpreter {behind}, which is gone.", shown=shown, behind=path_text(behind))
    if not os.access(behind, os.X_OK) or os.path.isdir(behind):
        return tr(
            "{shown} needs the interpreter {behind}, which this user can't execute.",
            shown=shown,
            behind=path_text(behind),
        )
    made_for = list(library_versions(venv))
    named = re.fullmatch(r"(?:python|pypy)(\d+\.\d+)t?", os.path.basename(behind))
    try:
        actual = named[1] if named else ask(python).version.rpartition(".")[0]
    except CommandFailed as error:
        return tr("{shown} is broken: {message}", shown=shown, message=error.message)
    if made_for and actual not in made_for:
        return tr(
            "{shown} was made for Python {made_for}, but its interpreter {behind} is {actual} now, "
            "which doesn't see its packages.",
            shown=shown,
            made_for=made_for[0],
            behind=path_text(behind),
            actual=actual,
        )
    return None


class Interpreter(Struct, frozen=True):
    """What an interpreter says of itself. version: "3.11.7"; tag: in the names of its bytecode, empty where it has none."""

    prefix: str
    version: str
    tag: str


def ask(python: Path) -> Interpreter:
    """What the interpreter PYTHON says of itself. Raises `CommandFailed`."""
    with asked(python) as answer:
        return answer()


@contextmanager
def asked(python: Path) -> Iterator[Callable[[], Interpreter]]:
    """`ask` while the block does something else: yields a function that waits for the answer. Nothing is written below
    the venv, so that it may still be in the making."""
    with process.alongside(
        [python, "-I", "-B", "-c", _QUESTION],
        cwd="/",
        env=environment.clean_environment(),
        timeout=INTERPRETER_LIMIT,
        output=True,
    ) as finish:
        yield lambda: _answer(python, finish())


def _answer(python: Path, done: completed.Completed) -> Interpreter:
    answer = done.check(tr("Starting {python}", python=path_text(str(python))))
    # The last line: a .pth of some package may print at every start.
    found = re.search(r"^said:([0-9a-f]+):([0-9a-f]+):([0-9a-f]*)$", answer.text[answer.text.rfind("\n") + 1 :])
    if found is None:
        raise CommandFailed(
            tr(
                "{python} starts, but doesn't answer: {answer}",
                python=path_text(str(python)),
                answer=clean(answer.text, limit=200),
            )
        )
    return Interpreter(*(os.fsdecode(bytes.fromhex(word)) for word in found.groups()))


def examine(live: LiveVenv) -> str | None:
    """Start the interpreter of LIVE and let it import what every app needs; None, or a sentence on what is wrong."""
    if live.problem:
        return live.problem
    python = live.real / "bin" / "python"
    try:
        said = ask(python)
        process.run(
            [python, "-I", "-c", "import ctypes, hashlib, ssl, sqlite3, zlib"],
            cwd="/",
            env=environment.clean_environment(),
            timeout=INTERPRETER_LIMIT,
        ).check(tr("Importing Python's own libraries with {python}", python=path_text(str(python))))
    except CommandFailed as error:
        return error.message
    if os.path.realpath(said.prefix) != os.path.realpath(live.real):
        return tr(
            "{python} says that its prefix is {prefix}: it is no venv's interpreter.",
            python=path_text(str(python)),
            prefix=clean(said.prefix),
        )
    return None


def canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503): `Flask_Login` is `flask-login`."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Installed(Struct, frozen=True):
    """A package in a venv; written: nanoseconds since 1970 when an installer last wrote its metadata."""

    version: str
    written: int


def packages(venv: Path) -> dict[str, str]:
    """Installed packages, canonical name to version, read from the names of `*.dist-info` and `*.egg-info`."""
    return {name: version for name, (version, _) in _metadata(venv).items()}


def installed(venv: Path) -> dict[str, Installed]:
    """Installed packages by canonical name, comparable: an installation anew of the same version differs."""
    found = {}
    for name, (version, place) in _metadata(venv).items():
        with suppress(OSError):  # an installer may be at it
            found[name] = Installed(version, place.stat().st_mtime_ns)
    return found


def _metadata(venv: Path) -> dict[str, tuple[str, Path]]:
    """Canonical name -> (version, its `*.dist-info` or `*.egg-info`)."""
    found: dict[str, tuple[str, Path]] = {}
    for site in site_folders(venv):
        for entry in os.listdir(site):
            base, kind = os.path.splitext(entry)
            if kind in (".dist-info", ".egg-info") and not entry.startswith(("~", "-")):
                name, _, version = base.partition("-")
                if kind == ".dist-info":
                    name, _, version = base.rpartition("-")
                if name and version:
                    found[canonical(name)] = (re.sub(r"-py\d[\d.]*$", "", version), site / entry)
    return dict(sorted(found.items()))


def interpreter_identity(venv: Path) -> str:
    """What a generation's reuse depends on: the real interpreter behind VENV and the version that its packages are for."""
    return f"{os.path.realpath(venv / 'bin' / 'python')} {','.join(library_versions(venv))}"
