"""state.db and web.db as several processes have them at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OPENS = """
import sys
from pathlib import Path
from gitdeploy.state import Database
from gitdeploy.web.access.store import Store
folder = Path(sys.argv[1])
print("ready", flush=True)
for number in range(20):
    sys.stdin.readline()
    with Database.open(folder / f"{number}-state.db") as database:
        database.meta_put(sys.argv[2], "was here")
    Store(folder / f"{number}-web.db", lambda: None).claim(sys.argv[2], "0" * 32, "[]")
    print("done", flush=True)
"""


def test_who_makes_the_databases_at_the_same_moment_shares_them(tmp_path: Path) -> None:
    """The page, its `watch --once` and a deployment begin together on a new app: none is refused, nothing is damaged."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, tmp_path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for name in ("one", "two", "three")
    ]  # fmt: skip
    said = []
    for number in range(21):
        for each in running:
            assert each.stdout is not None
            said.append(each.stdout.readline())
        for each in running[: 3 if number < 20 else 0]:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
    for each in running:
        _, errors = each.communicate(timeout=60)
        assert each.returncode == 0, errors
    assert said == ["ready\n"] * 3 + ["done\n"] * 60
