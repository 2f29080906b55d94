"""The interpreter that `venv.python` names, whether the live venv has it, and where it comes from if this server lacks it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from gitdeploy.errors import CommandFailed, DeploymentFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment, process, progress
from gitdeploy.text import path_text
from gitdeploy.venvs.live import INTERPRETER_LIMIT, LiveVenv
from gitdeploy.venvs.settings import VenvConfig
from gitdeploy.venvs.uv import uv_program

_VERSION = re.compile(r"(?P<kind>python|pypy)?(?P<version>\d+(?:\.\d+){0,2})?")
_DOWNLOAD_LIMIT = 900.0  # seconds: about 30 MB
_QUESTION = "import os,sys;print(os.path.realpath(getattr(sys,'_base_executable',sys.executable)),'%d.%d.%d'%sys.version_info[:3])"


class Wanted(Struct, frozen=True):
    """What `venv.python` comes to. path: the interpreter itself, None where there is none or it doesn't start; version:
    "3.12.1", as far as known; downloaded: whether uv is to fetch it when it is needed."""

    path: str | None
    version: str
    downloaded: bool = False

    @property
    def identity(self) -> str:
        """As `interpreter_identity` of a venv that is made with it."""
        return f"{self.path} {'.'.join(self.version.split('.')[:2])}"


def find(python: str, pythons: Path | None = None) -> str | None:
    """The interpreter PYTHON (a path, a name or a version), from PATH's usual folders, of those that uv knows, or of those
    that were downloaded into PYTHONS; None where there is none."""
    if python.startswith("/"):
        return python if os.access(python, os.X_OK) and not os.path.isdir(python) else None
    for name in (python, f"python{python}") if python[:1].isdigit() else (python,):
        if not name[:1].isdigit() and (found := environment.which(name)) is not None:
            return found
    places = [os.environ.get("UV_PYTHON_INSTALL_DIR")]
    if pythons is not None and pythons.is_dir():
        places.append(str(pythons))
    return next((found for place in places if (found := _known_to_uv(python, place)) is not None), None)


def _known_to_uv(python: str, place: str | None) -> str | None:
    done = process.run(
        [uv_program(), "python", "find", "--no-config", "--no-project", "--system", "--no-python-downloads", python],
        cwd="/",
        env=environment.clean_environment(
            {"UV_PYTHON_INSTALL_DIR": place} if place else None,
            path=f"{environment.STANDARD_PATH}:{os.environ.get('PATH', '')}",
        ),
        timeout=INTERPRETER_LIMIT,
    )
    return done.text.strip() if done.ok and done.text.strip().startswith("/") else None


def can_be_downloaded(python: str) -> bool:
    """Whether PYTHON is a version (`3.12`, `python3.12`), which uv may have, and not this server's own name or path."""
    named = _VERSION.fullmatch(python)
    return named is not None and bool(named["version"])


def download(python: str, pythons: Path, on_line: Callable[[str], object]) -> str:
    """Have uv fetch the version PYTHON into PYTHONS; the interpreter. Raises `DeploymentFailed`."""
    passed = ("UV_PYTHON_INSTALL_MIRROR", "UV_PYPY_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL")
    more = {name: os.environ[name] for name in passed if name in os.environ}
    with progress.of(tr("downloading Python {python}", python=python), "bytes"):
        done = process.run(
            [uv_program(), "python", "install", "--no-config", "--no-bin", "--no-progress", "--color", "never", python],
            cwd="/",
            env=environment.clean_environment({"UV_PYTHON_INSTALL_DIR": str(pythons), **more}),
            timeout=_DOWNLOAD_LIMIT,
            on_line=on_line,
            tied=True,
            umask=0o022,
        )
    found = _known_to_uv(python, str(pythons)) if done.ok else None
    if found is None:
        raise DeploymentFailed(
            tr(
                "uv could not download Python {python} (venv.python): {error_text}",
                python=python,
                error_text=done.error_text or done.ending,
            ),
            tr("Install it, or name one that is there: venv: {{python: /usr/bin/python3}}"),
        )
    return found


def base_python(config: VenvConfig, live: LiveVenv | None, pythons: Path, on_line: Callable[[str], object]) -> str:
    """What a new venv is made with: the configured interpreter, else the live one's, else one of its version from PATH.
    Raises `DeploymentFailed`."""
    if config.python:
        found = find(config.python, pythons)
        if found is None and config.python_downloads and can_be_downloaded(config.python):
            return download(config.python, pythons, on_line)
        if found is None:
            raise DeploymentFailed(
                tr("The interpreter {python} (venv.python) can't be found.", python=path_text(config.python))
            )
        return found
    version = live.python if live is not None else None
    short = ".".join((version or "").split(".")[:2])
    if live is not None:
        behind = os.path.realpath(live.real / "bin" / "python")
        if os.access(behind, os.X_OK) and not os.path.isdir(behind):
            return behind
    for name in (f"python{short}" if short else "", "python3"):
        known = environment.which(name) if name else None
        if known is not None:
            return known
    raise DeploymentFailed(
        tr("There is no Python to build the venv with."),
        tr("Install one, or name it: venv: {{python: /usr/bin/python3.11}}"),
    )


def other_than_live(config: VenvConfig, live: LiveVenv, pythons: Path | None = None) -> Wanted | None:
    """The interpreter that CONFIG names where it is another than the one that the venv LIVE has; None where it is the same.
    PYTHONS: where downloaded ones are."""
    python = config.python
    if python is None or live.problem is not None:
        return None
    if not python.startswith("/"):
        named = _VERSION.fullmatch(python)
        version = (named["version"] or "") if named else ""
        behind = os.path.basename(os.path.realpath(live.real / "bin" / "python"))
        same_kind = named is None or (named["kind"] == "pypy") == behind.startswith("pypy")
        if same_kind and f"{live.python or ''}.".startswith(f"{version}." if version else ""):
            return None
        downloaded = config.python_downloads and can_be_downloaded(python)
        return _asked(find(python, pythons)) or Wanted(None, version, downloaded)
    path = find(python)
    if path is not None and os.path.realpath(path) == os.path.realpath(live.real / "bin" / "python"):
        return None
    # A wrapper, or the python of another venv: what stands behind it counts.
    wanted = _asked(path) or Wanted(None, "")
    return None if wanted.path == os.path.realpath(live.real / "bin" / "python") else wanted


def _asked(path: str | None) -> Wanted | None:
    """What the interpreter at PATH says of itself; None where it doesn't."""
    if path is None:
        return None
    try:
        done = process.run(
            [path, "-I", "-c", _QUESTION], cwd="/", env=environment.clean_environment(), timeout=INTERPRETER_LIMIT
        ).check(tr("Asking venv.python"))
    except CommandFailed:
        return None
    real, _, version = done.text.strip().rpartition(" ")
    return Wanted(real, version) if real.startswith("/") else None
