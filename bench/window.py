"""The live window, seen from outside: another process asks all the time which release the files and the venv are of."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.app import App

# Run by a bare interpreter: reads every file of a list, and the venv's package, until a file named `stop` exists. Prints
# seconds between the first look that was not wholly old and the first that was wholly new, and the looks in between that
# found a file missing or cut short.
_READER = """
import json, os, sys, time
files = [line.rstrip(chr(10)) for line in open(sys.argv[1])]
new, package, stop = sys.argv[2].encode(), sys.argv[3], sys.argv[4]
broken = looks = 0
last_old = first_new = None
def look(name):
    try:
        with open(name, 'rb') as file:
            data = file.read()
    except OSError:
        return 'missing'
    if not data.endswith(b'\\n'):
        return 'cut'
    return 'new' if new in data else 'old'
print('ready', flush=True)
while not os.path.exists(stop):
    at = time.monotonic()
    seen = [look(name) for name in files]
    if package:
        seen.append('new' if os.path.isdir(package) else 'old')
    looks += 1
    broken += 'missing' in seen or 'cut' in seen
    kinds = {*seen}
    if kinds == {'old'}:
        last_old = at
    elif kinds == {'new'}:
        first_new = first_new or time.monotonic()
        break
print(json.dumps({'window': (first_new or time.monotonic()) - last_old, 'looks': looks, 'broken': broken}), flush=True)
"""


@dataclass(frozen=True)
class Seen:
    """`window`: seconds in which a reader could meet both releases; `broken`: looks that found a file missing or cut;
    `told`: the journal's own record of it, in seconds (None for others)."""

    window: float
    looks: int
    broken: int
    told: float | None = None


def watch(app: App, words: list[str | Path], sample: list[str], new: str, package: str | None) -> Seen:
    """Run the command WORDS while the reader looks at the files SAMPLE (paths below the site that both releases have and
    change; NEW is in their new text) and at the folder PACKAGE of the venv, which only the new one has."""
    stop, names = app.folder / "stop", app.folder / "sample"
    stop.unlink(missing_ok=True)
    names.write_text("".join(f"{app.site / name}\n" for name in sample))
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _READER, names, repr(new), app.site / package if package else "", stop],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout is not None
    reader.stdout.readline()
    time.sleep(0.2)
    app.call(*words)
    try:
        reader.wait(10)
    except subprocess.TimeoutExpired:
        stop.touch()
        reader.wait(10)
    seen = json.loads(reader.stdout.readline())
    return Seen(seen["window"], seen["looks"], seen["broken"], _told(app))


def _told(app: App) -> float | None:
    """What gitdeploy's log says of it."""
    if not (app.site / ".gitdeploy" / "state.db").exists():
        return None
    with sqlite3.connect(f"file:{app.site}/.gitdeploy/state.db?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT text FROM line WHERE text LIKE 'Live window:%' ORDER BY seq DESC LIMIT 1"
        ).fetchall()
    found = re.search(r"([\d.]+) ms", rows[0][0]) if rows else None
    return float(found[1]) / 1000 if found else None
