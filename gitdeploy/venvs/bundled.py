"""pip as each Python brings it along (ensurepip): for venvs that have none, and for new ones."""

from __future__ import annotations

from pathlib import Path

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment, process
from gitdeploy.venvs.live import INTERPRETER_LIMIT

_QUESTION = """
import os, sysconfig
folders = [sysconfig.get_config_var("WHEEL_PKG_DIR") or ""]
try:
    import ensurepip
    folders.insert(0, os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"))
except ImportError:  # Debian's python3 without python3-venv
    folders.append("/usr/share/python-wheels")
for folder in folders:
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.startswith(("pip-", "setuptools-")) and name.endswith(".whl"):
            print("wheel:" + os.path.join(folder, name))
"""


def wheels(python: Path) -> dict[str, str]:
    """`pip`, and `setuptools` where this Python's venvs have it: name to the wheel that PYTHON brings along."""
    try:
        done = process.run(
            [python, "-I", "-B", "-c", _QUESTION],
            cwd="/",
            env=environment.clean_environment(),
            timeout=INTERPRETER_LIMIT,
        ).check(tr("Looking for Python's own pip"))
    except CommandFailed:
        return {}
    found: dict[str, str] = {}
    for line in done.text.splitlines():
        if line.startswith("wheel:"):
            path = line.removeprefix("wheel:")
            found.setdefault(path.rpartition("/")[2].partition("-")[0], path)
    return found


def has_pip(venv: Path) -> bool:
    """Whether VENV has a pip of its own."""
    return any(venv.glob("lib/python*/site-packages/pip/__init__.py"))


def pip_command(venv: Path) -> list[str] | None:
    """What starts a pip for VENV: its own, else the one that its Python brings along; None where there is neither."""
    python = venv / "bin" / "python"
    if has_pip(venv):
        return [str(python), "-I", "-m", "pip"]
    brought = wheels(python).get("pip")
    return [str(python), "-I", f"{brought}/pip"] if brought is not None else None
