"""A venv as far as what is noted of its packages: enough for whoever reads, and made in a moment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def noted_venv(venv: Path, packages: Mapping[str, str]) -> Path:
    """A venv that holds PACKAGES: name to version, or version and lines of metadata; `bin/NAME` is a program. Its
    site-packages."""
    site = venv / f"lib/python3.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(os.path.realpath(sys.executable))
    (venv / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    for name, said in packages.items():
        if name.startswith("bin/"):
            (venv / name).write_text("#!/bin/sh\n")
            (venv / name).chmod(0o755)
            continue
        version, _, more = said.partition("\n")
        (site / f"{name}-{version}.dist-info").mkdir()
        (site / f"{name}-{version}.dist-info/METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
        )
    return site
