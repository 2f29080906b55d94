"""Roots of Debian or Ubuntu in a folder, made by mmdebstrap with this machine's own apt settings and kept for the next time.

`.venv/bin/python tests/support/roots.py trixie git make` makes one by hand and prints its folder. They are kept below
GITDEPLOY_TEST_CACHE (default: the temporary folder).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path


def made(
    name: str, packages: Sequence[str], *, suite: str = "", finish: Callable[[Path], None] = lambda root: None
) -> Path:
    """The folder of a root with PACKAGES: of this machine's release, or of SUITE, which must be of the same distribution.
    Made on first use, when FINISH has the last word. Raises RuntimeError with what mmdebstrap said."""
    suite = suite or codename()
    cache = Path(os.environ.get("GITDEPLOY_TEST_CACHE") or Path(tempfile.gettempdir()) / "gitdeploy-test-cache")
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    if cache.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{cache} belongs to somebody else")
    key = hashlib.sha256(" ".join([*packages, suite]).encode()).hexdigest()[:12]
    root = cache / f"{name}-{key}"
    with open(cache / f"{name}-{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        if not (root / ".complete").exists():
            _make(root, packages, suite, finish)
    return root


def codename() -> str:
    """This machine's release: bookworm."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME="))


def sources(suite: str = "") -> list[tuple[str, str]]:
    """(The end of the file's name, what it says) of each of this machine's lists of apt; with SUITE only what comes from
    the distribution itself, for that release of it."""
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    files += sorted((apt / "sources.list.d").glob("*.sources"))
    said = [(file.suffix, file.read_text()) for file in files if file.is_file() and file.stat().st_size > 0]
    if not suite or suite == codename():
        return said
    return [(kind, other) for kind, text in said if (other := _of_another(text, kind, codename(), suite))]


def _of_another(text: str, kind: str, ours: str, theirs: str) -> str:
    """The stanzas (or lines, in a .list) of TEXT whose suites are OURS and what belongs to it, for THEIRS."""
    parts = re.split(r"\n\s*\n", text) if kind == ".sources" else text.splitlines()
    named = rf"^Suites:.*\b(?<!-){ours}\b" if kind == ".sources" else rf"^deb\b.*\s{ours}(-\S+)?\s"
    kept = [part for part in parts if re.search(named, part, re.MULTILINE)]
    return "".join(f"{re.sub(rf'(?<![-/]){ours}', theirs, part)}\n\n" for part in kept)


def _make(root: Path, packages: Sequence[str], suite: str, finish: Callable[[Path], None]) -> None:
    part = root.with_suffix(".part")
    for old in (root, part):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="gitdeploy-apt-") as folder:
        settings = Path(folder) / "settings"
        settings.write_bytes(subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True).stdout)
        lists = []
        for number, (kind, text) in enumerate(sources(suite)):
            lists.append(str(Path(folder) / f"{number}{kind}"))
            Path(lists[-1]).write_text(text)
        argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
        done = subprocess.run(
            [*argv, f"--aptopt={settings}", suite, str(part), *lists],
            env=_outside(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:", "dpkg:"))]
        raise RuntimeError(f"mmdebstrap failed: {' '.join(errors[:3]) or done.stderr[-1000:]}")
    apt = part / "etc/apt"
    for file in (apt / "sources.list", *(apt / "sources.list.d").glob("*"), apt / "apt.conf.d/99mmdebstrap"):
        file.unlink(missing_ok=True)
    finish(part)
    part.rename(root)
    (root / ".complete").touch()


def _outside() -> dict[str, str]:
    """Our environment without the proxy to nowhere that keeps tests off the network: apt goes its usual way."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


if __name__ == "__main__":
    print(made("root", sys.argv[2:], suite=sys.argv[1]))
