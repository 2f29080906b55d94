"""The share of a campaign that every run takes. `make test THOROUGH=1` takes the whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

Case = TypeVar("Case")
THOROUGH = os.environ.get("THOROUGH") == "1"


def _turn() -> int:
    """A number by the commit: what a run of one leaves out, that of the next may take."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except OSError:
        return 0
    return int(done.stdout[:4], 16) if done.returncode == 0 else 0


TURN = _turn()


def share(cases: Sequence[Case], number: int, first: int) -> list[Case]:
    """NUMBER of CASES, evenly spread from the one numbered FIRST on (round the end); all of them in a thorough run. Over
    all values of FIRST each case is taken equally often."""
    if THOROUGH or number >= len(cases):
        return [*cases]
    return [cases[(first + place * len(cases) // number) % len(cases)] for place in range(number)]


def examples(number: int) -> int:
    """How many examples hypothesis tries where each costs a second: NUMBER, and three times as many in a thorough run."""
    return 3 * number if THOROUGH else number
