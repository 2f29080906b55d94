"""What `prepare` left in the staging area for a later `upgrade`."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

PREPARED = "prepared.json"


def prepared_stages(folder: Path) -> dict[str, dict[str, Any]]:
    """Stage name -> what was prepared in it, newest last."""
    found = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        with suppress(OSError, ValueError):
            found[name] = json.loads((folder / name / PREPARED).read_bytes())
    return found
