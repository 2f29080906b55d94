"""What a venv's packages say of each other, and what it sees of the system's (`--system-site-packages`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gitdeploy.errors import CommandFailed
from gitdeploy.messages import tr
from gitdeploy.system import environment, process
from gitdeploy.venvs.live import INTERPRETER_LIMIT, LiveVenv, canonical, settings_of, site_folders

_QUESTION = """
import json, sys
try:
    from importlib import metadata
except ImportError:  # before Python 3.8
    import pkg_resources
    found = {one.project_name: one.version for one in pkg_resources.working_set}
else:
    found = {}
    for one in metadata.distributions():
        found.setdefault(one.metadata["Name"] or "", one.version)
print("\\n" + json.dumps(found))
"""


def sees_system(venv: Path) -> bool:
    """Whether VENV was made with `--system-site-packages`."""
    return settings_of(venv).get("include-system-site-packages", "").lower() == "true"


def system_packages(live: LiveVenv) -> Mapping[str, str]:
    """Packages that LIVE's interpreter sees, the system's among them, where it sees those at all; else none."""
    return seen_by(live.real) if live.problem is None and sees_system(live.real) else {}


def seen_by(venv: Path) -> dict[str, str]:
    """All packages that VENV's interpreter finds, canonical name to version; empty where it doesn't answer."""
    try:
        done = process.run(
            [venv / "bin" / "python", "-I", "-B", "-c", _QUESTION],
            cwd="/",
            env=environment.clean_environment(),
            timeout=INTERPRETER_LIMIT,
        ).check(tr("Asking for the venv's packages"))
        said = json.loads(done.text.rstrip().rpartition("\n")[2])
    except (CommandFailed, ValueError):
        return {}
    return {canonical(name): str(version) for name, version in said.items() if name}


def needed_by_others(venv: Path) -> Iterable[str]:
    """Canonical names of all packages that others in VENV depend on."""
    found = set()
    for site in site_folders(venv):
        for file in site.glob("*.dist-info/METADATA"):
            head = file.read_text("utf-8", "replace").partition("\n\n")[0]
            found |= {canonical(name) for name in re.findall(r"^Requires-Dist: *([\w.-]+)", head, re.MULTILINE)}
    return found
