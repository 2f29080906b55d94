"""The interpreter that `venv.python` names, and whether the live venv has it."""

from __future__ import annotations

import os
import re

from msgspec import Struct

from gitdeploy.errors import CommandFailed
from gitdeploy.system import environment, process
from gitdeploy.venvs.live import INTERPRETER_LIMIT, LiveVenv
from gitdeploy.venvs.uv import uv_program

_VERSION = re.compile(r"(?P<kind>python|pypy)?(?P<version>\d+(?:\.\d+){0,2})?")
_QUESTION = "import os,sys;print(os.path.realpath(getattr(sys,'_base_executable',sys.executable)),'%d.%d.%d'%sys.version_info[:3])"


class Wanted(Struct, frozen=True):
    """What `venv.python` comes to. path: the interpreter itself, None where there is none or it doesn't start; version:
    "3.12.1", as far as known."""

    path: str | None
    version: str

    @property
    def identity(self) -> str:
        """As `interpreter_identity` of a venv that is made with it."""
        return f"{self.path} {'.'.join(self.version.split('.')[:2])}"


def find(python: str) -> str | None:
    """The interpreter PYTHON (a path, a name or a version), from PATH's usual folders or of those that uv knows; None
    where there is none."""
    if python.startswith("/"):
        return python if os.access(python, os.X_OK) and not os.path.isdir(python) else None
    for name in (python, f"python{python}") if python[:1].isdigit() else (python,):
        if not name[:1].isdigit() and (found := environment.which(name)) is not None:
            return found
    done = process.run(
        [uv_program(), "python", "find", "--no-config", "--no-project", "--system", "--no-python-downloads", python],
        cwd="/",
        env=environment.clean_environment(
            {name: os.environ[name] for name in ("UV_PYTHON_INSTALL_DIR",) if name in os.environ},
            path=f"{environment.STANDARD_PATH}:{os.environ.get('PATH', '')}",
        ),
        timeout=INTERPRETER_LIMIT,
    )
    return done.text.strip() if done.ok and done.text.strip().startswith("/") else None


def other_than_live(python: str | None, live: LiveVenv) -> Wanted | None:
    """The interpreter PYTHON where it is another than the one that the venv LIVE has; None where it is the same."""
    if python is None or live.problem is not None:
        return None
    if not python.startswith("/"):
        named = _VERSION.fullmatch(python)
        version = (named["version"] or "") if named else ""
        behind = os.path.basename(os.path.realpath(live.real / "bin" / "python"))
        same_kind = named is None or (named["kind"] == "pypy") == behind.startswith("pypy")
        if same_kind and f"{live.python or ''}.".startswith(f"{version}." if version else ""):
            return None
        return _asked(find(python)) or Wanted(None, version)
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
        ).check("Asking venv.python")
    except CommandFailed:
        return None
    real, _, version = done.text.strip().rpartition(" ")
    return Wanted(real, version) if real.startswith("/") else None
